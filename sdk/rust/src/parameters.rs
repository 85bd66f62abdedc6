//! Parameter Store values that are not secret.

use crate::Error;

pub use crate::__private::capstan::host::parameters::{Value, get};

/// A parameter that holds one text.
///
/// # Errors
/// When it is not granted, does not exist or holds a list.
pub fn text(name: &str) -> Result<String, Error> {
    match get(name)? {
        Value::Text(text) => Ok(text),
        Value::TextList(_) => Err(Error::Invalid(format!(
            "the parameter {name} is a list; one text is wanted"
        ))),
    }
}

/// A parameter that holds a list; one text is a list of one.
///
/// # Errors
/// When it is not granted or does not exist.
pub fn list(name: &str) -> Result<Vec<String>, Error> {
    Ok(match get(name)? {
        Value::Text(text) => vec![text],
        Value::TextList(list) => list,
    })
}
