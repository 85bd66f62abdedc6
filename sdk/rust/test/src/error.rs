//! Why there is no run to look at.

use std::path::PathBuf;

/// What keeps a component from being run at all. How a step ends is a part of its [`Run`](crate::Run).
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// The host is not there.
    #[error(
        "there is no {program} to run the component with ({error}); install Capstan, or name its program in $CAPSTAN"
    )]
    NoHost {
        /// What was tried.
        program: String,
        /// The answer of the operating system.
        #[source]
        error: std::io::Error,
    },
    /// The component is not built.
    #[error("there is no component {path}; run `capstan plugin build` first, or name it in $CAPSTAN_COMPONENT", path = path.display())]
    NoComponent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It is not known where the component would be.
    #[error(
        "which component is tested? This is no test run by cargo; name the file in $CAPSTAN_COMPONENT"
    )]
    NoCrate,
    /// The host does not take the request, or cannot use the component; in its words.
    #[error("{0}")]
    Refused(String),
    /// The host answered with something else than a report.
    #[error("{program} answered with something that is no report; is it of another version? {why}")]
    NoReport {
        /// Which one.
        program: String,
        /// What it said.
        why: String,
    },
}
