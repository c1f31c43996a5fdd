//! charon's socket: sends and receives packets, with a deadline for each wait. It is abandoned at
//! once when this thread is to end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};

use super::codec::{PACKET_MAX, Packet};
use super::stop_signal::StopSignal;

const PIECE: usize = 16 << 10;
const LENGTH: usize = 4;

#[derive(Debug)]
pub struct Stream {
    socket: OwnedFd,
    stop_signal: StopSignal,
    /// Bytes of an incomplete packet.
    bytes: Vec<u8>,
}

impl Stream {
    /// # Errors
    /// Errors of the system.
    pub fn connect(path: &Path, stop_signal: &StopSignal) -> Result<Self, Errno> {
        let address = SocketAddrUnix::new(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // AGAIN: its queue is full; the next try is soon
        connect(&socket, &address)?;
        Ok(Self {
            socket,
            stop_signal: stop_signal.clone(),
            bytes: Vec::new(),
        })
    }

    /// # Errors
    /// Text without the name of the server, as for all errors here.
    pub fn write(&self, packet: &Packet, deadline: Instant) -> Result<(), String> {
        let bytes = packet.encode().map_err(|error| error.to_string())?;
        let mut bytes = bytes.as_slice();
        while !bytes.is_empty() {
            match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, deadline)?,
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Returns the next packet, which must come.
    pub fn read(&mut self, deadline: Instant) -> Result<Packet, String> {
        loop {
            if let Some(packet) = self.try_read()? {
                // the deadline also applies to a sender that does not stop
                self.left(deadline)?;
                return Ok(packet);
            }
            self.wait(PollFlags::IN, deadline)?;
        }
    }

    /// Returns the next packet, if it has arrived.
    pub fn try_read(&mut self) -> Result<Option<Packet>, String> {
        loop {
            if let Some(packet) = self.take()? {
                return Ok(Some(packet));
            }
            let mut piece = [0; PIECE];
            match recv(&self.socket, &mut piece, RecvFlags::empty()) {
                Ok((0, _)) => return Err("it closed the connection".to_owned()),
                Ok((count, _)) => self.bytes.extend(piece.iter().take(count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn take(&mut self) -> Result<Option<Packet>, String> {
        let Some((length, rest)) = self.bytes.split_first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > PACKET_MAX {
            return Err("it sends packets that are too long".to_owned());
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let packet = Packet::parse(body);
        self.bytes.drain(..LENGTH + length);
        packet
            .map(Some)
            .map_err(|error| format!("its answer cannot be read: {error}"))
    }

    fn wait(&self, what: PollFlags, deadline: Instant) -> Result<(), String> {
        let left = Timespec::try_from(self.left(deadline)?).map_err(|error| error.to_string())?;
        let mut descriptors = [
            PollFd::new(&self.socket, what),
            PollFd::new(&self.stop_signal, PollFlags::IN),
        ];
        match poll(&mut descriptors, Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.to_string()),
        }
        self.left(deadline).map(drop)
    }

    fn left(&self, deadline: Instant) -> Result<Duration, String> {
        if self.stop_signal.is_sent() {
            return Err("it was cancelled".to_owned());
        }
        let left = deadline.checked_duration_since(Instant::now());
        left.filter(|left| !left.is_zero())
            .ok_or_else(|| "it does not answer".to_owned())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
