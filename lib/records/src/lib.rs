//! Messages as records of a SOCK_SEQPACKET socket, one message in each record, optionally with descriptors; never
//! blocks. Both ends of a plugin's socket use this crate, and so do the daemon and its other processes. [`monotonic`]
//! is the clock of the times in messages, which [`boot`] tells from those of another boot.

#![forbid(unsafe_code)]

pub mod boot;
pub mod bytes;
pub mod monotonic;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair, sockopt,
};
use spared_contract::codec::{MESSAGE_MAX, Message};

/// Maximum number of descriptors sent with one message.
pub const DESCRIPTORS_MAX: usize = 16;

/// Buffer size for each direction in bytes; the kernel may grant less.
const BUFFER_BYTES: usize = 1 << 20;

/// Creates a connected pair: the daemon's end and the worker's.
///
/// # Errors
/// The kernel's error: no descriptors left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (host, worker) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    for end in [&host, &worker] {
        // best effort: the default has room for one record of MESSAGE_MAX
        if sockopt::set_socket_send_buffer_size_force(end, BUFFER_BYTES).is_err() {
            let _ = sockopt::set_socket_send_buffer_size(end, BUFFER_BYTES);
        }
    }
    Ok((host, worker))
}

/// Encodes a message as a record.
///
/// # Errors
/// [`SendError::TooLong`].
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, SendError> {
    let record = message
        .encode()
        .map_err(|error| SendError::Kernel(io::Error::other(error)))?;
    if record.len() > MESSAGE_MAX {
        return Err(SendError::TooLong(record.len()));
    }
    Ok(record)
}

/// Sends a record and descriptors, completely or not at all.
///
/// # Errors
/// See [`SendError`].
pub fn transmit(
    socket: BorrowedFd<'_>,
    record: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), SendError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(SendError::TooManyDescriptors(descriptors.len()));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        return match sendmsg(socket, &[IoSlice::new(record)], &mut control, flags) {
            Ok(_) => Ok(()),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => Err(SendError::Full),
            Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => Err(SendError::Closed),
            Err(Errno::MSGSIZE) => Err(SendError::TooLong(record.len())),
            Err(errno) => Err(SendError::Kernel(errno.into())),
        };
    }
}

/// Encodes a message and sends it with descriptors.
///
/// # Errors
/// See [`SendError`].
pub fn send<M: Message>(
    socket: BorrowedFd<'_>,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), SendError> {
    transmit(socket, &encode(message)?, descriptors)
}

thread_local! {
    /// Buffer shared by all receivers of a thread: the daemon has a receiver for each process, and reads one after the
    /// other.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; MESSAGE_MAX].into_boxed_slice());
}

/// Receiver of messages, which uses the buffer of its thread.
#[derive(Debug, Default)]
pub struct Receiver {
    /// Length of the last record.
    pub length: usize,
}

impl Receiver {
    /// Returns the next message and its descriptors (close-on-exec); None if there is none yet.
    ///
    /// # Errors
    /// See [`ReceiveError`].
    pub fn receive<M: Message>(
        &mut self,
        socket: impl AsFd,
    ) -> Result<Option<(M, Vec<OwnedFd>)>, ReceiveError> {
        BUFFER.with_borrow_mut(|buffer| self.receive_into(buffer, socket.as_fd()))
    }

    fn receive_into<M: Message>(
        &mut self,
        buffer: &mut [u8],
        socket: BorrowedFd<'_>,
    ) -> Result<Option<(M, Vec<OwnedFd>)>, ReceiveError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received = loop {
            let mut parts = [IoSliceMut::new(buffer)];
            match recvmsg(socket, &mut parts, &mut control, flags) {
                Ok(received) => break received,
                // the other end left something unread, which the kernel reports once, before the records that it sent
                Err(Errno::INTR | Errno::CONNRESET) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(ReceiveError::Kernel(errno.into())),
            }
        };
        let descriptors: Vec<OwnedFd> = control
            .drain()
            .filter_map(|part| match part {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        if received.flags.contains(ReturnFlags::TRUNC)
            || received.flags.contains(ReturnFlags::CTRUNC)
        {
            return Err(ReceiveError::Malformed("a record is too long".to_owned()));
        }
        if received.bytes == 0 {
            return Err(ReceiveError::Closed);
        }
        self.length = received.bytes;
        let record = buffer.get(..received.bytes).unwrap_or_default();
        let message = M::decode(record)
            .map_err(|error| ReceiveError::Malformed(format!("a record is malformed: {error}")))?;
        Ok(Some((message, descriptors)))
    }
}

/// Reason why a message was not sent.
#[derive(Debug)]
pub enum SendError {
    /// The other end has not read hundreds of messages.
    Full,
    /// The other end is gone.
    Closed,
    /// The record is longer than [`MESSAGE_MAX`]: its length in bytes.
    TooLong(usize),
    /// There are more descriptors than [`DESCRIPTORS_MAX`]: their number.
    TooManyDescriptors(usize),
    /// Any other error.
    Kernel(io::Error),
}

impl SendError {
    /// Predicate about the other end, to be put after its name: "rogue cannot be reached: ...".
    pub fn predicate(&self) -> String {
        format!("cannot be reached: {self}")
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the other end does not read its socket"),
            Self::Closed => f.write_str("the other end is gone"),
            Self::TooLong(bytes) => {
                write!(f, "a message of {bytes} bytes, limit is {MESSAGE_MAX}")
            }
            Self::TooManyDescriptors(count) => {
                write!(
                    f,
                    "{count} descriptors with a message, limit is {DESCRIPTORS_MAX}"
                )
            }
            Self::Kernel(error) => write!(f, "cannot send: {error}"),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Kernel(error) => Some(error),
            _ => None,
        }
    }
}

/// Reason why no message was received.
#[derive(Debug)]
pub enum ReceiveError {
    /// The other end is gone, and everything that it sent was received.
    Closed,
    /// The other end sent an invalid record.
    Malformed(String),
    /// Any other error.
    Kernel(io::Error),
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the other end is gone"),
            Self::Malformed(why) => f.write_str(why),
            Self::Kernel(error) => write!(f, "cannot receive: {error}"),
        }
    }
}

impl ReceiveError {
    /// Predicate about the other end, to be put after its name: "rogue sent an invalid message: ...".
    pub fn predicate(&self) -> String {
        match self {
            Self::Closed => "closed its connection".to_owned(),
            Self::Malformed(why) => format!("sent an invalid message: {why}"),
            Self::Kernel(error) => format!("cannot be read from: {error}"),
        }
    }
}

impl std::error::Error for ReceiveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Kernel(error) => Some(error),
            _ => None,
        }
    }
}
