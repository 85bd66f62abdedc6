//! `capstan:host/secrets`: placeholders for secrets, and the exchange of one for the other.

use std::borrow::Cow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use capstan_policy::SecretPlace;

use super::Answer;
use crate::bindings::capstan::host::secrets::Host;
use crate::bindings::capstan::host::types::Error;
use crate::random;
use crate::runtime::StepState;
use crate::shared::StepShared;

/// What every placeholder begins with. It stands in headers, JSON and shell words without quotes. After it comes a
/// token, which a component cannot guess for a secret it did not ask for.
const PREFIX: &str = "capstan-secret-";

/// The placeholders that a step attempt was given.
#[derive(Debug, Default)]
pub(crate) struct Placeholders(Mutex<Vec<(String, String)>>);

impl Placeholders {
    fn list(&self) -> MutexGuard<'_, Vec<(String, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The placeholder of a secret, the same each time.
    fn of(
        &self,
        name: &str,
        token: impl FnOnce() -> Result<String, rustix::io::Errno>,
    ) -> Result<String, rustix::io::Errno> {
        let mut list = self.list();
        if let Some((placeholder, _)) = list.iter().find(|(_, known)| known == name) {
            return Ok(placeholder.clone());
        }
        let placeholder = format!("{PREFIX}{}", token()?);
        list.push((placeholder.clone(), name.to_owned()));
        Ok(placeholder)
    }

    fn name(&self, placeholder: &str) -> Option<String> {
        let list = self.list();
        let found = list.iter().find(|(known, _)| known == placeholder)?;
        Some(found.1.clone())
    }
}

/// The next placeholder in some bytes: where it begins and ends.
fn next(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(at) = memchr::memmem::find(&bytes[from..], PREFIX.as_bytes()) {
        let start = from + at;
        let digits = start + PREFIX.len();
        let end = digits + random::TOKEN_DIGITS;
        if bytes.len() >= end && bytes[digits..end].iter().all(u8::is_ascii_hexdigit) {
            return Some((start, end));
        }
        from = digits;
    }
    None
}

/// Whether a text holds a placeholder.
pub(crate) fn has_placeholder(bytes: &[u8]) -> bool {
    next(bytes).is_some()
}

impl StepShared {
    /// The value of a secret that the component may put there; the supervisor checks once more.
    pub(crate) async fn secret(&self, name: &str, place: &SecretPlace) -> Result<String, Error> {
        if !self.component.allows_secret(name, place) {
            let hint = if self.component.knows_secret(name) {
                format!("grant the secret for this use: {place}")
            } else {
                format!("grants: {{ secrets: [\"{name}\"] }}")
            };
            return Err(self.deny("secrets", &format!("{name} in the {place}"), hint));
        }
        self.broker
            .secret(self.id, name, place)
            .await
            .map_err(|error| self.broker_error(error))
    }

    /// Replaces the placeholders in what is going to a place.
    pub(crate) async fn exchange_secrets<'a>(
        &self,
        bytes: &'a [u8],
        place: &SecretPlace,
    ) -> Result<Cow<'a, [u8]>, Error> {
        let Some(mut found) = next(bytes) else {
            return Ok(Cow::Borrowed(bytes));
        };
        let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
        loop {
            let (start, end) = found;
            let placeholder = String::from_utf8_lossy(&rest[start..end]);
            let Some(name) = self.placeholders.name(&placeholder) else {
                return Err(Error::Invalid(format!(
                    "{placeholder} is no placeholder of this step: they are good for one call of `start` or `resume`; get the secret anew"
                )));
            };
            out.extend_from_slice(&rest[..start]);
            out.extend_from_slice(self.secret(&name, place).await?.as_bytes());
            rest = &rest[end..];
            match next(rest) {
                Some(more) => found = more,
                None => break,
            }
        }
        out.extend_from_slice(rest);
        Ok(Cow::Owned(out))
    }

    /// The same for text.
    pub(crate) async fn exchange_in_text(
        &self,
        text: String,
        place: &SecretPlace,
    ) -> Result<String, Error> {
        match self.exchange_secrets(text.as_bytes(), place).await? {
            Cow::Borrowed(_) => Ok(text),
            Cow::Owned(bytes) => {
                String::from_utf8(bytes).map_err(|_| Error::Invalid("a secret is not text".into()))
            }
        }
    }
}

impl Host for StepState {
    async fn get(&mut self, name: String) -> Answer<String> {
        let shared = &self.shared;
        if !shared.component.knows_secret(&name) {
            let hint = format!("grants: {{ secrets: [\"{name}\"] }}");
            return Ok(Err(shared.deny("secrets", &name, hint)));
        }
        if let Err(error) = shared.broker.find_secret(shared.id, &name).await {
            return Ok(Err(shared.broker_error(error)));
        }
        let token = || match shared.world {
            None => random::token(),
            // The same at every run, and still nothing that a component would guess.
            Some(_) => {
                let mut token = crate::component::digest(name.as_bytes());
                token.truncate(random::TOKEN_DIGITS);
                Ok(token)
            }
        };
        Ok(shared
            .placeholders
            .of(&name, token)
            .map_err(|error| Error::Io(format!("random numbers: {error}"))))
    }
}

#[cfg(test)]
mod tests {
    use super::{Placeholders, has_placeholder, next};
    use crate::random::token;

    #[test]
    fn placeholders_are_found_wherever_they_stand() {
        let digits = "0123456789abcdef0123456789abcdef";
        let whole = format!("capstan-secret-{digits}");
        for (text, expected) in [
            (whole.clone(), Some((0, 47))),
            (format!("Token {whole}!"), Some((6, 53))),
            (
                format!("capstan-secret-capstan-secret-{digits}"),
                Some((15, 62)),
            ),
            ("capstan-secret-0123".to_owned(), None),
            (format!("capstan-secret-{}", digits.replace('a', "x")), None),
        ] {
            assert_eq!(next(text.as_bytes()), expected, "{text}");
            assert_eq!(has_placeholder(text.as_bytes()), expected.is_some());
        }
    }

    #[test]
    fn a_secret_has_one_placeholder_that_says_nothing() {
        let placeholders = Placeholders::default();
        let one = placeholders.of("/db/password", token).unwrap_or_default();
        assert_eq!(placeholders.of("/db/password", token), Ok(one.clone()));
        assert_ne!(placeholders.of("/db/other", token), Ok(one.clone()));
        assert!(has_placeholder(one.as_bytes()));
        assert_eq!(placeholders.name(&one).as_deref(), Some("/db/password"));
    }
}
