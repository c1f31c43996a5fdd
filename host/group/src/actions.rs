//! Defines the actions that the groups request from the host.

use std::collections::BTreeSet;

use spared_contract::{Cause, Claims, Directive, Publication, Role};
use spared_message::notice::Notice;
use spared_message::word::Word;

/// Identity of a plugin's call that must be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub plugin: String,
    pub number: u64,
    /// Position of the group in a call about several groups.
    pub part: usize,
}

/// Role that a follower must take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub group: String,
    pub epoch: u64,
    pub role: Role,
    pub maintenance: bool,
    /// Role that the follower was told before.
    pub before: Option<Role>,
    /// Published role of the group, and its cause. A follower takes a new role later than it is published.
    pub published: Role,
    pub cause: Cause,
    pub deadline_ns: u64,
}

/// An action. Actions must be performed in the order in which they are returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Answer {
        ticket: Ticket,
        status: i32,
    },
    /// Step for a group of this name.
    Kernel(String, KernelStep),
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
    /// The plugin has not taken this role in time. It is not waited for any longer.
    Late {
        plugin: String,
        group: String,
        role: Role,
    },
    Directive {
        plugin: String,
        directive: Directive,
    },
    // ---- a switchover, on the node that was active
    /// Answered by `handle_drained`.
    Drain {
        plugin: String,
        group: String,
        epoch: u64,
        deadline_ns: u64,
    },
    /// Puts a mark into each of these channels, behind everything that the plugins have sent.
    Mark {
        id: u64,
        channels: BTreeSet<String>,
    },
    // ---- on both nodes of a switchover
    /// Sends a word to the peer's host.
    Say(Word),
    /// Result of a client's request that began with `handle_client_request`.
    SwitchedOver {
        client_request: u64,
        result: Result<Vec<String>, String>,
    },
    /// A group changed its role.
    Changed {
        group: String,
        from: Role,
        to: Role,
        cause: Cause,
    },
    Tell(Notice),
}

/// Step of a group in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelStep {
    /// Result: `handle_checked`.
    CheckClaim {
        ticket: Ticket,
        claims: Claims,
    },
    /// Result: `handle_claimed`.
    Claim(Claims),
    Release,
    /// Result: `handle_lease`, with the time read after the grant.
    GrantLease {
        ticket: Ticket,
        publication: Publication,
    },
    RevokeLease,
    /// Result: `handle_installed`.
    Install,
    Remove,
    Announce,
    /// Replaces `RevokeLease` in a switchover: this node no longer answers, but packets still pass.
    CarryLease,
    EndCarry,
    /// Installs the addresses behind the blocking fence, unannounced. Result: `handle_prepared`.
    Prepare,
    Unprepare,
}
