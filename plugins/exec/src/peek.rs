//! Reads messages of the daemon and leaves them in the socket.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use spared_contract::ToPlugin;
use spared_contract::codec::{MESSAGE_MAX, Message};

/// Socket with a place up to which it was peeked at.
pub struct Peek<'s> {
    socket: &'s OwnedFd,
    buffer: Vec<u8>,
}

impl<'s> Peek<'s> {
    /// Begins with the first record. Reads of the socket wait from now on.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(socket: &'s OwnedFd) -> Result<Self, Errno> {
        fcntl_setfl(socket, fcntl_getfl(socket)? - OFlags::NONBLOCK)?;
        let buffer = vec![0; MESSAGE_MAX];
        let peek = Self { socket, buffer };
        peek.begin()?;
        Ok(peek)
    }

    /// Waits for the next record. None if the daemon is gone. A record that is no message counts as one of an unknown
    /// kind: the program decides.
    ///
    /// # Errors
    /// The kernel's.
    pub fn next(&mut self) -> Result<Option<ToPlugin>, Errno> {
        loop {
            match recv(self.socket, &mut *self.buffer, RecvFlags::PEEK) {
                Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(None),
                Ok((_, length)) => {
                    let record = self.buffer.get(..length).unwrap_or_default();
                    let message = ToPlugin::decode(record);
                    return Ok(Some(message.unwrap_or(ToPlugin::Unknown { kind: 0 })));
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Begins again with the first record.
    ///
    /// # Errors
    /// The kernel's.
    pub fn begin(&self) -> Result<(), Errno> {
        self.set(0)
    }

    /// Ends this, for a program that has the socket from now on: each peek of its own is one at the first record.
    ///
    /// # Errors
    /// The kernel's.
    pub fn end(&self) -> Result<(), Errno> {
        self.set(-1)
    }

    /// Sets the place for the next peek; -1 is always the first record.
    fn set(&self, at: c_int) -> Result<(), Errno> {
        let size = libc::socklen_t::try_from(size_of::<c_int>()).map_err(|_| Errno::INVAL)?;
        // SAFETY: the socket is open, and the option is read from `at` during the call.
        let set = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEEK_OFF,
                (&raw const at).cast(),
                size,
            )
        };
        match set {
            0 => Ok(()),
            _ => {
                Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_was_peeked_at_is_still_there() {
        let (daemon, plugin) = spared_records::pair().unwrap();
        for token in 1..=3 {
            spared_records::send(daemon.as_fd(), &ToPlugin::Start { token }, &[]).unwrap();
        }
        let mut peek = Peek::new(&plugin).unwrap();
        for token in 1..=2 {
            assert_eq!(peek.next(), Ok(Some(ToPlugin::Start { token })));
        }
        let mut receiver = spared_records::Receiver::default();
        let mut receive = || receiver.receive::<ToPlugin>(&plugin).unwrap().unwrap().0;
        assert_eq!(receive(), ToPlugin::Start { token: 1 });
        assert_eq!(peek.next(), Ok(Some(ToPlugin::Start { token: 3 })));
        peek.end().unwrap();
        assert_eq!(peek.next(), Ok(Some(ToPlugin::Start { token: 2 })));
        assert_eq!(receive(), ToPlugin::Start { token: 2 });
        assert_eq!(receive(), ToPlugin::Start { token: 3 });
        drop(daemon);
        assert_eq!(peek.next(), Ok(None));
    }
}
