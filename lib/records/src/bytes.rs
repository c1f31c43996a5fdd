//! Records that are no messages, as those of channels: bytes without descriptors, which the kernel closes.

use std::io::IoSlice;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};

/// Length of the next record, 0 at the end; None if there is none yet. It may be longer than the buffer.
///
/// # Errors
/// The kernel's.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
    loop {
        match recv(
            &socket,
            &mut *buffer,
            RecvFlags::DONTWAIT | RecvFlags::TRUNC,
        ) {
            Ok((_, length)) => return Ok(Some(length)),
            // A reset is reported once, before the records that came ahead of it.
            Err(Errno::INTR | Errno::CONNRESET) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(errno) => return Err(errno),
        }
    }
}

/// Sends these parts as one record, at once or not at all.
///
/// # Errors
/// AGAIN if there is no room, NOTCONN if the other end is gone: whoever reads finds its end, after what it sent.
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
