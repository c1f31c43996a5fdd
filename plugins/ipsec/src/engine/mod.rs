//! How tunnels follow, without I/O: what is told to the twin, what is kept for a takeover, and what
//! the kernel is to be made of both.

use std::collections::BTreeSet;
use std::net::IpAddr;

use spared_sdk::Value;

use crate::config::Settings;
use crate::error::Malformed;
use crate::sa::{Life, Policy, PolicyId, Replay, Sa, SaId};

/// What the kernel tells, by notification or in a reading.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// New, changed, or found by a reading.
    Sa(Sa),
    /// Deleted, or expired for good.
    SaGone(SaId),
    /// An SA's numbers moved on.
    Counters(SaId, Replay, Option<Life>),
    Policy(Policy),
    PolicyGone(PolicyId),
    /// Only a reading tells what is so now.
    Unsure,
}

/// A change of the kernel's tables, one request each.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// With these numbers and this age from its first moment on. EEXIST where it is there.
    AddSa(Box<Sa>),
    DeleteSa(SaId),
    /// EEXIST where one with its id is there.
    AddPolicy(Policy),
    /// Also where one is there.
    PutPolicy(Policy),
    DeletePolicy(PolicyId),
    /// The replay state of an SA that is there.
    SetReplay(SaId, Replay),
    /// A notification each so many packets.
    SetThreshold(SaId, u32),
    /// Whether the kernel could take such an SA: adds one like it with other keys and another
    /// identity, and deletes it.
    Probe(Box<Sa>),
}

/// How the IKE daemon calls one child of a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildName {
    pub ike: String,
    pub child: String,
}

/// What an IKE daemon calls the SAs with this SPI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub spi: u32,
    pub name: ChildName,
}

/// What the engine wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Read all SAs and policies: each to `handle_seen`, then `handle_read`.
    Read,
    /// In this order; then `handle_applied`, with what was refused.
    Apply(Vec<Change>),
    InSync {
        yes: bool,
        why: String,
    },
    Warn(String),
    /// A week later somebody may ask.
    Event(String),
    /// The IKE daemon here is to establish these anew.
    Adopt(Vec<ChildName>),
    /// Nothing is to be adopted any more.
    Forget,
}

/// The plugin's logic.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
}

impl Engine {
    pub fn new(_now_ms: u64, settings: Settings) -> Self {
        Self { settings }
    }

    pub fn configure(&mut self, _now_ms: u64, settings: Settings) {
        self.settings = settings;
    }

    pub fn handle_role(&mut self, _now_ms: u64, _group: &str, _active: bool) {}

    /// Puts everything that is kept for a takeover into the kernel.
    pub fn handle_settle(&mut self, _now_ms: u64) {}

    pub fn is_settled(&self) -> bool {
        true
    }

    /// Before a handover: says the exact numbers.
    pub fn handle_drain(&mut self, _now_ms: u64, _deadline_ms: u64) {}

    pub fn is_drained(&self) -> bool {
        true
    }

    /// The addresses that spared put on interfaces of this node.
    pub fn handle_endpoints(&mut self, _now_ms: u64, _endpoints: BTreeSet<IpAddr>) {}

    /// What the kernel told, or a reading found.
    pub fn handle_seen(&mut self, _now_ms: u64, _seen: Seen) {}

    /// The end of a reading that [`Action::Read`] asked for, and whether it saw all.
    pub fn handle_read(&mut self, _now_ms: u64, _complete: bool) {}

    /// An [`Action::Apply`] is done, but for these: positions and errnos.
    pub fn handle_applied(&mut self, _now_ms: u64, _changes: &[Change], _refused: &[(usize, i32)]) {
    }

    /// All that the IKE daemon here calls by name.
    pub fn handle_names(&mut self, _now_ms: u64, _names: Vec<Named>) {}

    /// The IKE daemon established a child anew, or did not.
    pub fn handle_adopted(&mut self, _now_ms: u64, _name: &ChildName, _result: Result<(), String>) {
    }

    pub fn handle_up(&mut self, _now_ms: u64) {}

    pub fn handle_down(&mut self, _now_ms: u64) {}

    /// The twin's bytes.
    ///
    /// # Errors
    /// They are no message.
    pub fn handle_message(&mut self, _now_ms: u64, _bytes: &[u8]) -> Result<(), Malformed> {
        Ok(())
    }

    /// The next message for the twin, where there is one; keys are in it.
    pub fn poll_message(&mut self, _now_ms: u64) -> Option<Vec<u8>> {
        None
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        None
    }

    pub fn next_timeout(&self) -> u64 {
        u64::MAX
    }

    pub fn handle_timeout(&mut self, _now_ms: u64) {}

    /// One line for both nodes' table.
    pub fn summary(&self) -> String {
        String::new()
    }

    pub fn rows(&self, _now_ms: u64) -> Vec<(String, Value)> {
        Vec::new()
    }
}
