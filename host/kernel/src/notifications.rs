//! Reads the kernel's notifications about links, addresses and routes, and knows if some were lost.

use std::os::fd::{AsFd, BorrowedFd};

use spared_netlink::{Event, Monitor};

use super::KernelError;

pub(super) struct Notifications {
    interfaces: Monitor,
    routes: Monitor,
    /// True if notifications were lost, and links and addresses could not be read again since.
    is_outdated: bool,
    /// Number of times that notifications were lost.
    overruns: u64,
}

impl Notifications {
    pub(super) fn open() -> Result<Self, KernelError> {
        let refused = |what: &'static str| move |error| KernelError::new("kernel", what, error);
        Ok(Self {
            interfaces: Monitor::links_and_addresses().map_err(refused("watch interfaces"))?,
            routes: Monitor::own_routes().map_err(refused("watch routes"))?,
            is_outdated: false,
            overruns: 0,
        })
    }

    /// Returns the changes of links and addresses.
    ///
    /// # Errors
    /// Notifications were lost, so links and addresses must be read again. The error of the kernel, if there was one.
    pub(super) fn read_interfaces(&mut self) -> Result<Vec<Event>, Option<KernelError>> {
        let mut events = Vec::new();
        let error = match self.interfaces.read(&mut events) {
            Ok(Ok(())) => return Ok(events),
            Ok(Err(_)) => None,
            Err(error) => Some(KernelError::new("kernel", "watch interfaces", error)),
        };
        self.overruns += 1;
        Err(error)
    }

    /// Returns the changes of routes. The flag is true if some were lost.
    pub(super) fn read_routes(&mut self) -> (Vec<Event>, bool) {
        let mut events = Vec::new();
        let lost = !matches!(self.routes.read(&mut events), Ok(Ok(())));
        (events, lost)
    }

    /// Sets if links and addresses could not be read again.
    pub(super) fn set_outdated(&mut self, is_outdated: bool) {
        self.is_outdated = is_outdated;
    }

    pub(super) fn is_outdated(&self) -> bool {
        self.is_outdated
    }

    pub(super) fn overruns(&self) -> u64 {
        self.overruns
    }

    pub(super) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.interfaces.as_fd(), self.routes.as_fd()]
    }
}
