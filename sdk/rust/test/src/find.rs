//! The component that is tested.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::HarnessError;

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The host's program.
pub(crate) fn host() -> OsString {
    variable("CAPSTAN").unwrap_or_else(|| "capstan".into())
}

/// What was named, else where `capstan plugin build` puts the component of the crate whose tests these are.
pub(crate) fn component(named: Option<PathBuf>) -> Result<PathBuf, HarnessError> {
    let path = match named.or_else(|| variable("CAPSTAN_COMPONENT").map(PathBuf::from)) {
        Some(path) => path,
        None => {
            // Cargo sets both for the tests that it runs.
            let folder = variable("CARGO_MANIFEST_DIR").ok_or(HarnessError::NoCrate)?;
            let mut file = variable("CARGO_PKG_NAME").ok_or(HarnessError::NoCrate)?;
            file.push(".wasm");
            PathBuf::from(folder).join(file)
        }
    };
    if path.is_file() {
        Ok(path)
    } else {
        Err(HarnessError::NoComponent { path })
    }
}
