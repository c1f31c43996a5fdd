//! Checks the servers' own configurations: that this node's server may start with it, and that both nodes have the same
//! pools. With other pools, a server refuses leases that the other one granted.

use super::Engine;
use super::leases::Leases;
use crate::wire::{Message, digest_of_pools};

/// Contents of a server's configuration.
#[derive(Debug, Default)]
pub struct Setup {
    /// Reason why the server may not start with it.
    pub fault: Option<String>,
    /// Pools; None if unknown.
    pub pools: Option<Vec<String>>,
    /// Pools of the other node.
    pub of_peer: Option<Pools>,
}

/// Pools of the other node.
#[derive(Debug)]
pub struct Pools {
    digest: u64,
    /// First pools in the list.
    named: Vec<String>,
}

impl Engine {
    pub(super) fn handle_pools(&mut self, server: &str, digest: u64, pools: &str) {
        let mut servers = self.tables.servers.iter_mut();
        if let Some(leases) = servers.find(|leases| leases.name() == server) {
            leases.setup.of_peer = Some(Pools {
                digest,
                named: pools.lines().map(str::to_owned).collect(),
            });
        }
    }

    /// Returns the next message with pools that the peer does not know.
    pub(super) fn next_pools(&mut self) -> Option<Vec<u8>> {
        for (leases, told) in self.tables.servers.iter().zip(&mut self.told_pools) {
            let Some(pools) = &leases.setup.pools else {
                continue;
            };
            let digest = Some(digest_of_pools(pools));
            if *told != digest {
                *told = digest;
                return Some(Message::pools(leases.name(), pools));
            }
        }
        None
    }
}

impl Leases {
    /// Describes the pools in which the active peer differs.
    pub(super) fn other_pools(&self) -> Option<String> {
        let (ours, theirs) = (self.setup.pools.as_ref()?, self.setup.of_peer.as_ref()?);
        if digest_of_pools(ours) == theirs.digest {
            return None;
        }
        let only = |these: &[String], those: &[String]| {
            let mut only = these.iter().filter(|pool| !those.contains(pool));
            let first = only.next()?;
            Some(match only.count() {
                0 => first.clone(),
                count => format!("{first} and {count} more"),
            })
        };
        let here = only(ours, &theirs.named).map(|it| format!("only here {it}"));
        let there = only(&theirs.named, ours).map(|it| format!("only there {it}"));
        let differ: Vec<String> = here.into_iter().chain(there).collect();
        Some(if differ.is_empty() {
            "has pools that differ from the active node's: make its configurations equal".to_owned()
        } else {
            format!(
                "has pools that differ from the active node's, {}: make its configurations equal",
                differ.join(", ")
            )
        })
    }
}
