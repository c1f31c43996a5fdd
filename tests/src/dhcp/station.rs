// SPDX-License-Identifier: MIT OR Apache-2.0
//! A further host on the lan, with its own namespace, cable and hardware address, and without an address at first.

use std::fs;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::Result;
use crate::clock::poll;
use crate::lab::{Lab, Namespace, Wire, cable};

/// Smallest host number of a station; those below belong to the lab.
const FIRST: u8 = 100;

pub struct Station {
    pub ns: Namespace,
    pub mac: [u8; 6],
    /// Index of its interface.
    pub index: u32,
}

impl Station {
    pub fn new(lab: &Lab) -> Result<Self> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let number = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % 100;
        let ns = Namespace::new(&format!("station {number}"))?;
        ns.set(&[
            ("net/ipv6/conf/all/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_ra", "0"),
        ])?;
        let port = format!("lan-{number}");
        lab.sw.ip(&cable(&port, Wire::Lan, number, &ns))?;
        ns.ip("link set lo up\nlink set lan up\nroute add default dev lan\n")?;
        let mut index = None;
        ns.run(|| {
            poll(Duration::from_secs(2), Duration::from_millis(2), || {
                index = usable();
                index.is_some()
            });
            Ok(())
        })?;
        Ok(Self {
            ns,
            mac: Wire::Lan.mac(number),
            index: index.ok_or("a station gets no link-local address")?,
        })
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        for pid in self.ns.processes() {
            let _ = crate::lab::signal_to(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Returns the index of the interface in the calling thread's namespace, once its link-local address can be used:
/// DHCPv6 clients give up without one.
fn usable() -> Option<u32> {
    let text = fs::read_to_string("/proc/thread-self/net/if_inet6").ok()?;
    let line = text.lines().find(|line| line.ends_with(" lan"))?;
    let mut fields = line.split_whitespace();
    let address = Ipv6Addr::from(u128::from_str_radix(fields.next()?, 16).ok()?);
    let index = u32::from_str_radix(fields.next()?, 16).ok()?;
    UdpSocket::bind(SocketAddrV6::new(address, 0, 0, index)).ok()?;
    Some(index)
}
