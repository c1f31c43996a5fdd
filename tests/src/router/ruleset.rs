// SPDX-License-Identifier: MIT OR Apache-2.0
//! A firewall as administrators write it: strict, so that a flow which one router forgot does not
//! pass the other by luck.

use crate::Result;
use crate::lab::{Site, VIRTUAL, Wire};

/// Rules beside the strict ones, as nft has them; the same on every router.
#[derive(Clone, Debug, Default)]
pub struct Ruleset {
    /// Helpers and sets.
    pub objects: String,
    /// Before connection tracking: zones.
    pub raw: String,
    /// After it, of what comes in: helpers, marks, labels, events.
    pub mangle: String,
    /// What is forwarded, after the strict rules.
    pub forward: String,
    /// Destinations of new flows.
    pub dnat: String,
    /// Sources of new flows.
    pub snat: String,
}

impl Ruleset {
    /// What leaves on wan gets the virtual address there, by name: `masquerade` would take the
    /// router's own.
    pub fn snat() -> Self {
        let address = Wire::Wan.ipv4(VIRTUAL);
        Self {
            snat: format!("oifname wan meta nfproto ipv4 snat ip to {address}"),
            ..Self::default()
        }
    }

    /// The same by `masquerade`, where the virtual address is the only one in its network.
    pub fn masquerade() -> Self {
        Self {
            snat: "oifname wan meta nfproto ipv4 masquerade".to_owned(),
            ..Self::default()
        }
    }

    /// Loads it, in place of what was loaded before.
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
