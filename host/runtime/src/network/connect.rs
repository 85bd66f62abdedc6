//! Resolving and connecting, on the supervisor's side.

use std::net::{IpAddr, SocketAddr};
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
    let ConnectRequest { host, port, .. } = request;
    let (target, verdict) = check_name(check, request)?;
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
        if let Err(refused) = check_address(verdict, &target, address.ip()) {
            last = refused;
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

/// What the grant says of a host as it is named, and how the host is shown.
fn check_name(
    check: &GrantCheck,
    request: &ConnectRequest,
) -> Result<(String, HostVerdict), BrokerError> {
    let ConnectRequest { scheme, host, port } = request;
    let shown = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.clone()
    };
    let target = format!("{scheme}://{shown}:{port}");
    match check.allows_connection(scheme, host, *port) {
        HostVerdict::Refused => Err(BrokerError::Denied {
            capability: "hosts".into(),
            hint: format!("grants: {{ hosts: [\"{target}\"] }}"),
            target,
        }),
        verdict => Ok((target, verdict)),
    }
}

fn check_address(verdict: HostVerdict, target: &str, address: IpAddr) -> Result<(), BrokerError> {
    if verdict == HostVerdict::Public && is_private_address(address) {
        return Err(BrokerError::Denied {
            capability: "hosts".into(),
            target: format!("{target} at the private address {address}"),
            hint: format!("grants: {{ hosts: [{{ host: \"{target}\", private: true }}] }}"),
        });
    }
    Ok(())
}

/// The same checks where no name is resolved: of the name, and of an address that stands in its place.
pub(crate) fn check_literal(
    check: &GrantCheck,
    request: &ConnectRequest,
) -> Result<(), BrokerError> {
    let (target, verdict) = check_name(check, request)?;
    match request.host.parse() {
        Ok(address) => check_address(verdict, &target, address),
        Err(_) => Ok(()),
    }
}
