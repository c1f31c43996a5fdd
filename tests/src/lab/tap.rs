// SPDX-License-Identifier: MIT OR Apache-2.0
//! A tap device whose other end is this program, for carrier events like those of real cards.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::Namespace;
use crate::{Result, sys};

/// A tap device. It is removed when the value is dropped.
pub struct Tap {
    file: OwnedFd,
}

impl Tap {
    /// Creates a tap device in a namespace, with an address, and sets it up.
    pub fn new(ns: &Namespace, name: &str, address: &str) -> Result<Self> {
        let file = ns.run(|| Ok(sys::tap(name)?))?;
        ns.ip(&format!(
            "link set {name} up\naddr add {address} dev {name}\n"
        ))?;
        Ok(Self { file })
    }

    /// Creates a tap device without an address, and sets it up.
    pub fn bare(ns: &Namespace, name: &str) -> Result<Self> {
        let file = ns.run(|| Ok(sys::tap(name)?))?;
        ns.ip(&format!("link set {name} up\n"))?;
        Ok(Self { file })
    }

    pub fn carrier(&self, carrier: bool) -> Result<()> {
        Ok(sys::tap_carrier(&self.file, carrier)?)
    }
}

impl AsFd for Tap {
    /// Descriptor for reading and writing frames.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
