//! Downloads: taken up again where they broke off, checked, and put in place whole or not at all.

use crate::http::{Request, Response};
use crate::{Error, Failure, FailureKind, describe, files, step};

/// How often a transfer that broke off is taken up again.
const ATTEMPTS: u32 = 5;

/// What of a source is asked for: all of it, or the rest of a certain version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    from: u64,
    version: String,
}

impl Part {
    /// All of it.
    #[must_use]
    pub fn whole() -> Self {
        Self::default()
    }

    /// Adds the headers that ask for it. A server that has another version by now answers with all of that.
    pub fn ask(&self, request: &mut Request) {
        if self.from > 0 {
            let range = format!("bytes={}-", self.from);
            request.headers.push(("range".to_owned(), range));
            let version = self.version.clone();
            request.headers.push(("if-range".to_owned(), version));
        }
    }

    /// Whether an answer with status 206 is what was asked for, and how long the whole is, where it tells.
    fn fits(&self, headers: &[(String, String)]) -> Option<Option<u64>> {
        let mark = if is_strong(&self.version) {
            "etag"
        } else {
            "last-modified"
        };
        if header(headers, mark).is_some_and(|found| found != self.version) {
            return None;
        }
        let range = header(headers, "content-range")?.strip_prefix("bytes ")?;
        let (range, total) = range.split_once('/')?;
        let (from, _) = range.split_once('-')?;
        (from.parse() == Ok(self.from)).then(|| total.parse().ok())
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.trim())
}

/// An entity tag that stands for the very bytes. `W/"…"` stands for what means the same.
fn is_strong(tag: &str) -> bool {
    tag.starts_with('"')
}

/// What `If-Range` can name the version of an answer by.
fn version(headers: &[(String, String)]) -> Option<&str> {
    header(headers, "etag")
        .filter(|tag| is_strong(tag))
        .or_else(|| header(headers, "last-modified"))
}

/// Whether trying again may help.
fn is_interruption(error: &Error) -> bool {
    matches!(error, Error::Io(_) | Error::TimedOut)
}

/// A file that is being written.
struct Started {
    writer: files::Writer,
    have: u64,
    /// Without it nobody can tell whether the rest belongs to what there is.
    version: Option<String>,
    total: Option<u64>,
}

impl Started {
    /// For an answer that is the whole. What an earlier download of the same version left is kept if `resume`.
    fn new(source: &Source<'_>, response: &Response, resume: bool) -> Result<Self, Error> {
        let headers = response.headers();
        let version = version(&headers).map(str::to_owned);
        let key = version
            .as_ref()
            .map(|version| format!("{}\n{version}", source.name));
        let open = || files::create_with_folder(source.path, source.mode, key.as_deref());
        let total = header(&headers, "content-length").and_then(|length| length.parse().ok());
        let (mut writer, mut have) = open()?;
        if have > 0 && (!resume || total.is_some_and(|total| have > total)) {
            writer.discard();
            drop(writer);
            (writer, have) = open()?;
        }
        Ok(Self {
            writer,
            have,
            version,
            total,
        })
    }

    fn rest(&self) -> Option<Part> {
        let version = self.version.clone().filter(|_| self.have > 0)?;
        Some(Part {
            from: self.have,
            version,
        })
    }

    fn is_whole(&self) -> bool {
        self.total == Some(self.have)
    }

    fn transfer(&mut self, response: &Response) -> Result<(), End> {
        loop {
            let part = response.read(256 << 10).map_err(End::of)?;
            if part.is_empty() {
                return match self.total {
                    Some(total) if total != self.have => Err(End::BrokeOff(format!(
                        "{} of {total} bytes came",
                        self.have
                    ))),
                    _ => Ok(()),
                };
            }
            // A disk that is full is so at the next attempt too.
            self.writer
                .write(&part)
                .map_err(|error| End::Failed(error.into()))?;
            self.have += part.len() as u64;
            step::progress(self.have, self.total, "bytes");
        }
    }

    fn finish(&self, source: &Source<'_>) -> Result<(), Failure> {
        let found = self.writer.sha256();
        if let Some(wanted) = source.sha256
            && !wanted.eq_ignore_ascii_case(&found)
        {
            return Err(Failure::failed(format!(
                "{} has the SHA-256 {found}, and not {wanted}; nothing was put in place",
                source.name
            )));
        }
        Ok(self.writer.commit()?)
    }
}

/// How an attempt ends badly.
enum End {
    /// Another one may go on with what there is.
    BrokeOff(String),
    Failed(Failure),
}

impl End {
    fn of(error: Error) -> Self {
        if is_interruption(&error) {
            Self::BrokeOff(describe(&error))
        } else {
            Self::Failed(error.into())
        }
    }
}

struct Source<'a> {
    name: &'a str,
    path: &'a str,
    mode: u32,
    sha256: Option<&'a str>,
}

/// Downloads to a file, whose folder is made if it is missing. `get` asks for a part of the content; `source` names
/// it: what an interrupted download of the same version of the same source to the same path has left is not fetched
/// again, also after a restart of the step.
///
/// # Errors
/// When the server answers with another status than 200 or 206, the content does not have the SHA-256 wanted, or
/// the transfer breaks off too often. Only in the last case is there something left to go on with.
pub fn to_file(
    source: &str,
    get: impl Fn(&Part) -> Result<Response, Error>,
    path: &str,
    mode: u32,
    sha256: Option<&str>,
) -> Result<(), Failure> {
    to_file_or(source, get, path, mode, sha256, |response| {
        format!(
            "{} answered with status {}",
            response.url(),
            response.status()
        )
    })
}

/// The same, with other words for a status that is no success.
///
/// # Errors
/// As for [`to_file`].
pub fn to_file_or(
    source: &str,
    get: impl Fn(&Part) -> Result<Response, Error>,
    path: &str,
    mode: u32,
    sha256: Option<&str>,
    explain: impl Fn(&Response) -> String,
) -> Result<(), Failure> {
    let source = Source {
        name: source,
        path,
        mode,
        sha256,
    };
    let mut started = None;
    match fetch(&source, &get, &explain, &mut started) {
        Ok(()) => Ok(()),
        Err(End::BrokeOff(why)) => Err(Failure::failed(format!(
            "the download broke off {ATTEMPTS} times, the last time because {why}; run the step again to go on"
        ))),
        Err(End::Failed(failure)) => {
            // What is there is of no use to the next attempt, unless it was only stopped.
            if let Some(started) = started
                && failure.kind != FailureKind::Cancelled
            {
                started.writer.discard();
            }
            Err(failure)
        }
    }
}

fn fetch(
    source: &Source<'_>,
    get: &dyn Fn(&Part) -> Result<Response, Error>,
    explain: &dyn Fn(&Response) -> String,
    started: &mut Option<Started>,
) -> Result<(), End> {
    let discard = |started: &mut Option<Started>| {
        if let Some(started) = started.take() {
            started.writer.discard();
        }
    };
    let (mut left, mut first) = (ATTEMPTS, true);
    let mut last = String::new();
    while left > 0 {
        left -= 1;
        let part = started.as_ref().and_then(Started::rest).unwrap_or_default();
        let response = match get(&part).map_err(End::of) {
            Ok(response) => response,
            Err(End::BrokeOff(why)) => {
                last = why;
                continue;
            }
            Err(end) => return Err(end),
        };
        match (response.status(), part.from) {
            (200, _) => {
                discard(started);
                let begun =
                    Started::new(source, &response, first).map_err(|e| End::Failed(e.into()))?;
                let begun = started.insert(begun);
                if std::mem::take(&mut first) && begun.have > 0 && !begun.is_whole() {
                    // The rest is asked for, with the version that is known now.
                    left += 1;
                    continue;
                }
                if begun.is_whole() {
                    return begun.finish(source).map_err(End::Failed);
                }
            }
            (206, from) if from > 0 => match (part.fits(&response.headers()), &mut *started) {
                (Some(total), Some(begun))
                    if total.is_none() || begun.total.is_none() || total == begun.total =>
                {
                    begun.total = begun.total.or(total);
                }
                _ => {
                    "the server sent another part of the file than was asked for"
                        .clone_into(&mut last);
                    discard(started);
                    continue;
                }
            },
            (416, from) if from > 0 => {
                "the server has no such part of the file".clone_into(&mut last);
                discard(started);
                continue;
            }
            _ => return Err(End::Failed(Failure::failed(explain(&response)))),
        }
        let Some(begun) = started else { continue };
        match begun.transfer(&response) {
            Ok(()) => return begun.finish(source).map_err(End::Failed),
            Err(End::BrokeOff(why)) => last = why,
            Err(end) => return Err(end),
        }
    }
    Err(End::BrokeOff(last))
}

#[cfg(test)]
mod tests {
    use super::{Part, is_interruption, version};
    use crate::Error;

    fn headers(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_version_is_a_strong_tag_or_a_date() {
        let date = ("last-modified", "Sat, 01 Jan 2022 00:00:00 GMT");
        for (list, expected) in [
            (vec![("etag", "\"a\""), date], Some("\"a\"")),
            (vec![("etag", "W/\"a\""), date], Some(date.1)),
            (vec![("etag", "W/\"a\"")], None),
            (vec![], None),
        ] {
            assert_eq!(version(&headers(&list)), expected, "{list:?}");
        }
    }

    #[test]
    fn only_the_part_that_was_asked_for_is_taken() {
        let part = Part {
            from: 10,
            version: "\"a\"".to_owned(),
        };
        for (list, expected) in [
            (vec![("content-range", "bytes 10-19/20")], Some(Some(20))),
            (vec![("content-range", "bytes 10-19/*")], Some(None)),
            (
                vec![("content-range", "bytes 10-19/20"), ("etag", "\"a\"")],
                Some(Some(20)),
            ),
            (
                vec![("content-range", "bytes 10-19/20"), ("etag", "\"b\"")],
                None,
            ),
            (vec![("content-range", "bytes 0-19/20")], None),
            (vec![("content-range", "lines 10-19/20")], None),
            (vec![], None),
        ] {
            assert_eq!(part.fits(&headers(&list)), expected, "{list:?}");
        }
    }

    #[test]
    fn what_timed_out_is_tried_again_and_what_is_refused_is_not() {
        assert!(is_interruption(&Error::TimedOut));
        assert!(is_interruption(&Error::Io(String::new())));
        assert!(!is_interruption(&Error::NotFound(String::new())));
        assert!(!is_interruption(&Error::Cancelled));
    }
}
