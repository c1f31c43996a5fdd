// SPDX-License-Identifier: MIT OR Apache-2.0
//! Real DHCP servers on the routers, and real clients on the lan.
//!
//! [`Server`] installs a program at a site: configuration, lease file and run folder in the lab's folder,
//! and a script that starts and stops it in the site's namespace. [`Client`] is a program such as udhcpc
//! at a [`Station`] of its own. [`Guests4`] and [`Guests6`] are many small clients in this process that
//! send exactly what a test asks for.

mod client;
mod dhcpd;
mod dnsmasq;
mod duo;
mod ends;
mod fill;
mod guests4;
mod guests6;
mod kea;
mod packet4;
mod packet6;
mod script;
mod server;
mod station;

pub use client::{Client, Got, Identity, Program};
pub use duo::{Duo, Options};
pub use fill::Filled;
pub use guests4::{Guests4, Host4, Lease4};
pub use guests6::{Guests6, Host6, Lease6};
pub use server::{Make, Server, Setup};
pub use station::Station;

use std::net::Ipv4Addr;

/// Server identifier of every server that can be given one: the virtual address.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);

/// Pool of a server: some addresses of the lan's subnet, or room for tens of thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    Narrow,
    Wide,
}

impl Pool {
    /// The pool as a prefix, and its first and last address.
    fn ipv4(self) -> (&'static str, Ipv4Addr, Ipv4Addr) {
        match self {
            Self::Narrow => (
                "10.1.0.128/26",
                [10, 1, 0, 128].into(),
                [10, 1, 0, 191].into(),
            ),
            Self::Wide => (
                "10.1.128.0/17",
                [10, 1, 128, 1].into(),
                [10, 1, 255, 254].into(),
            ),
        }
    }

    /// Prefix length, network and mask of the subnet that contains the pool.
    fn subnet(self) -> (u8, Ipv4Addr, Ipv4Addr) {
        match self {
            Self::Narrow => (24, [10, 1, 0, 0].into(), [255, 255, 255, 0].into()),
            Self::Wide => (16, [10, 1, 0, 0].into(), [255, 255, 0, 0].into()),
        }
    }
}
