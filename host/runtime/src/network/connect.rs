//! Resolving and connecting, on the supervisor's side.

use std::net::SocketAddr;
use std::time::Duration;

use capstan_policy::{GrantCheck, HostVerdict, is_private_address};
use tokio::net::TcpStream;

use crate::broker::{BrokerError, ConnectRequest, Connected};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to a host that the grant holds by its name. The address that was checked is the address that is
/// connected to: the name is resolved once.
///
/// # Errors
/// [`BrokerError::Denied`] when the name is not granted, or resolves to a private address without leave.
pub async fn connect_checked(
    check: &GrantCheck,
    request: &ConnectRequest,
) -> Result<Connected, BrokerError> {
    let ConnectRequest { scheme, host, port } = request;
    let shown = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.clone()
    };
    let target = format!("{scheme}://{shown}:{port}");
    let verdict = check.allows_connection(scheme, host, *port);
    if verdict == HostVerdict::Refused {
        return Err(BrokerError::Denied {
            capability: "hosts".into(),
            hint: format!("grants: {{ hosts: [\"{target}\"] }}"),
            target,
        });
    }
    let resolved = tokio::time::timeout(
        CONNECT_TIMEOUT,
        tokio::net::lookup_host((host.as_str(), *port)),
    )
    .await
    .map_err(|_| BrokerError::TimedOut)?
    .map_err(|error| BrokerError::Io(format!("{host}: {error}")))?;
    let addresses: Vec<SocketAddr> = resolved.collect();
    let mut last = BrokerError::Io(format!("{host} has no address"));
    for address in addresses {
        if verdict == HostVerdict::Public && is_private_address(address.ip()) {
            last = BrokerError::Denied {
                capability: "hosts".into(),
                target: format!("{target} at the private address {}", address.ip()),
                hint: format!("grants: {{ hosts: [{{ host: \"{target}\", private: true }}] }}"),
            };
            continue;
        }
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                let socket = stream
                    .into_std()
                    .map_err(|error| BrokerError::Io(error.to_string()))?;
                return Ok(Connected {
                    socket: socket.into(),
                    peer: address,
                });
            }
            Ok(Err(error)) => last = BrokerError::Io(format!("{host} ({address}): {error}")),
            Err(_) => last = BrokerError::TimedOut,
        }
    }
    Err(last)
}
