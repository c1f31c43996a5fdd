//! The router's own addresses, as they come and go.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use spared_netlink::AddressWatch;

use crate::wire::Address;

pub struct Addresses {
    watch: AddressWatch,
    known: Option<HashSet<Address>>,
    /// They could not be read, and the journal says so.
    is_told: bool,
}

impl Addresses {
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            watch: AddressWatch::open()?,
            known: None,
            is_told: false,
        })
    }

    pub fn fd(&self) -> RawFd {
        self.watch.as_fd().as_raw_fd()
    }

    /// All of them, once read.
    pub fn known(&self) -> Option<&HashSet<Address>> {
        self.known.as_ref()
    }

    /// All of them, if they have changed.
    pub fn read(&mut self) -> Option<HashSet<Address>> {
        let found = match self.watch.read() {
            Ok(found) => found?,
            Err(error) => {
                if !std::mem::replace(&mut self.is_told, true) {
                    log::warn!("cannot read this router's addresses: {error}");
                }
                return None;
            }
        };
        self.is_told = false;
        let own: HashSet<Address> = found.iter().map(|it| bytes_of(it.address)).collect();
        if self.known.as_ref() == Some(&own) {
            return None;
        }
        self.known = Some(own.clone());
        Some(own)
    }
}

pub fn bytes_of(address: IpAddr) -> Address {
    let mut bytes = [0; 16];
    match address {
        IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes = ip.octets(),
    }
    (address.is_ipv6(), bytes)
}
