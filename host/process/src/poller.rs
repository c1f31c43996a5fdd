//! One epoll instance whose events carry typed keys.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

/// Waits for one descriptor, at most for `most`. Returns true if it is readable.
pub fn is_readable(fd: impl AsFd, most: Duration) -> bool {
    let fd = fd.as_fd();
    let most = Timespec::try_from(most).ok();
    let ready = poll(&mut [PollFd::new(&fd, PollFlags::IN)], most.as_ref());
    matches!(ready, Ok(1..))
}

/// A source of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Signal,
    /// Descriptor of the kernel's.
    Kernel,
    /// A worker's socket, by the worker's serial number.
    Worker(u64),
    /// A worker's error output.
    Errors(u64),
    /// End of a worker's process.
    Exit(u64),
    Listener,
    /// A control connection, by its serial number.
    Client(u64),
    /// The socket of a process of the link, by its serial number.
    Link(u64),
    /// End of a process of the link.
    LinkExit(u64),
    /// The socket of a process of the firewall, by its serial number.
    Firewall(u64),
    /// End of a process of the firewall.
    FirewallExit(u64),
}

const EVENTS_MAX: usize = 64;
const KIND_BITS: u32 = 4;

/// An epoll instance. It is level-triggered: what is not read is reported again. Only ends of processes are reported
/// once.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll })
    }

    /// Watches a descriptor for reading, until it is closed.
    pub fn watch(&self, fd: impl AsFd, key: Key) -> io::Result<()> {
        let data = epoll::EventData::new_u64(key.encode());
        Ok(epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN)?)
    }

    /// Watches a process for its end, which is reported once: the descriptor stays readable until the process is
    /// reaped, and the starter that reaps it may not answer for a while.
    pub fn watch_end(&self, pidfd: impl AsFd, key: Key) -> io::Result<()> {
        let data = epoll::EventData::new_u64(key.encode());
        let once = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        Ok(epoll::add(&self.epoll, pidfd, data, once)?)
    }

    /// Changes the events for which a descriptor is watched.
    pub fn rewatch(&self, fd: impl AsFd, key: Key, reads: bool, writes: bool) -> io::Result<()> {
        let data = epoll::EventData::new_u64(key.encode());
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, reads);
        flags.set(epoll::EventFlags::OUT, writes);
        Ok(epoll::modify(&self.epoll, fd, data, flags)?)
    }

    /// Stops watching a descriptor that stays open elsewhere.
    pub fn forget(&self, fd: impl AsFd) {
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Returns the keys that are ready within `timeout`; None waits without a limit.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<Key>> {
        let mut space = [MaybeUninit::<epoll::Event>::uninit(); EVENTS_MAX];
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let (ready, _) = match epoll::wait(&self.epoll, &mut space, timeout.as_ref()) {
            Ok(ready) => ready,
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        };
        let keys = ready
            .iter()
            .filter_map(|event| Key::decode(event.data.u64()));
        Ok(keys.collect())
    }
}

impl Key {
    fn encode(self) -> u64 {
        let (kind, number) = match self {
            Self::Signal => (0, 0),
            Self::Kernel => (1, 0),
            Self::Worker(number) => (2, number),
            Self::Exit(number) => (3, number),
            Self::Listener => (4, 0),
            Self::Client(number) => (5, number),
            Self::Link(number) => (6, number),
            Self::LinkExit(number) => (7, number),
            Self::Errors(number) => (8, number),
            Self::Firewall(number) => (9, number),
            Self::FirewallExit(number) => (10, number),
        };
        number << KIND_BITS | kind
    }

    fn decode(data: u64) -> Option<Self> {
        let number = data >> KIND_BITS;
        Some(match data & ((1 << KIND_BITS) - 1) {
            0 => Self::Signal,
            1 => Self::Kernel,
            2 => Self::Worker(number),
            3 => Self::Exit(number),
            4 => Self::Listener,
            5 => Self::Client(number),
            6 => Self::Link(number),
            7 => Self::LinkExit(number),
            8 => Self::Errors(number),
            9 => Self::Firewall(number),
            10 => Self::FirewallExit(number),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_the_kernel() {
        for key in [
            Key::Signal,
            Key::Kernel,
            Key::Worker(7),
            Key::Exit(1 << 40),
            Key::Client(0),
            Key::Link(3),
            Key::LinkExit(4),
            Key::Firewall(5),
            Key::FirewallExit(6),
        ] {
            assert_eq!(Key::decode(key.encode()), Some(key));
        }
    }
}
