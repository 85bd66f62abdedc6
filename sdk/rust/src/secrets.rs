//! Secrets and secure parameters. An action never sees their values: it gets a placeholder, which is worthless by
//! itself, and the host puts the value in its place where the secret is granted to go: in a header or the body of a
//! request, in the environment or the standard input of a program.
//!
//! ```no_run
//! use capstan_sdk::{Failure, http, secrets};
//!
//! fn notify(url: &str) -> Result<(), Failure> {
//!     let key = secrets::get("/acme/api-key")?;
//!     http::post(url).header("x-api-key", key).json(&["done"])?.send()?.success()?;
//!     Ok(())
//! }
//! ```

pub use crate::__private::capstan::host::secrets::get;
