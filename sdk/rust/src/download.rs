//! Downloads: taken up again where they broke off, checked, and put in place whole or not at all.

use crate::http::Response;
use crate::{Error, Failure, describe, files, step};

/// How often a transfer that broke off is taken up again.
const ATTEMPTS: u32 = 5;

/// Downloads to a file. `get` asks for the content from a byte on; `source` names it: what an interrupted download
/// of the same source to the same path has left is not fetched again, also after a restart of the step.
///
/// # Errors
/// When the server answers with another status than 200 or 206, the content does not have the SHA-256 wanted, or
/// the transfer breaks off too often.
pub fn to_file(
    source: &str,
    get: impl Fn(u64) -> Result<Response, Error>,
    path: &str,
    mode: u32,
    sha256: Option<&str>,
) -> Result<(), Failure> {
    let (mut writer, mut have) = files::create(path, mode, Some(source))?;
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        let response = match get(have) {
            Ok(response) => response,
            Err(error @ Error::Io(_)) => {
                last = describe(&error);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let status = response.status();
        if status == 416 || (status == 200 && have > 0) {
            // What there is does not fit what the server has now: from the beginning, into a new file.
            (writer, have) = files::create(path, mode, None)?;
            if status == 416 {
                "the server has no such part of the file".clone_into(&mut last);
                continue;
            }
        } else if status != 200 && status != 206 {
            return Err(Failure::failed(format!(
                "{} answered with status {status}",
                response.url()
            )));
        }
        match transfer(&response, &writer, &mut have) {
            Ok(()) => {
                let found = writer.sha256();
                if let Some(wanted) = sha256
                    && !wanted.eq_ignore_ascii_case(&found)
                {
                    return Err(Failure::failed(format!(
                        "{source} has the SHA-256 {found}, and not {wanted}; nothing was put in place"
                    )));
                }
                writer.commit()?;
                return Ok(());
            }
            Err(error @ Error::Io(_)) => last = describe(&error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::failed(format!(
        "the download broke off {ATTEMPTS} times, the last time because {last}; run the step again to go on"
    )))
}

fn transfer(response: &Response, writer: &files::Writer, have: &mut u64) -> Result<(), Error> {
    let total = response
        .headers()
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse::<u64>().ok())
        .map(|length| length + *have);
    loop {
        let part = response.read(256 << 10)?;
        if part.is_empty() {
            return Ok(());
        }
        writer.write(&part)?;
        *have += part.len() as u64;
        step::progress(*have, total, "bytes");
    }
}
