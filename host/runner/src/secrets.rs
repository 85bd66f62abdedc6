//! Secrets that a run has handed out, taken out of everything that it writes down or shows.

use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// What stands in the place of a secret.
const MASK: &str = "****";
/// Shorter values, and shorter lines of longer ones, are not looked for: they are in every text by chance.
const SHORTEST: usize = 4;
const SHORTEST_LINE: usize = 8;
/// What a URL leaves as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The secrets of a run, as they are and as base64, in URLs and in JSON.
#[derive(Debug, Default)]
pub struct Secrets(RwLock<Option<Arc<Known>>>);

#[derive(Debug)]
struct Known {
    forms: Vec<Vec<u8>>,
    longest: usize,
    search: AhoCorasick,
}

impl Secrets {
    /// Remembers a value, before anybody gets it.
    pub fn learn(&self, value: &str) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut forms = known
            .as_ref()
            .map_or_else(Vec::new, |known| known.forms.clone());
        let before = forms.len();
        for form in forms_of(value) {
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
        if forms.len() == before {
            return;
        }
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&forms);
        // Fails for gigabytes of patterns only, and parameters have a size limit.
        if let Ok(search) = search {
            *known = Some(Arc::new(Known {
                longest: forms.iter().map(Vec::len).max().unwrap_or(0),
                forms,
                search,
            }));
        }
    }

    fn known(&self) -> Option<Arc<Known>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A text without secrets.
    pub fn clean(&self, text: &mut String) {
        if let Some(known) = self.known()
            && known.search.is_match(text.as_str())
        {
            *text = known
                .search
                .replace_all(text, &vec![MASK; known.forms.len()]);
        }
    }

    /// A value without secrets, keys included.
    pub fn clean_value(&self, value: &mut Value) {
        if self.known().is_none() {
            return;
        }
        match value {
            Value::String(text) => self.clean(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.clean_value(item)),
            Value::Object(map) => {
                *map = std::mem::take(map)
                    .into_iter()
                    .map(|(mut key, mut value)| {
                        self.clean(&mut key);
                        self.clean_value(&mut value);
                        (key, value)
                    })
                    .collect();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// The forms in which a value turns up. In base64 a value looks different at each of three positions; the
/// characters that depend on its neighbours are left out.
fn forms_of(value: &str) -> Vec<Vec<u8>> {
    let mut plain: Vec<&str> = vec![value];
    if value.trim_end() != value {
        plain.push(value.trim_end());
    }
    plain.extend(
        value
            .lines()
            .map(str::trim)
            .filter(|line| line.len() >= SHORTEST_LINE),
    );
    let mut forms: Vec<Vec<u8>> = Vec::new();
    for text in plain {
        if text.len() < SHORTEST {
            continue;
        }
        forms.push(text.as_bytes().to_vec());
        forms.push(utf8_percent_encode(text, UNRESERVED).to_string().into());
        let json = Value::from(text).to_string();
        forms.push(json.as_bytes()[1..json.len() - 1].to_vec());
        for before in 0..3_usize {
            let mut bytes = vec![0; before];
            bytes.extend(text.as_bytes());
            let first = (before * 8).div_ceil(6);
            let last = bytes.len() * 8 / 6;
            for encoded in [
                STANDARD_NO_PAD.encode(&bytes),
                URL_SAFE_NO_PAD.encode(&bytes),
            ] {
                if last > first + SHORTEST {
                    forms.push(encoded.as_bytes()[first..last].to_vec());
                }
            }
        }
    }
    forms
}

/// One stream of output. A secret may come in two pieces, so the end of a piece that could be the beginning of one
/// is held back.
#[derive(Debug, Default)]
pub(crate) struct CleanStream {
    held: Vec<u8>,
}

impl CleanStream {
    /// What of the piece, and of what was held back, can go on.
    pub(crate) fn push(&mut self, secrets: &Secrets, piece: &[u8]) -> Vec<u8> {
        let Some(known) = secrets.known() else {
            return piece.to_vec();
        };
        let mut data = std::mem::take(&mut self.held);
        data.extend_from_slice(piece);
        let mut clean = Vec::with_capacity(data.len());
        let mut from = 0;
        for found in known.search.find_iter(&data) {
            clean.extend_from_slice(&data[from..found.start()]);
            clean.extend_from_slice(MASK.as_bytes());
            from = found.end();
        }
        let candidates = from.max((data.len() + 1).saturating_sub(known.longest))..data.len();
        let hold = candidates
            .into_iter()
            .find(|&at| known.forms.iter().any(|form| form.starts_with(&data[at..])))
            .unwrap_or(data.len());
        clean.extend_from_slice(&data[from..hold]);
        self.held = data.split_off(hold);
        clean
    }

    /// What is held back still: the stream has ended.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::{CleanStream, Secrets};

    const SECRET: &str = "s3cr\"t/väl+ue";

    fn secrets() -> Secrets {
        let secrets = Secrets::default();
        secrets.learn(SECRET);
        secrets.learn("abc");
        secrets.learn("-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n-----END KEY-----\n");
        secrets
    }

    #[test]
    fn every_form_of_a_secret_is_taken_out() {
        let secrets = secrets();
        for (text, expected) in [
            (format!("a {SECRET} b"), "a **** b".to_owned()),
            ("x=s3cr%22t%2Fv%C3%A4l%2Bue&y".into(), "x=****&y".into()),
            (
                json!({ "k": SECRET }).to_string(),
                "{\"k\":\"****\"}".into(),
            ),
            ("line MIIEvQIBADANBgkq".into(), "line ****".into()),
            // Too short to be looked for.
            ("abcdef".into(), "abcdef".into()),
        ] {
            let mut clean = text.clone();
            secrets.clean(&mut clean);
            assert_eq!(clean, expected, "{text}");
        }
        for before in ["", "u", "us", "user:"] {
            let mut text = STANDARD.encode(format!("{before}{SECRET} and more"));
            secrets.clean(&mut text);
            assert!(text.contains("****"), "{before}: {text}");
        }
        let mut value = json!({ SECRET: [SECRET, 1] });
        secrets.clean_value(&mut value);
        assert_eq!(value, json!({ "****": ["****", 1] }));
    }

    #[test]
    fn a_secret_in_pieces_is_found_and_nothing_else_is_lost_or_held() {
        let secrets = secrets();
        let text = format!("before s3 s3cr {SECRET} after\n{SECRET}");
        let expected = "before s3 s3cr **** after\n****";
        for size in 1..text.len() {
            let mut stream = CleanStream::default();
            let mut clean = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                clean.extend(stream.push(&secrets, piece));
            }
            clean.extend(stream.finish());
            assert_eq!(
                String::from_utf8_lossy(&clean),
                expected,
                "pieces of {size}"
            );
        }
        let mut stream = CleanStream::default();
        assert_eq!(stream.push(&secrets, b"a line\n"), b"a line\n");
    }
}
