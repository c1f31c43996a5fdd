//! A node's addresses, read again when any of them may have changed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::{Address, Monitor, Requests};

/// Subscription, and the addresses that were read last.
pub struct AddressWatch {
    requests: Requests,
    monitor: Monitor,
    /// True if the addresses may be outdated.
    stale: bool,
}

impl AddressWatch {
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            monitor: Monitor::links_and_addresses()?,
            requests: Requests::open()?,
            stale: true,
        })
    }

    /// Returns all addresses, read again at the first call and after each notification or loss of notifications.
    pub fn read(&mut self) -> io::Result<Option<Vec<Address>>> {
        let mut events = Vec::new();
        let heard = self.monitor.read(&mut events);
        self.stale |= !events.is_empty() || !matches!(heard, Ok(Ok(())));
        if !self.stale {
            return Ok(None);
        }
        let found = self.requests.addresses()?;
        self.stale = false;
        Ok(Some(found))
    }
}

impl AsFd for AddressWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}
