//! Records of plain bytes without descriptors, as channels use them. The kernel closes descriptors that are sent.

use std::io::IoSlice;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};

/// Receives the next record and returns its length, 0 at the end; None if there is none yet. The record may be longer
/// than the buffer.
///
/// # Errors
/// The kernel's error.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
    loop {
        match recv(
            &socket,
            &mut *buffer,
            RecvFlags::DONTWAIT | RecvFlags::TRUNC,
        ) {
            Ok((_, length)) => return Ok(Some(length)),
            // the kernel reports a reset once, before the records that were sent earlier
            Err(Errno::INTR | Errno::CONNRESET) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(errno) => return Err(errno),
        }
    }
}

/// Sends these parts as one record, completely or not at all.
///
/// # Errors
/// AGAIN if there is no room, NOTCONN if the other end is gone: a reader still finds its last records, then its end.
pub fn transmit(socket: impl AsFd, parts: &[IoSlice<'_>]) -> Result<(), Errno> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        return match sendmsg(&socket, parts, &mut SendAncillaryBuffer::default(), flags) {
            Ok(_) => Ok(()),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => Err(Errno::AGAIN),
            Err(Errno::PIPE | Errno::CONNRESET) => Err(Errno::NOTCONN),
            Err(errno) => Err(errno),
        };
    }
}
