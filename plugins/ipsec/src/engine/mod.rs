//! How tunnels follow, without I/O: what is told to the twin, what is kept for a takeover, and what
//! the kernel is to be made of both.

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
