//! Connection to a server's Unix socket, with a deadline. It is abandoned at once when this thread
//! is to end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};

use super::End;

const PIECE: usize = 64 << 10;

#[derive(Debug)]
pub struct Call {
    socket: OwnedFd,
    end: End,
    deadline: Instant,
}

impl Call {
    /// # Errors
    /// Text without the name of the server, as for all errors here.
    pub fn connect(address: &SocketAddrUnix, end: &End, timeout: Duration) -> Result<Self, String> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        let socket = socket.map_err(|error| error.to_string())?;
        let call = Self {
            socket,
            end: end.clone(),
            deadline: Instant::now() + timeout,
        };
        loop {
            match connect(&call.socket, address) {
                Ok(()) => return Ok(call),
                Err(Errno::INTR) => {}
                // the queue is full, and no event reports when it is not
                Err(Errno::AGAIN) => call.pause(Duration::from_millis(2))?,
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Restarts the time limit for the next step.
    pub fn extend(&mut self, timeout: Duration) {
        self.deadline = Instant::now() + timeout;
    }

    pub fn write(&self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT)?,
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Appends available bytes, and waits if there are none. Returns false at the end.
    pub fn read(&self, bytes: &mut Vec<u8>, max: usize) -> Result<bool, String> {
        let before = bytes.len();
        if before >= max {
            return Err(format!("its answer is longer than {max} bytes"));
        }
        loop {
            bytes.resize(max.min(before.saturating_add(PIECE)), 0);
            let room = bytes.get_mut(before..).unwrap_or_default();
            let received = recv(&self.socket, room, RecvFlags::empty());
            let count = received.as_ref().map_or(0, |(count, _)| *count);
            bytes.truncate(before.saturating_add(count));
            match received {
                Ok(_) => return Ok(count > 0),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(PollFlags::IN)?,
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn wait(&self, what: PollFlags) -> Result<(), String> {
        let left = self.left()?;
        self.poll(
            &mut [
                PollFd::new(&self.socket, what),
                PollFd::new(&self.end.descriptor, PollFlags::IN),
            ],
            left,
        )?;
        self.left().map(drop)
    }

    fn pause(&self, time: Duration) -> Result<(), String> {
        let left = self.left()?.min(time);
        self.poll(
            &mut [PollFd::new(&self.end.descriptor, PollFlags::IN)],
            left,
        )
    }

    fn poll(&self, descriptors: &mut [PollFd<'_>], left: Duration) -> Result<(), String> {
        let left = Timespec::try_from(left).map_err(|error| error.to_string())?;
        match poll(descriptors, Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.to_string()),
        }
        let end = descriptors.last().map(PollFd::revents);
        if end.is_some_and(|end| !end.is_empty()) {
            return Err("it was cancelled".to_owned());
        }
        Ok(())
    }

    fn left(&self) -> Result<Duration, String> {
        let left = self.deadline.checked_duration_since(Instant::now());
        left.filter(|left| !left.is_zero())
            .ok_or_else(|| "it does not answer".to_owned())
    }
}

impl AsFd for Call {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
