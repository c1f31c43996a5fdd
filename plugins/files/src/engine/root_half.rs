//! The root half: whether it runs, and what it was asked for.

use std::collections::BTreeMap;

use super::people::Caller;
use super::serve::Read;

/// Time that the root half has to start, in ns.
const START_NS: u64 = 10_000_000_000;

/// Purpose of a ticket.
#[derive(Debug)]
pub(super) enum Pending {
    Scan {
        tree: String,
        bytes: Vec<u8>,
    },
    /// Piece for the peer.
    Read(Read),
    Install,
    Confirm(Asker),
    /// List of states for a command here.
    Log(Caller),
    /// Change by the root half alone.
    Back {
        by: Asker,
        tree: String,
        began_ns: u64,
    },
}

/// Recipient of an answer: a command here, or the peer by its ticket.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asker {
    Caller(Caller),
    Ticket(u64),
}

#[derive(Debug)]
pub(super) struct RootHalf {
    is_running: bool,
    /// Time at which it should be running; None: that time is over.
    due_ns: Option<u64>,
    /// Requests without an answer, by ticket.
    pending: BTreeMap<u64, Pending>,
}

impl RootHalf {
    pub fn new(now_ns: u64) -> Self {
        Self {
            is_running: false,
            due_ns: Some(now_ns.saturating_add(START_NS)),
            pending: BTreeMap::new(),
        }
    }

    pub fn handle_up(&mut self) {
        self.is_running = true;
    }

    /// Handles the end of the root half; returns the requests that it does not answer any more.
    pub fn handle_down(&mut self, now_ns: u64) -> impl Iterator<Item = Pending> + use<> {
        let ended = std::mem::replace(self, Self::new(now_ns));
        ended.pending.into_values()
    }

    pub fn handle_timeout(&mut self, now_ns: u64) {
        self.due_ns = self.due_ns.filter(|it| *it > now_ns);
    }

    pub fn ask(&mut self, ticket: u64, what: Pending) {
        self.pending.insert(ticket, what);
    }

    /// Takes the purpose of an answered ticket.
    pub fn take(&mut self, ticket: u64) -> Option<Pending> {
        self.pending.remove(&ticket)
    }

    pub fn get_mut(&mut self, ticket: u64) -> Option<&mut Pending> {
        self.pending.get_mut(&ticket)
    }

    /// Takes the tokens of commands that have waited too long, with true if their request changes a tree. All requests
    /// go on.
    pub fn take_late_commands(&mut self, now_ns: u64) -> Vec<(u64, bool)> {
        let mut late = Vec::new();
        for pending in self.pending.values_mut() {
            let can_change = !matches!(pending, Pending::Log(_));
            let token = pending.caller_mut().and_then(|it| it.take_late(now_ns));
            late.extend(token.map(|it| (it, can_change)));
        }
        late
    }

    /// Time when the next command has waited too long.
    pub fn answer_due_ns(&self) -> Option<u64> {
        let pending = self.pending.values();
        pending.filter_map(|it| it.caller()?.due_ns()).min()
    }

    /// Tree that the root half alone is changing, and the time since when.
    pub fn changed(&self) -> Option<(&str, u64)> {
        self.pending.values().find_map(|it| match it {
            Pending::Back { tree, began_ns, .. } => Some((tree.as_str(), *began_ns)),
            _ => None,
        })
    }

    /// True if the root half was asked to confirm a change.
    pub fn is_confirming(&self) -> bool {
        let mut pending = self.pending.values();
        pending.any(|it| matches!(it, Pending::Confirm(_)))
    }

    /// True if the root half runs; without it nothing can be done.
    pub fn is_running(&self) -> bool {
        self.is_running
    }

    /// True if the root half should be running.
    pub fn is_due(&self) -> bool {
        self.due_ns.is_none()
    }

    /// Time at which it should be running.
    pub fn due_ns(&self) -> Option<u64> {
        self.due_ns.filter(|_| !self.is_running)
    }
}

impl Pending {
    /// Command that waits for the answer.
    fn caller(&self) -> Option<&Caller> {
        match self {
            Self::Log(by) => Some(by),
            Self::Confirm(Asker::Caller(by))
            | Self::Back {
                by: Asker::Caller(by),
                ..
            } => Some(by),
            _ => None,
        }
    }

    fn caller_mut(&mut self) -> Option<&mut Caller> {
        match self {
            Self::Log(by) => Some(by),
            Self::Confirm(Asker::Caller(by))
            | Self::Back {
                by: Asker::Caller(by),
                ..
            } => Some(by),
            _ => None,
        }
    }
}
