//! Handles roles: the file is written before the server starts, and the last commit of a stopped server reaches the
//! node that takes over.
//!
//! The replica's drain announces that the role is about to go. The message that the role is gone follows
//! the last commit, and nothing follows it.

use std::collections::BTreeSet;

use spared_replica::Drain;

use super::leases::Leases;
use super::status::counted;
use super::{Action, Engine};
use crate::SECOND;

/// Time after the peer's request for a drain within which its role is expected to go.
const ROLE_EXPECTED_NS: u64 = 10 * SECOND;
const LAST_NS: u64 = 5 * SECOND;
/// Time limit for reading the tail of a file.
const LEAVING_NS: u64 = 3 * SECOND;
/// Time limit for becoming active; the host waits 10 s.
const ENTERING_NS: u64 = 8 * SECOND;
/// Name of the one group that the replica knows: a node's servers grant leases while it is active for any group.
const ACTIVE: &str = "active";

#[derive(Debug, Default)]
pub struct Roles {
    groups: BTreeSet<String>,
    /// A role was received since the start.
    told: bool,
    phase: Phase,
    /// Calls that end with the phase.
    tickets: Vec<u64>,
    /// Time by which the drain ends at the latest.
    drain_until_ns: Option<u64>,
    /// The replica drains, after the files were read.
    drains: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Backup,
    /// Becoming active: waiting for the peer's last report.
    Awaiting {
        until_ns: u64,
    },
    /// Active; the servers' files are being written.
    Entering {
        until_ns: u64,
    },
    Active,
    /// Becoming backup: servers are disabled, then the last commits are read and sent.
    Leaving {
        until_ns: u64,
        silent: bool,
    },
}

impl Roles {
    pub fn is_told(&self) -> bool {
        self.told
    }

    pub fn is_entering(&self) -> bool {
        matches!(self.phase, Phase::Entering { .. })
    }

    pub fn is_active(&self) -> bool {
        self.phase == Phase::Active
    }

    pub fn next_ns(&self) -> u64 {
        let of_phase = match self.phase {
            Phase::Awaiting { until_ns }
            | Phase::Entering { until_ns }
            | Phase::Leaving { until_ns, .. } => until_ns,
            Phase::Backup | Phase::Active => u64::MAX,
        };
        of_phase.min(self.drain_until_ns.unwrap_or(u64::MAX))
    }
}

impl Engine {
    /// Returns true if the servers here grant leases.
    pub(super) fn grants_leases(&self) -> bool {
        let phase = self.roles.phase;
        matches!(
            phase,
            Phase::Entering { .. } | Phase::Active | Phase::Leaving { .. }
        )
    }

    /// Returns true if the servers should answer clients. They do not once the role goes, as the peer's servers answer
    /// when this node has sent everything.
    pub(super) fn answers(&self) -> bool {
        self.grants_leases() && !matches!(self.roles.phase, Phase::Leaving { .. })
    }

    /// Returns true if the peer's servers grant leases; false if it is unknown.
    pub(super) fn peer_grants_leases(&self) -> bool {
        let groups = self.replica.peer_groups();
        groups.is_some_and(|groups| !groups.is_empty())
    }

    /// Returns true if the peer requested a drain a short while ago: its role is about to go.
    fn expects_role(&self, now_ns: u64) -> bool {
        let since_ns = now_ns.saturating_sub(ROLE_EXPECTED_NS);
        let heard = self.replica.peer_drain_ns();
        self.peer_grants_leases() && heard.is_some_and(|heard_ns| heard_ns > since_ns)
    }

    /// Handles a group's role; [`Action::Done`] follows.
    pub fn handle_role(&mut self, now_ns: u64, ticket: u64, group: &str, active: bool) {
        if active {
            self.roles.groups.insert(group.to_owned());
        } else {
            self.roles.groups.remove(group);
        }
        self.roles.told = true;
        let wanted = !self.roles.groups.is_empty();
        self.roles.tickets.push(ticket);
        match (self.roles.phase, wanted) {
            (Phase::Backup, true) => {
                if self.expects_role(now_ns) {
                    let until_ns = now_ns.saturating_add(LAST_NS);
                    self.roles.phase = Phase::Awaiting { until_ns };
                } else {
                    self.enter(now_ns.saturating_add(ENTERING_NS));
                }
            }
            (Phase::Leaving { .. }, true) => self.enter_again(now_ns),
            (Phase::Awaiting { .. }, false) => self.roles.phase = Phase::Backup,
            (Phase::Entering { .. } | Phase::Active, false) => self.leave(now_ns),
            _ => {}
        }
        self.proceed(now_ns);
    }

    /// Begins a drain before a switchover: the peer receives everything in the files, and is informed of the
    /// switchover.
    pub fn start_drain(&mut self, now_ns: u64) {
        if !self.grants_leases()
            || self.replica.peer_groups().is_none()
            || self.peer_grants_leases()
        {
            return;
        }
        // the peer is informed at once
        self.replica.start_drain();
        self.read_tails();
        self.roles.drains = false;
        self.roles.drain_until_ns = Some(now_ns.saturating_add(LEAVING_NS));
        self.proceed(now_ns);
    }

    pub fn is_drained(&self) -> bool {
        self.roles.drain_until_ns.is_none()
    }

    /// Becomes active after waiting for the peer, which counts against the role's time limit.
    fn enter_late(&mut self, awaited_ns: u64) {
        self.enter(awaited_ns.saturating_add(ENTERING_NS - LAST_NS));
    }

    fn enter(&mut self, until_ns: u64) {
        self.roles.phase = Phase::Entering { until_ns };
        for (server, leases) in self.tables.servers.iter_mut().enumerate() {
            // the role may have come while the plugin was away: its server granted leases that no peer knows
            if leases.following.take_recalled() {
                self.replica.forget(server);
            }
            leases.handle_active();
            let copy = None;
            self.actions
                .push_back(Action::RememberCopy { server, copy });
        }
        self.tell_role();
    }

    /// Becomes active again before the role was gone: servers that were stopped meanwhile wait for their files as
    /// usual.
    fn enter_again(&mut self, now_ns: u64) {
        let until_ns = now_ns.saturating_add(ENTERING_NS);
        self.roles.phase = Phase::Entering { until_ns };
        for leases in &mut self.tables.servers {
            leases.save.forget_reads();
            leases.save.try_now();
        }
    }

    /// Informs the replica which node's servers grant leases.
    fn tell_role(&mut self) {
        self.tables.grants_leases = self.grants_leases();
        let groups = self.grants_leases().then(|| ACTIVE.to_owned());
        self.replica.handle_groups(groups.into_iter().collect());
    }

    fn leave(&mut self, now_ns: u64) {
        let until_ns = now_ns.saturating_add(LEAVING_NS);
        let silent = false;
        self.roles.phase = Phase::Leaving { until_ns, silent };
        self.roles.drains = false;
        self.read_if_silent(until_ns);
    }

    /// Reads the servers' last commits once none of them grants leases any more.
    fn read_if_silent(&mut self, until_ns: u64) {
        if self.all_silent() {
            let silent = true;
            self.roles.phase = Phase::Leaving { until_ns, silent };
            self.read_tails();
        }
    }

    /// Returns true if all servers that can be disabled are disabled.
    fn all_silent(&self) -> bool {
        let purpose = self.purpose();
        let mut servers = self.tables.servers.iter();
        servers.all(|leases| leases.has_heard(purpose))
    }

    fn read_tails(&mut self) {
        for (server, leases) in self.tables.servers.iter_mut().enumerate() {
            let command = leases.save.read();
            self.actions.push_back(Action::Command { server, command });
        }
    }

    fn forget_reads(&mut self) {
        for leases in &mut self.tables.servers {
            leases.save.forget_reads();
        }
    }

    fn all_read(&self) -> bool {
        let mut servers = self.tables.servers.iter();
        !servers.any(|leases| leases.save.is_reading())
    }

    /// Returns true if the peer has all commits, or there is no peer.
    fn all_told(&mut self) -> bool {
        if !self.all_read() {
            return false;
        }
        if self.replica.peer_groups().is_none() {
            return true;
        }
        if !std::mem::replace(&mut self.roles.drains, true) {
            self.replica.start_drain();
        }
        self.replica.drain_state() != Drain::Pending
    }

    pub(super) fn proceed_roles(&mut self, now_ns: u64) {
        let drain_until_ns = self.roles.drain_until_ns;
        if drain_until_ns.is_some_and(|until_ns| now_ns >= until_ns || self.all_told()) {
            self.roles.drain_until_ns = None;
        }
        match self.roles.phase {
            Phase::Awaiting { until_ns } if !self.peer_grants_leases() => {
                self.enter_late(until_ns);
                self.proceed(now_ns);
            }
            Phase::Awaiting { until_ns } if now_ns >= until_ns => {
                let text =
                    "the peer did not report its last leases in time: taking over without them";
                self.actions.push_back(Action::Warn(text.to_owned()));
                self.enter_late(until_ns);
                self.proceed(now_ns);
            }
            Phase::Entering { until_ns } => {
                let purpose = self.purpose();
                let settled = |leases: &Leases| leases.is_settled(now_ns, purpose);
                if now_ns >= until_ns || self.tables.servers.iter().all(settled) {
                    self.roles.phase = Phase::Active;
                    for leases in &mut self.tables.servers {
                        leases.tell_late();
                    }
                    self.end_tickets();
                }
            }
            Phase::Leaving { until_ns, silent } => {
                if now_ns >= until_ns || silent && self.all_told() {
                    self.end_leaving(now_ns);
                } else if !silent {
                    self.read_if_silent(until_ns);
                }
            }
            Phase::Awaiting { .. } => {}
            Phase::Backup | Phase::Active => self.end_tickets(),
        }
    }

    fn end_leaving(&mut self, now_ns: u64) {
        self.roles.phase = Phase::Backup;
        self.roles.drain_until_ns = None;
        self.forget_reads();
        for leases in &mut self.tables.servers {
            // leases that waited for the server to stop
            let has_unwritten = leases.has_unwritten();
            leases.save.handle_whole(has_unwritten);
        }
        self.tell_role();
        self.end_tickets();
        self.proceed(now_ns);
    }

    fn end_tickets(&mut self) {
        let tickets = std::mem::take(&mut self.roles.tickets);
        let ended = tickets.into_iter().map(|ticket| Action::Done { ticket });
        self.actions.extend(ended);
    }
}

impl Leases {
    /// Makes the server here the one that grants leases.
    fn handle_active(&mut self) {
        self.following.handle_active();
        self.copy.forget();
        self.save.try_now();
    }

    /// Reports leases that a running server lacks: it will not be restarted, so it continues without them.
    fn tell_late(&mut self) {
        let waiting = self.book.not_in_file.len();
        if self.facts.runs && !self.facts.live && waiting > 0 {
            let name = &self.settings.name;
            let verb = if waiting == 1 { "waits" } else { "wait" };
            let leases = counted(waiting, "lease");
            let text = format!("{name} is already running: {leases} {verb} until it is stopped");
            self.news.push(text);
        }
    }
}
