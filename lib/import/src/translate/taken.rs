//! Names and numbers of which a node has each once: whoever comes first in the files has it.

use std::collections::HashMap;
use std::net::IpAddr;

use spared_config_reader::{IpNet, Mark};

use crate::toml::Each;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Once {
    /// Virtual address; a link-local one with its interface, as it may be on several.
    Address(IpAddr, String),
    Router {
        interface: String,
        is_ipv6: bool,
        vrid: i64,
    },
    /// Device of a virtual MAC.
    Device(String),
    /// Destination, table and metric.
    Route(IpNet, u32, u32),
    Rule(Selector),
}

/// All that makes two policy rules the same to the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    pub is_ipv6: bool,
    pub networks: [Option<IpNet>; 2],
    pub mark: Option<Mark>,
    pub interfaces: [Option<String>; 2],
    pub table: u32,
    pub priority: u32,
}

/// Things that may exist once, and exist already, by node: true for those of the node's own file.
#[derive(Debug, Default)]
pub struct Taken(Each<HashMap<Once, bool>>);

/// Why a thing cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupied {
    /// It is twice in the file of one node.
    Twice,
    /// One node's file has it here, the other's elsewhere.
    Elsewhere,
}

impl Taken {
    /// Takes one for each node, in addition to what these have; false if a node has it already.
    pub fn take(&mut self, before: &Self, wanted: Each<Once>) -> bool {
        self.take_own(before, wanted, [true; 2]).is_ok()
    }

    /// Takes one for each node, if the files of these nodes have it.
    pub fn take_own(
        &mut self,
        before: &Self,
        wanted: Each<Once>,
        is_own: Each<bool>,
    ) -> Result<(), Occupied> {
        let known = |node: usize| {
            let it = &wanted[node];
            self.0[node].get(it).or(before.0[node].get(it)).copied()
        };
        let known = [known(0), known(1)];
        if known == [None, None] {
            let wanted = wanted.into_iter().zip(is_own);
            for (taken, (wanted, is_own)) in self.0.iter_mut().zip(wanted) {
                taken.insert(wanted, is_own);
            }
            return Ok(());
        }
        let is_twice = |node: usize| is_own[node] && known[node] == Some(true);
        Err(if is_twice(0) || is_twice(1) {
            Occupied::Twice
        } else {
            Occupied::Elsewhere
        })
    }

    /// Takes all that another has.
    pub fn join(&mut self, other: Self) {
        for (taken, more) in self.0.iter_mut().zip(other.0) {
            taken.extend(more);
        }
    }
}
