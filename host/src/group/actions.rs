//! What the groups want done.

use std::collections::BTreeSet;

use spared_link::word::Word;
use spared_worker::message::{Cause, Claims, Directive, Publication, Role};

use crate::events::Notice;

/// Whose call an answer answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub plugin: String,
    pub number: u64,
}

/// The role that a follower shall take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub group: String,
    pub epoch: u64,
    pub role: Role,
    pub maintenance: bool,
    /// What the follower was told last.
    pub before: Option<Role>,
    /// The role that the group was published with, which a follower takes later, and why.
    pub published: Role,
    pub cause: Cause,
    pub deadline_ns: u64,
}

/// To be done in the order in which they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Answer {
        ticket: Ticket,
        status: i32,
    },
    /// Result: `handle_checked`.
    CheckClaim {
        ticket: Ticket,
        group: String,
        claims: Claims,
    },
    /// Result: `handle_claimed`.
    Claim {
        group: String,
        claims: Claims,
    },
    Release {
        group: String,
    },
    /// Result: `handle_lease`, with a fresh reading of the clock.
    GrantLease {
        ticket: Ticket,
        group: String,
        publication: Publication,
    },
    RevokeLease {
        group: String,
    },
    /// Result: `handle_installed`.
    Install {
        group: String,
    },
    Remove {
        group: String,
    },
    Announce {
        group: String,
    },
    /// Answered by `handle_settled`.
    Settle {
        plugin: String,
        group: String,
        epoch: u64,
        deadline_ns: u64,
    },
    /// Answered by `handle_role_done`.
    Role {
        plugin: String,
        order: Order,
    },
    Directive {
        plugin: String,
        directive: Directive,
    },
    // ---- a switchover: on the node that gives
    /// Answered by `handle_drained`.
    Drain {
        plugin: String,
        group: String,
        epoch: u64,
        deadline_ns: u64,
    },
    /// A mark into each of these channels, behind all that the plugins have sent.
    Mark {
        id: u64,
        channels: BTreeSet<String>,
    },
    /// In place of [`Action::RevokeLease`]: no answers any more, but packets still pass.
    CarryLease {
        group: String,
    },
    EndCarry {
        group: String,
    },
    // ---- on the node that takes
    /// Addresses behind the fence, which is blocking; nothing is announced. Result: `handle_prepared`.
    Prepare {
        group: String,
    },
    Unprepare {
        group: String,
    },
    // ---- on both
    /// To the peer's host.
    Say(Word),
    /// How a wish of `handle_wish` ended.
    SwitchedOver {
        wish: u64,
        result: Result<Vec<String>, String>,
    },
    /// A group has another role.
    Changed {
        group: String,
        from: Role,
        to: Role,
        cause: Cause,
    },
    Tell(Notice),
}
