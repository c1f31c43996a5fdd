// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two pairs: how each starts, and what faults need of it.

mod ours;
mod usual;

use spared_tests::Result;
use spared_tests::dhcp::{Make, Server, Setup};
use spared_tests::lab::Lab;

pub use ours::Ours;
pub use usual::{INTERVAL_S, Usual};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Camp {
    Spared,
    /// keepalived, conntrackd, and scripts of the folder `usual`.
    Usual,
}

impl Camp {
    pub const BOTH: [Self; 2] = [Self::Spared, Self::Usual];

    pub fn name(self) -> &'static str {
        match self {
            Self::Spared => "spared",
            Self::Usual => "keepalived",
        }
    }

    /// Starts both nodes, without waiting.
    pub fn start(self, lab: &Lab) -> Result<Box<dyn Pair + '_>> {
        Ok(match self {
            Self::Spared => Box::new(Ours::start(lab)?),
            Self::Usual => Box::new(Usual::start(lab)?),
        })
    }
}

/// State that a pair takes along when its role moves. Only this is shown of it.
#[derive(Clone, Copy, Debug)]
pub struct Carries {
    pub connections: bool,
    pub bans: bool,
    /// The DHCP server and its leases.
    pub services: bool,
}

/// Two routers of one make. Their processes end with the value.
pub trait Pair {
    fn carries(&self) -> Carries;

    /// Waits until one node is active and the other could become active without a loss.
    fn wait_ready(&self) -> Result<()>;

    /// The DHCP server of a node, which runs while the node is active; if the pair has one.
    fn server(&self, site: usize) -> Option<&Server<'_>>;

    /// Starts all programs of a node whose firewall is loaded.
    fn boot(&mut self, site: usize) -> Result<()>;

    /// Takes note that all processes of a node are dead.
    fn reap(&mut self, site: usize);

    /// Stops the daemon that has the role by SIGSTOP, with its children.
    fn hang(&mut self, site: usize) -> Result<()>;

    fn resume(&mut self, site: usize) -> Result<()>;

    /// Moves the role to the other node, as the documentation says.
    fn begin_switch(&mut self, site: usize) -> Result<()>;

    /// Ends what [`Pair::begin_switch`] left.
    fn end_switch(&mut self, site: usize) -> Result<()>;

    /// Kills the process that sends adverts by SIGKILL.
    fn crash_elector(&mut self, site: usize) -> Result<()>;
}

/// dnsmasq, which renews leases of which it has no record, as it should where it is alone.
fn dhcp() -> Setup {
    Setup {
        authoritative: true,
        ..Setup::new(Make::Dnsmasq4)
    }
}
