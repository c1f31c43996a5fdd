//! Descriptors that a plugin watches, and the loop's own, in one epoll instance.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use spared_abi as abi;

/// Maximum number of descriptors that a plugin may watch.
pub const WATCHES_MAX: usize = 4096;

/// Marks the loop's own descriptors. The data of the plugin's descriptors are their numbers.
const OWN: u64 = 1 << 32;

/// Descriptor that became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A descriptor of the loop, by the number given to [`Watches::add_own`].
    Own(u32),
    /// A descriptor of the plugin.
    Plugin(RawFd),
}

/// Descriptors that the loop waits for.
#[derive(Debug)]
pub struct Watches {
    epoll: OwnedFd,
    plugin: HashMap<RawFd, u32>,
}

impl Watches {
    pub fn new() -> Result<Self, Errno> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            plugin: HashMap::with_capacity(64),
        })
    }

    /// Epoll instance to wait on.
    pub fn epoll(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    pub fn add_own(&self, fd: BorrowedFd<'_>, number: u32) -> Result<(), Errno> {
        let data = EventData::new_u64(OWN | u64::from(number));
        epoll::add(&self.epoll, fd, data, EventFlags::IN)
    }

    pub fn remove_own(&self, fd: BorrowedFd<'_>) {
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Begins or stops to watch one of the loop's own descriptors for being writable.
    pub fn want_writable(&self, fd: BorrowedFd<'_>, number: u32, yes: bool) -> Result<(), Errno> {
        let data = EventData::new_u64(OWN | u64::from(number));
        let mut flags = EventFlags::IN;
        flags.set(EventFlags::OUT, yes);
        epoll::modify(&self.epoll, fd, data, flags)
    }

    pub fn source(data: u64) -> Source {
        let low = data as u32;
        if data & OWN != 0 {
            Source::Own(low)
        } else {
            Source::Plugin(low as RawFd)
        }
    }

    /// Watches `fd` for `events`; 0 stops watching.
    pub fn watch(&mut self, fd: RawFd, events: u32) -> Result<(), Errno> {
        if fd < 0 {
            return Err(Errno::BADF);
        }
        if events == 0 {
            self.unwatch(fd);
            return Ok(());
        }
        if !self.plugin.contains_key(&fd) && self.plugin.len() >= WATCHES_MAX {
            return Err(Errno::NOSPC);
        }
        // SAFETY: the kernel answers EBADF for a number that is not open.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        let data = EventData::new_u64(fd as u32 as u64);
        let flags = EventFlags::from_bits_retain(events & (abi::FD_READ | abi::FD_WRITE));
        match epoll::add(&self.epoll, borrowed, data, flags) {
            Err(Errno::EXIST) => epoll::modify(&self.epoll, borrowed, data, flags)?,
            other => other?,
        }
        self.plugin.insert(fd, events);
        Ok(())
    }

    pub fn unwatch(&mut self, fd: RawFd) {
        if self.plugin.remove(&fd).is_some() {
            // SAFETY: as above; one that was closed meanwhile left the epoll by itself.
            let _ = epoll::delete(&self.epoll, unsafe { BorrowedFd::borrow_raw(fd) });
        }
    }

    /// Returns true if a descriptor is still watched: an earlier callback of the same round may have stopped the
    /// watching.
    pub fn is_watched(&self, fd: RawFd) -> bool {
        self.plugin.contains_key(&fd)
    }
}
