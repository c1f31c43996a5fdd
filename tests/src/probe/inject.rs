// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends arbitrary frames.

use std::os::fd::OwnedFd;

use rustix::net::netdevice::name_to_index;

use crate::lab::Namespace;
use crate::{Result, sys};

pub struct Injector {
    socket: OwnedFd,
}

impl Injector {
    /// Sends through an interface of the namespace.
    pub fn new(ns: &Namespace, interface: &str) -> Result<Self> {
        let socket = ns.run(|| {
            let socket = sys::packet_socket()?;
            let index = name_to_index(&socket, interface)?;
            sys::listen(&socket, index, None)?;
            Ok(socket)
        })?;
        Ok(Self { socket })
    }

    pub fn send(&self, frame: &[u8]) -> Result<()> {
        rustix::io::write(&self.socket, frame)?;
        Ok(())
    }
}
