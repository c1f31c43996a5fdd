//! The addresses that spared put on interfaces of this node, as they come and go.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use spared_netlink::{Monitor, Requests};

pub struct Addresses {
    requests: Requests,
    monitor: Monitor,
    known: Option<BTreeSet<IpAddr>>,
}

impl Addresses {
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            monitor: Monitor::links_and_addresses()?,
            requests: Requests::open()?,
            known: None,
        })
    }

    pub fn fd(&self) -> RawFd {
        self.monitor.as_fd().as_raw_fd()
    }

    /// All of them, where they have changed.
    pub fn read(&mut self) -> Option<BTreeSet<IpAddr>> {
        let mut events = Vec::new();
        // whatever they say, and whatever was lost: the whole is read again
        let overrun = !matches!(self.monitor.read(&mut events), Ok(Ok(())));
        if self.known.is_some() && events.is_empty() && !overrun {
            return None;
        }
        let found = match self.requests.addresses() {
            Ok(found) => found,
            Err(error) => {
                log::warn!("cannot read this node's addresses: {error}");
                return None;
            }
        };
        let ours = found.iter().filter(|it| it.is_ours());
        let ours: BTreeSet<IpAddr> = ours.map(|it| it.address).collect();
        if self.known.as_ref() == Some(&ours) {
            return None;
        }
        self.known = Some(ours.clone());
        Some(ours)
    }
}
