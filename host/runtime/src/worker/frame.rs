//! Messages on a stream: a length, then the message. Output goes as it is, everything else as JSON.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// More than any honest message has: a document of 1 MiB, or a report.
pub(crate) const MAX_FRAME: usize = 32 << 20;

const JSON: u8 = 0;
const OUTPUT: u8 = 1;

/// A message as it arrived.
#[derive(Debug)]
pub(crate) enum Frame {
    Json(Vec<u8>),
    /// Step, stream (0 or 1), bytes.
    Output(u64, u8, Vec<u8>),
}

pub(crate) fn json<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 5];
    serde_json::to_writer(&mut bytes, message)?;
    finish(bytes, JSON)
}

pub(crate) fn output(step: u64, stream: u8, data: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(14 + data.len());
    bytes.extend_from_slice(&[0; 5]);
    bytes.extend_from_slice(&step.to_le_bytes());
    bytes.push(stream);
    bytes.extend_from_slice(data);
    finish(bytes, OUTPUT)
}

fn finish(mut bytes: Vec<u8>, kind: u8) -> io::Result<Vec<u8>> {
    let length = bytes.len() - 5;
    if length > MAX_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {length} bytes is too large"),
        ));
    }
    let prefix = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    bytes[..4].copy_from_slice(&prefix);
    bytes[4] = kind;
    Ok(bytes)
}

/// Reads a message; none at the end of the stream.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut head = [0; 5];
    match stream.read_exact(&mut head).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let [a, b, c, d, kind] = head;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    if length > MAX_FRAME {
        return Err(bad("a message is too large"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    match kind {
        JSON => Ok(Some(Frame::Json(body))),
        OUTPUT => {
            let Some((head, data)) = body.split_first_chunk::<9>() else {
                return Err(bad("an output message is too short"));
            };
            let [a, b, c, d, e, f, g, h, stream] = *head;
            Ok(Some(Frame::Output(
                u64::from_le_bytes([a, b, c, d, e, f, g, h]),
                stream,
                data.to_vec(),
            )))
        }
        _ => Err(bad("a message is of an unknown kind")),
    }
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Writes what comes over the channel, as much at once as there is.
pub(crate) async fn write_all(
    mut stream: impl AsyncWrite + Unpin,
    mut messages: tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>,
) -> io::Result<()> {
    while let Some(mut bytes) = messages.recv().await {
        while bytes.len() < 256 << 10
            && let Ok(more) = messages.try_recv()
        {
            bytes.extend_from_slice(&more);
        }
        stream.write_all(&bytes).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Frame, json, output, read};

    #[tokio::test]
    async fn hostile_bytes_are_an_error_and_no_more() {
        for bytes in [
            &[255, 255, 255, 255, 0][..],
            &[1, 0, 0, 0, 9, 1],
            &[2, 0, 0, 0, 1, 1, 1],
            &[4, 0, 0, 0, 0, 1],
        ] {
            assert!(
                !matches!(read(&mut &*bytes).await, Ok(Some(_))),
                "{bytes:?}"
            );
        }
        assert!(matches!(read(&mut &[][..]).await, Ok(None)));
        let bytes = output(7, 1, b"text").unwrap();
        assert!(
            matches!(read(&mut &bytes[..]).await.unwrap(), Some(Frame::Output(7, 1, data)) if data == b"text")
        );
        let bytes = json(&[1, 2]).unwrap();
        assert!(
            matches!(read(&mut &bytes[..]).await.unwrap(), Some(Frame::Json(data)) if data == b"[1,2]")
        );
    }
}
