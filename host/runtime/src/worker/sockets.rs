//! Passing connected sockets from the supervisor to the worker.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Sends a descriptor with the number of the call that asked for it.
pub(crate) fn send(channel: impl AsFd, call: u64, descriptor: &OwnedFd) -> io::Result<()> {
    let bytes = call.to_le_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor.as_fd()];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    sendmsg(
        channel,
        &[IoSlice::new(&bytes)],
        &mut ancillary,
        SendFlags::empty(),
    )?;
    Ok(())
}

/// Takes the next descriptor, if there is one.
pub(crate) fn receive(channel: impl AsFd) -> io::Result<(u64, OwnedFd)> {
    let mut bytes = [0; 8];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        channel,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes != bytes.len() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the supervisor has gone away",
        ));
    }
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message
            && let Some(descriptor) = descriptors.next()
        {
            return Ok((u64::from_le_bytes(bytes), descriptor));
        }
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "a message came without its descriptor",
    ))
}
