//! Names and numbers of which a node has each once: whoever comes first in the files has it.

use std::collections::HashSet;
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

/// Things that may exist once, and exist already, by node.
#[derive(Debug, Default)]
pub struct Taken(Each<HashSet<Once>>);

impl Taken {
    /// Takes one for each node, in addition to what these have; false if a node has it already.
    pub fn take(&mut self, before: &Self, wanted: Each<Once>) -> bool {
        let taken = self.0.iter().zip(&before.0);
        let mut taken = taken.zip(&wanted);
        let is_free = !taken.any(|((new, old), it)| new.contains(it) || old.contains(it));
        if is_free {
            for (taken, wanted) in self.0.iter_mut().zip(wanted) {
                taken.insert(wanted);
            }
        }
        is_free
    }

    /// Takes all that another has.
    pub fn join(&mut self, other: Self) {
        for (taken, more) in self.0.iter_mut().zip(other.0) {
            taken.extend(more);
        }
    }
}
