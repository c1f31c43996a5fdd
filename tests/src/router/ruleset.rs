// SPDX-License-Identifier: MIT OR Apache-2.0
//! A strict firewall, as administrators write it, so that a flow that was not replicated cannot pass by accident.

use crate::Result;
use crate::lab::{Site, VIRTUAL, Wire};

/// Rules of nft in addition to the strict ones; the same on every router.
#[derive(Clone, Debug, Default)]
pub struct Ruleset {
    /// Helpers and sets.
    pub objects: String,
    /// Rules before connection tracking: zones.
    pub raw: String,
    /// Rules for incoming packets after connection tracking: helpers, marks, labels, events.
    pub mangle: String,
    /// Rules for forwarded packets, after the strict ones.
    pub forward: String,
    /// Translation of destinations of new flows.
    pub dnat: String,
    /// Translation of sources of new flows.
    pub snat: String,
}

impl Ruleset {
    /// Translates sources on the wan to the virtual address there, by its address: `masquerade` would use the router's
    /// own.
    pub fn snat() -> Self {
        let address = Wire::Wan.ipv4(VIRTUAL);
        Self {
            snat: format!("oifname wan meta nfproto ipv4 snat ip to {address}"),
            ..Self::default()
        }
    }

    /// Translates sources by `masquerade`, for a network in which the virtual address is the only one.
    pub fn masquerade() -> Self {
        Self {
            snat: "oifname wan meta nfproto ipv4 masquerade".to_owned(),
            ..Self::default()
        }
    }

    /// Loads the ruleset, and replaces an earlier one.
    pub fn load(&self, site: &Site) -> Result<()> {
        site.ns
            .set(&[("net/netfilter/nf_conntrack_tcp_loose", "0")])?;
        let Self {
            objects,
            raw,
            mangle,
            forward,
            dnat,
            snat,
        } = self;
        site.ns.nft(&format!(
            "table inet firewall\ndelete table inet firewall\ntable inet firewall {{\n{objects}
               chain early {{ type filter hook prerouting priority raw\n{raw}\n }}
               chain marks {{ type filter hook prerouting priority mangle\n{mangle}\n }}
               chain destinations {{ type nat hook prerouting priority dstnat\n{dnat}\n }}
               chain sources {{ type nat hook postrouting priority srcnat\n{snat}\n }}
               chain incoming {{ type filter hook input priority filter
                 ct state invalid counter drop
               }}
               chain through {{ type filter hook forward priority filter
                 ct state invalid counter drop
                 ct state new tcp flags & (fin | syn | rst | ack) != syn counter drop
{forward}
               }}
             }}\n"
        ))
    }
}
