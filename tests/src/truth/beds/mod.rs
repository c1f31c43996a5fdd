// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables of states, and the pair of routers of each table.

mod deaths;
mod dhcp;
mod files;
mod groups;
mod links;
mod machine;
mod needs;
mod orders;
pub(crate) mod plain;
mod plugins;
mod trees;

use super::{Bed, State};
use crate::Result;
use crate::lab::Lab;

/// A table of states, and the bed on which they are made.
pub struct Kind {
    pub name: &'static str,
    /// Places for routers in its lab.
    pub routers: usize,
    pub start: for<'l> fn(&'l Lab) -> Result<Bed<'l>>,
    pub states: &'static [State],
}

/// All tables.
pub const BEDS: &[Kind] = &[
    Kind {
        name: "plugins",
        routers: 2,
        start: plain::start,
        states: plugins::STATES,
    },
    Kind {
        name: "machine",
        routers: 2,
        start: plain::start,
        states: machine::STATES,
    },
    Kind {
        name: "needs",
        routers: 2,
        start: plain::start,
        states: needs::STATES,
    },
    Kind {
        name: "links",
        routers: 2,
        start: plain::start,
        states: links::STATES,
    },
    Kind {
        name: "orders",
        routers: 2,
        start: plain::start,
        states: orders::STATES,
    },
    Kind {
        name: "files",
        routers: 2,
        start: plain::start,
        states: files::STATES,
    },
    Kind {
        name: "trees",
        routers: 2,
        start: trees::start,
        states: trees::STATES,
    },
    Kind {
        name: "two groups",
        routers: 2,
        start: groups::start,
        states: groups::STATES,
    },
    Kind {
        name: "deaths",
        routers: 3,
        start: plain::start,
        states: deaths::STATES,
    },
    Kind {
        name: "without a link",
        routers: 2,
        start: deaths::start_unlinked,
        states: deaths::UNLINKED,
    },
    Kind {
        name: "without keys",
        routers: 2,
        start: deaths::start_keyless,
        states: deaths::KEYLESS,
    },
    Kind {
        name: "with a passphrase",
        routers: 2,
        start: deaths::start_passphrase,
        states: deaths::PASSPHRASE,
    },
    Kind {
        name: "kea",
        routers: 2,
        start: dhcp::start_kea,
        states: dhcp::KEA,
    },
    Kind {
        name: "dnsmasq",
        routers: 2,
        start: dhcp::start_dnsmasq,
        states: dhcp::DNSMASQ,
    },
    Kind {
        name: "dhcpd",
        routers: 2,
        start: dhcp::start_dhcpd,
        states: dhcp::DHCPD,
    },
];
