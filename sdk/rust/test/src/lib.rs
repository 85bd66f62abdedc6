//! Tests of plugins: the built component runs in the real host, against a world that the test writes down. Files are
//! given, programs and servers answered, the clock set; the grant, the checks, the limits and the fuel are those of a
//! node. No server is needed, nothing of the machine is touched, and nothing is waited for.
//!
//! ```no_run
//! use capstan_sdk_test::{Harness, answer, json};
//!
//! #[test]
//! fn rotates() -> Result<(), capstan_sdk_test::HarnessError> {
//!     let run = Harness::new()
//!         .file("/var/log/app/a.log", "one\n")
//!         .program("gzip", answer(0).writes("/var/log/app/a.log.gz", "packed").removes("/var/log/app/a.log"))
//!         .http("POST", "https://hooks.example.com/T1", 204, "")
//!         .secret("/acme/token", "s3cret")
//!         .now("2026-01-31T12:00:00Z")
//!         .run(json!({ "folder": "/var/log/app" }))?;
//!     run.assert_success();
//!     assert_eq!(run.outputs["rotated"], 1);
//!     assert_eq!(run.programs[0].arguments, ["-9", "--", "/var/log/app/a.log"]);
//!     assert_eq!(run.file("/var/log/app/a.log.gz"), Some("packed"));
//!     assert!(run.removed("/var/log/app/a.log"));
//!     assert_eq!(run.requests[0].headers["authorization"], "Bearer {{secret:/acme/token}}");
//!     assert!(run.fuel < 20_000_000);
//!     Ok(())
//! }
//!
//! #[test]
//! fn does_without_what_is_denied() -> Result<(), capstan_sdk_test::HarnessError> {
//!     let run = Harness::new().deny("files", "/etc/shadow").run(json!({ "folder": "/srv" }))?;
//!     assert!(run.denied("files", "/etc/shadow"));
//!     Ok(())
//! }
//! ```
//!
//! `capstan plugin test` builds the component and runs `cargo test`. By hand: `capstan plugin build`, then `cargo test`.
//! The component is `$CAPSTAN_COMPONENT`, else the crate's `NAME.wasm` beside its `Cargo.toml`; the host is `$CAPSTAN`,
//! else the `capstan` of `PATH`.

mod answers;
mod error;
mod find;
mod harness;
mod run;

pub use answers::{File, Program, Response, absent, answer, folder, respond};
pub use error::HarnessError;
pub use harness::Harness;
pub use run::{
    Denial, Document, LogLine, ProgramRun, Progress, Request, Run, SecretUse, Suspension, Wake,
};
pub use serde_json::{Value, json};
