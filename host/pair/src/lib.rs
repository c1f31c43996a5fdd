//! The verdict about a pair: what two nodes are together, in a word, and everything that is not as
//! it should be, each with an id that docs/messages.md explains.
//!
//! [`NodeFacts`] is what a node knows of itself and tells the other at each change; [`PairFacts`]
//! what it knows of the other. [`verdict`] makes of both what `sparectl status`, `watch`, `probe`,
//! the JSON and the events say; [`missing`] makes of the same what keeps a node from being ready.
//! Nothing here does input or output, and nothing is decided by searching in sentences.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod facts;
mod finding;
mod headline;
mod node;
mod peer;
mod ready;
#[cfg(test)]
mod tests;
pub mod time;
mod verdict;

pub use facts::{
    AddressStatus, BareInterface, CheckStatus, Difference, Fence, Forced, GroupFacts,
    InterfaceFacts, InterfaceLack, LinkFacts, Maintenance, NodeFacts, OtherActive, PairFacts,
    PeerLife, PluginFacts, PluginState, Role, STATE_UNKNOWN,
};
pub use finding::{Finding, Id};
pub use ready::{is_mismatch, missing};
pub use verdict::{Headline, Verdict, Word, findings, verdict};
