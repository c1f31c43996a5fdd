//! Makes the verdict about a pair: its state in a word, and all findings. docs/messages.md explains
//! each finding by its id.
//!
//! [`NodeFacts`] are a node's facts about itself, which it sends to the other node at each change.
//! [`PairFacts`] are its facts about the other node. [`verdict`] turns both into the output of
//! `sparectl status`, `watch`, `probe`, the JSON and the events. [`missing`] lists the reasons why
//! a node is not ready. [`Cause`] is the reason for a group's role, with the sentences of `sparectl
//! why`. [`quality`] weighs the checks of all plugins. This crate does no I/O, and never decides by
//! searching in the text of sentences.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod addresses;
mod cause;
mod change_numbers;
mod difference;
mod facts;
mod files;
mod finding;
mod finding_times;
pub mod forwarding;
mod group_facts;
mod headline;
pub mod history;
mod identity;
mod links;
mod machine;
mod needs;
mod node;
mod node_faults;
mod outdated;
mod own_packets;
mod peer;
mod pending;
pub mod quality;
mod ready;
mod routers;
#[cfg(feature = "sample")]
pub mod sample;
mod setting;
#[cfg(test)]
mod tests;
pub mod time;
mod unheard;
mod verdict;

pub use addresses::{AddressStatus, BareInterface, DuplicateAddress, ForeignAddress, VirtualCopy};
pub use cause::{Cause, CauseKind, Sentence, undo};
pub use change_numbers::ChangeNumbers;
pub use difference::{Difference, DifferenceKind};
pub use facts::{
    AddressFaults, CheckStatus, ConfigFaults, Fence, FirstFound, Forced, GroupFacts,
    InterfaceFacts, InterfaceLack, MachineFaults, Maintenance, MissingRoute, NetworkFaults,
    NodeFacts, OrderFacts, OtherActive, PairFacts, PeerLife, PluginFacts, PluginState,
    ProcessFaults, Rivals, Role, RouterFault, RouterFaults, STATE_LOSES, STATE_UNKNOWN,
    SilentElector,
};
pub use files::UnusedFiles;
pub use finding::{Finding, Id};
pub use finding_times::FindingTimes;
pub use history::{Fitness, History, Past, PastFinding, PastQuery, PastRun, RoleChange};
pub use identity::{LossKind, NetworkLoss};
pub use links::LinkFacts;
pub use machine::{MachineDifference, MachineFacts, RuleDigests, machine_differences};
pub use needs::{FailsAfterRestart, Needs, RealTimeLost, UnansweredArp, ignores_arp};
pub use own_packets::OwnTranslation;
pub use ready::{UNARMED, missing};
pub use setting::setting_of;
pub use verdict::{Headline, Verdict, Word, findings, verdict, verdict_with};
