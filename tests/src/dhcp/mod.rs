// SPDX-License-Identifier: MIT OR Apache-2.0
//! Real DHCP servers on the routers, and real clients on the lan that they serve.
//!
//! [`Server`] installs one program at one site: its own configuration, lease file and run folder in
//! the lab's folder, and a script with which anybody in the site's namespace starts and stops it.
//! [`Client`] is a program such as udhcpc at a [`Station`] of its own, [`Guests4`] and [`Guests6`]
//! are many small clients in this process that say exactly what a test wants said.

mod client;
mod dhcpd;
mod disk;
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
pub use disk::Disk;
pub use duo::{Duo, Options};
pub use fill::Filled;
pub use guests4::{Guests4, Host4, Lease4};
pub use guests6::{Guests6, Host6, Lease6};
pub use server::{Make, Server, Setup};
pub use station::Station;

use std::net::Ipv4Addr;

/// The server identifier of every server that can be told one: the address that moves.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);

/// What a server gives away: a handful of the lan's own addresses, or room for tens of thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    Narrow,
    Wide,
}

impl Pool {
    /// As a prefix, first and last address.
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

    /// The prefix length and mask of the subnet that holds it.
    fn subnet(self) -> (u8, Ipv4Addr, Ipv4Addr) {
        match self {
            Self::Narrow => (24, [10, 1, 0, 0].into(), [255, 255, 255, 0].into()),
            Self::Wide => (16, [10, 1, 0, 0].into(), [255, 255, 0, 0].into()),
        }
    }
}
