// SPDX-License-Identifier: MIT OR Apache-2.0
//! Records frames.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::netdevice::name_to_index;

use crate::clock::{Stamp, poll};
use crate::lab::Namespace;
use crate::{Result, sys};

const ALL: libc::sock_filter = libc::sock_filter {
    code: (libc::BPF_RET | libc::BPF_K) as u16,
    jt: 0,
    jf: 0,
    k: u32::MAX,
};

pub struct Recorder {
    socket: OwnedFd,
}

impl Recorder {
    /// Records all frames on an interface of the namespace from now on.
    pub fn new(ns: &Namespace, interface: &str) -> Result<Self> {
        Self::filtered(ns, interface, &[ALL])
    }

    /// Records incoming frames only.
    pub fn of_incoming(ns: &Namespace, interface: &str) -> Result<Self> {
        const PACKET_OUTGOING: u32 = 4;
        const NONE: libc::sock_filter = libc::sock_filter { k: 0, ..ALL };
        let load_kind = libc::sock_filter {
            code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
            // SKF_AD_OFF + SKF_AD_PKTTYPE
            k: (-0x1000_i32 + 4) as u32,
            ..NONE
        };
        let if_outgoing = libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: PACKET_OUTGOING,
        };
        Self::filtered(ns, interface, &[load_kind, if_outgoing, NONE, ALL])
    }

    /// Records all frames without ESP over IPv4, so that minutes of a tunnel's other traffic fit.
    pub fn without_esp(ns: &Namespace, interface: &str) -> Result<Self> {
        const NONE: libc::sock_filter = libc::sock_filter { k: 0, ..ALL };
        let load_protocol = libc::sock_filter {
            code: (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16,
            k: 23,
            ..NONE
        };
        let if_esp = libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: 50,
        };
        Self::filtered(ns, interface, &[load_protocol, if_esp, NONE, ALL])
    }

    fn filtered(ns: &Namespace, interface: &str, filter: &[libc::sock_filter]) -> Result<Self> {
        let socket = ns.run(|| {
            let socket = sys::packet_socket()?;
            let index = name_to_index(&socket, interface)?;
            sys::listen(&socket, index, Some(filter))?;
            Ok(socket)
        })?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self { socket })
    }

    /// The first wanted frame; None if none comes in time.
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

    /// All wanted frames since the last call.
    pub fn take(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        self.note(|_, frame| wanted(frame).then(|| frame.to_vec()))
    }

    /// Returns the results of `of` for all frames since the last call, with the times of the
    /// frames.
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
