//! Which sockets may be made, and what of TCP Landlock does not see.

use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

use super::condition::{condition, differs, has_bits, is, rule};
use super::{Openings, Rules};
use crate::error::SandboxError;

#[expect(
    clippy::cast_sign_loss,
    reason = "socket families and protocols are positive"
)]
pub(super) fn sockets(open: Openings) -> Result<Vec<SeccompRule>, SandboxError> {
    let mut families = Vec::new();
    if open.tcp {
        families.extend([libc::AF_INET, libc::AF_INET6]);
    }
    if open.unix {
        families.push(libc::AF_UNIX);
    }
    let mut rules = other_families(&families)?;
    if !open.tcp {
        return Ok(rules);
    }
    for family in [libc::AF_INET, libc::AF_INET6] {
        // Of the internet only streams. There is no "not equal under a mask", so each other type is refused by name.
        for kind in [
            libc::SOCK_DGRAM,
            libc::SOCK_RAW,
            libc::SOCK_RDM,
            libc::SOCK_SEQPACKET,
            libc::SOCK_DCCP,
        ] {
            rules.push(rule(vec![is(0, family as u64)?, is_kind(kind)?])?);
        }
        // And of streams only TCP: MPTCP and SCTP are none of Landlock's.
        rules.push(rule(vec![
            is(0, family as u64)?,
            differs(2, 0)?,
            differs(2, libc::IPPROTO_TCP as u64)?,
        ])?);
    }
    Ok(rules)
}

/// Pairs are connected, but those of datagrams can be connected anew, to any socket with a path.
pub(super) fn socket_pairs(open: Openings) -> Result<Vec<SeccompRule>, SandboxError> {
    let mut rules = vec![rule(vec![differs(0, libc::AF_UNIX as u64)?])?];
    if !open.unix {
        // The kernel takes the second for the first.
        for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW] {
            rules.push(rule(vec![is_kind(kind)?])?);
        }
    }
    Ok(rules)
}

/// What TCP can do that Landlock's rules on ports do not see. For where no network namespace holds it.
pub(super) fn refuse_past_landlock(rules: &mut Rules) -> Result<(), SandboxError> {
    // Listening without binding takes any free port.
    for call in [libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4] {
        rules.insert(call, Vec::new());
    }
    // Connects without `connect`.
    let fast_open = libc::MSG_FASTOPEN as u64;
    for (call, flags) in [
        (libc::SYS_sendto, 3),
        (libc::SYS_sendmsg, 2),
        (libc::SYS_sendmmsg, 3),
    ] {
        rules.insert(call, vec![rule(vec![has_bits(flags, fast_open)?])?]);
    }
    // Turns a socket into one of another protocol.
    rules.insert(
        libc::SYS_setsockopt,
        vec![rule(vec![
            is(1, libc::IPPROTO_TCP as u64)?,
            is(2, libc::TCP_ULP as u64)?,
        ])?],
    );
    Ok(())
}

/// The type of a socket without its flags is this.
#[expect(clippy::cast_sign_loss, reason = "socket types are positive")]
pub(super) fn is_kind(kind: i32) -> Result<SeccompCondition, SandboxError> {
    condition(
        1,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(0xF),
        kind as u64,
    )
}

/// A socket of a family that is none of these.
#[expect(clippy::cast_sign_loss, reason = "socket families are positive")]
pub(super) fn other_families(families: &[i32]) -> Result<Vec<SeccompRule>, SandboxError> {
    if families.is_empty() {
        // Without a condition: every one.
        return Ok(Vec::new());
    }
    let conditions = families
        .iter()
        .map(|family| differs(0, *family as u64))
        .collect::<Result<_, _>>()?;
    Ok(vec![rule(conditions)?])
}
