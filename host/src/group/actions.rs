//! What the groups want done.

use spared_worker::message::{Cause, Claims, Role, Stance};

use crate::events::News;

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
    pub why: String,
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
    OpenLease {
        ticket: Ticket,
        group: String,
        cause: Cause,
        sent_ns: u64,
    },
    CloseLease {
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
    Stance {
        plugin: String,
        stance: Stance,
    },
    Tell(News),
}
