//! Tracks the addresses of this node, those that spared sets and the others.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use spared_netlink::AddressWatch;

pub struct Addresses {
    watch: AddressWatch,
    known: Option<[BTreeSet<IpAddr>; 2]>,
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

    /// Returns spared's addresses and the others, if they have changed.
    pub fn read(&mut self) -> Option<[BTreeSet<IpAddr>; 2]> {
        let found = match self.watch.read() {
            Ok(found) => found?,
            Err(error) => {
                log::warn!("cannot read this node's addresses: {error}");
                return None;
            }
        };
        let of = |ours: bool| {
            let these = found.iter().filter(|it| it.is_ours() == ours);
            these.map(|it| it.address).collect()
        };
        let addresses = [of(true), of(false)];
        if self.known.as_ref() == Some(&addresses) {
            return None;
        }
        self.known = Some(addresses.clone());
        Some(addresses)
    }
}
