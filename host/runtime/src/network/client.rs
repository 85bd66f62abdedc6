//! The other side of a step's proxy: for programs that speak neither HTTP nor CONNECT, such as ssh.

use std::io::{self, Read, Write as _};
use std::net::{Shutdown, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The variable that tells a step's programs which program makes connections for them: `"$CAPSTAN_CONNECT" connect
/// HOST PORT`. It is there where the step has a proxy; elsewhere they connect by themselves.
pub const CONNECT_VARIABLE: &str = "CAPSTAN_CONNECT";

/// The head of an answer has no more bytes than this.
const MAX_HEAD: usize = 16 << 10;
/// Nor has what a refusal says.
const MAX_REASON: u64 = 16 << 10;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no proxy in the environment.
    #[error(
        "this is for the programs of a step, which have a proxy in https_proxy; here there is none"
    )]
    NoProxy,
    /// The proxy in the environment is not one of ours.
    #[error("`{0}` in https_proxy is no proxy of a step, which is http://ADDRESS:PORT")]
    BadProxy(String),
    /// The host cannot be asked for.
    #[error("`{0}` is no host")]
    BadHost(String),
    /// The proxy said no; in its words.
    #[error("{0}")]
    Refused(String),
    /// The connection to the proxy failed.
    #[error("the step's proxy: {0}")]
    Io(#[from] io::Error),
}

/// Connects to a host through the proxy of the step that this process belongs to, and copies its standard input there
/// and what comes back to its standard output, until the other side has finished.
///
/// # Errors
/// See [`ClientError`].
pub fn connect_through_proxy(host: &str, port: u16) -> Result<(), ClientError> {
    let mut stream = tunnel(host, port)?;
    let mut to = stream.try_clone()?;
    // Ends with the process: a read of standard input cannot be given up.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut output = io::stdout().lock();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        // A reader that has gone is the usual end of a session.
        if output
            .write_all(&buffer[..count])
            .and_then(|()| output.flush())
            .is_err()
        {
            return Ok(());
        }
    }
}

fn tunnel(host: &str, port: u16) -> Result<TcpStream, ClientError> {
    let proxy = ["https_proxy", "HTTPS_PROXY"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .ok_or(ClientError::NoProxy)?;
    let request = request(&proxy, host, port)?;
    let mut stream = TcpStream::connect(request.address)?;
    stream.write_all(request.head.as_bytes())?;
    let status = status(&mut stream)?;
    if status == "200" {
        return Ok(stream);
    }
    let mut reason = String::new();
    stream.take(MAX_REASON).read_to_string(&mut reason)?;
    let reason = reason.trim();
    let reason = reason.strip_prefix("capstan: ").unwrap_or(reason);
    Err(ClientError::Refused(reason.to_owned()))
}

#[derive(Debug, PartialEq, Eq)]
struct ConnectHead {
    address: String,
    head: String,
}

fn request(proxy: &str, host: &str, port: u16) -> Result<ConnectHead, ClientError> {
    let good = |c: char| c.is_alphanumeric() || "-._:".contains(c);
    if host.is_empty() || !host.chars().all(good) {
        return Err(ClientError::BadHost(host.to_owned()));
    }
    let bad = || ClientError::BadProxy(proxy.rsplit('@').next().unwrap_or_default().to_owned());
    let rest = proxy.strip_prefix("http://").ok_or_else(bad)?;
    let (user, address) = match rest.trim_end_matches('/').rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, rest.trim_end_matches('/')),
    };
    if address.is_empty() || address.contains(['/', '?', '#']) {
        return Err(bad());
    }
    let target = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let password = user.map_or_else(String::new, |user| {
        format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(user))
    });
    Ok(ConnectHead {
        address: address.to_owned(),
        head: format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n{password}\r\n"
        ),
    })
}

/// Reads the head of the answer, and not a byte more: what follows is the other side's.
fn status(stream: &mut TcpStream) -> Result<String, ClientError> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD || stream.read(&mut byte)? == 0 {
            let error = io::Error::new(io::ErrorKind::InvalidData, "its answer has no end");
            return Err(error.into());
        }
        head.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&head);
    Ok(line
        .split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{ClientError, request};

    #[test]
    fn the_proxy_of_the_environment_is_asked_for_the_host() {
        let asked = request("http://capstan:pw@127.0.0.1:81/", "::1", 22).unwrap();
        assert_eq!(asked.address, "127.0.0.1:81");
        assert!(asked.head.starts_with("CONNECT [::1]:22 HTTP/1.1\r\n"));
        assert!(asked.head.contains("Basic Y2Fwc3Rhbjpwdw==\r\n\r\n"));
        let asked = request("http://127.0.0.1:81", "git.example.com", 22).unwrap();
        assert!(!asked.head.contains("Basic"));
    }

    #[test]
    fn what_is_no_host_or_proxy_is_refused() {
        for host in ["", "a b", "a\r\nX: y", "a/b"] {
            assert!(matches!(
                request("http://127.0.0.1:81", host, 22),
                Err(ClientError::BadHost(_))
            ));
        }
        for proxy in ["socks5://127.0.0.1:81", "http://", "http://a:1/x"] {
            assert!(matches!(
                request(proxy, "a", 22),
                Err(ClientError::BadProxy(_))
            ));
        }
    }
}
