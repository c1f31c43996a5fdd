// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keeps frames as they went by.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::netdevice::name_to_index;

use crate::clock::{Stamp, poll};
use crate::lab::Namespace;
use crate::{Result, sys};

pub struct Recorder {
    socket: OwnedFd,
}

impl Recorder {
    /// Hears whatever passes an interface of the namespace from now on.
    pub fn new(ns: &Namespace, interface: &str) -> Result<Self> {
        const EVERYTHING: libc::sock_filter = libc::sock_filter {
            code: 0x06,
            jt: 0,
            jf: 0,
            k: u32::MAX,
        };
        let socket = ns.run(|| {
            let socket = sys::packet_socket()?;
            let index = name_to_index(&socket, interface)?;
            sys::listen(&socket, index, Some(&[EVERYTHING]))?;
            Ok(socket)
        })?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self { socket })
    }

    /// The first frame that is wanted; None where none came in time.
    pub fn find(&self, limit: Duration, wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        const STEP: Duration = Duration::from_millis(20);
        let mut buffer = [0; 2048];
        let mut found = None;
        poll(limit, STEP, || {
            while let Ok(seen) = sys::receive(&self.socket, &mut buffer) {
                let frame = buffer.get(..seen.length).unwrap_or_default();
                if wanted(frame) {
                    found = Some(frame.to_vec());
                    return true;
                }
            }
            false
        });
        found
    }

    /// All frames that are wanted among those that have passed since the last question.
    pub fn take(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        self.note(|_, frame| wanted(frame).then(|| frame.to_vec()))
    }

    /// What is to be kept of those, and of when they passed.
    pub fn note<T>(&self, of: impl Fn(Stamp, &[u8]) -> Option<T>) -> Vec<T> {
        let mut buffer = [0; 2048];
        let mut kept = Vec::new();
        while let Ok(seen) = sys::receive(&self.socket, &mut buffer) {
            let frame = buffer.get(..seen.length).unwrap_or_default();
            kept.extend(of(seen.at, frame));
        }
        kept
    }
}
