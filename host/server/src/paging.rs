//! Page tokens: opaque, made and checked with a key of this installation, bound to their operation.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// Bytes of the authentication code that a token carries.
const TAG: usize = 16;

/// Makes and reads page tokens.
#[derive(Debug)]
pub(crate) struct Paging {
    key: hmac::Key,
}

impl Paging {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
        }
    }

    /// A token that goes on after `cursor`.
    pub(crate) fn token(
        &self,
        operation: &str,
        cursor: &impl Serialize,
    ) -> Result<String, ApiError> {
        let mut token = serde_json::to_vec(cursor).map_err(|error| {
            tracing::error!(%error, "a page token cannot be made");
            ApiError::internal()
        })?;
        let tag = self.tag(operation, &token);
        token.extend_from_slice(&tag[..TAG]);
        Ok(BASE64_STANDARD.encode(token))
    }

    /// What a token goes on after. An empty one is none, as clients send it.
    pub(crate) fn cursor<T: DeserializeOwned>(
        &self,
        operation: &str,
        token: Option<&str>,
    ) -> Result<Option<T>, ApiError> {
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Ok(None);
        };
        let bytes = BASE64_STANDARD
            .decode(token)
            .map_err(|_| ApiError::next_token())?;
        let split = bytes
            .len()
            .checked_sub(TAG)
            .ok_or_else(ApiError::next_token)?;
        let (cursor, tag) = bytes.split_at(split);
        if self.tag(operation, cursor)[..TAG] != *tag {
            return Err(ApiError::next_token());
        }
        serde_json::from_slice(cursor)
            .map(Some)
            .map_err(|_| ApiError::next_token())
    }

    fn tag(&self, operation: &str, cursor: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(operation.as_bytes());
        context.update(&[0]);
        context.update(cursor);
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

/// Keeps the first `size` of `rows` that were asked for with one more than `size`: with that one there is a next page,
/// which goes on after the last that is kept.
pub(crate) fn page<T, C>(
    mut rows: Vec<T>,
    size: usize,
    cursor: impl FnOnce(&T) -> C,
) -> (Vec<T>, Option<C>) {
    let next = if rows.len() > size {
        rows.truncate(size);
        rows.last().map(cursor)
    } else {
        None
    };
    (rows, next)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Paging, page};

    #[test]
    fn a_token_is_good_for_its_operation_and_installation_alone() {
        let paging = Paging::new(b"one");
        let token = paging.token("ListCommands", &("a", 7)).unwrap();
        let read = |paging: &Paging, operation, token: &str| {
            paging.cursor::<(String, i64)>(operation, Some(token))
        };
        assert_eq!(
            read(&paging, "ListCommands", &token).unwrap(),
            Some(("a".to_owned(), 7))
        );
        assert_eq!(read(&paging, "ListCommands", "").unwrap(), None);
        for (paging, operation, token) in [
            (&paging, "ListDocuments", token.as_str()),
            (&Paging::new(b"two"), "ListCommands", &token),
            (&paging, "ListCommands", &token[1..]),
            (&paging, "ListCommands", "x"),
            (&paging, "ListCommands", "not base64!"),
        ] {
            assert_eq!(
                read(paging, operation, token).unwrap_err().code,
                "InvalidNextToken"
            );
        }
    }

    #[test]
    fn the_row_too_many_tells_of_a_next_page() {
        assert_eq!(page(vec![1, 2, 3], 2, |last| *last), (vec![1, 2], Some(2)));
        assert_eq!(page(vec![1, 2], 2, |last| *last), (vec![1, 2], None));
        assert_eq!(page(Vec::<i32>::new(), 2, |last| *last), (vec![], None));
    }
}
