//! The addresses that spared put on interfaces of this node, as they come and go.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use spared_netlink::AddressWatch;

pub struct Addresses {
    watch: AddressWatch,
    known: Option<BTreeSet<IpAddr>>,
}

impl Addresses {
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            watch: AddressWatch::open()?,
            known: None,
        })
    }

    pub fn fd(&self) -> RawFd {
        self.watch.as_fd().as_raw_fd()
    }

    /// All of them, where they have changed.
    pub fn read(&mut self) -> Option<BTreeSet<IpAddr>> {
        let found = match self.watch.read() {
            Ok(found) => found?,
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
