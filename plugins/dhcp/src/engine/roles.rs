//! How a role comes and goes: the file is written before the server starts, and the last commit of
//! a server that was stopped reaches the node that takes over.

use std::collections::BTreeSet;

use super::status::counted;
use super::{Action, Engine};
use crate::wire::Message;

/// After the peer said that it switches over, its last word is waited for.
const HANDING_MS: i64 = 10_000;
const LAST_MS: i64 = 5_000;
/// What the tail of a file takes at most.
const LEAVING_MS: i64 = 3_000;
/// The host waits 10 s.
const ENTERING_MS: i64 = 8_000;

#[derive(Debug, Default)]
pub struct Roles {
    groups: BTreeSet<String>,
    /// A role was told since the start.
    told: bool,
    phase: Phase,
    /// Calls to be ended with the phase.
    tickets: Vec<u64>,
    /// Drains to be ended, and when at the latest.
    draining: Vec<u64>,
    drained_ms: i64,
    /// Until then the peer's word holds that it switches over.
    handing_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Backup,
    /// To be active: the peer has yet to say its last.
    Awaiting {
        until_ms: i64,
    },
    /// Active; servers are about to have their files.
    Entering {
        until_ms: i64,
    },
    Active,
    /// To be backup: servers fall silent, then the last commits are read, and told.
    Leaving {
        until_ms: i64,
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

    pub fn next_ms(&self) -> i64 {
        let of_phase = match self.phase {
            Phase::Awaiting { until_ms }
            | Phase::Entering { until_ms }
            | Phase::Leaving { until_ms, .. } => until_ms,
            Phase::Backup | Phase::Active => i64::MAX,
        };
        match self.draining.is_empty() {
            true => of_phase,
            false => of_phase.min(self.drained_ms),
        }
    }
}

impl Engine {
    /// Whether the servers here are those that give.
    pub(super) fn acts(&self) -> bool {
        let phase = self.roles.phase;
        matches!(
            phase,
            Phase::Entering { .. } | Phase::Active | Phase::Leaving { .. }
        )
    }

    /// Whether they are to answer clients: not once the role goes, as those of the peer answer when
    /// this node has said its last.
    pub(super) fn answers(&self) -> bool {
        self.acts() && !matches!(self.roles.phase, Phase::Leaving { .. })
    }

    pub(super) fn is_sender(&self) -> bool {
        self.acts() && self.up && self.peer.as_ref().is_some_and(|peer| !peer.active)
    }

    pub(super) fn is_receiver(&self) -> bool {
        !self.acts() && self.up && self.peer.as_ref().is_some_and(|peer| peer.active)
    }

    /// True where it is done; else [`Action::Done`] follows.
    pub fn handle_role(&mut self, now_ms: i64, ticket: u64, group: &str, active: bool) -> bool {
        match active {
            true => drop(self.roles.groups.insert(group.to_owned())),
            false => drop(self.roles.groups.remove(group)),
        }
        self.roles.told = true;
        let wanted = !self.roles.groups.is_empty();
        self.roles.tickets.push(ticket);
        match (self.roles.phase, wanted) {
            (Phase::Backup, true) => {
                let handing = self.roles.handing_ms.take();
                if self.up && handing.is_some_and(|handing_ms| now_ms < handing_ms) {
                    let until_ms = now_ms.saturating_add(LAST_MS);
                    self.roles.phase = Phase::Awaiting { until_ms };
                } else {
                    self.enter(now_ms.saturating_add(ENTERING_MS));
                }
            }
            (Phase::Leaving { .. }, true) => {
                self.roles.phase = Phase::Active;
                self.forget_reads();
            }
            (Phase::Awaiting { .. }, false) => self.roles.phase = Phase::Backup,
            (Phase::Entering { .. } | Phase::Active, false) => self.leave(now_ms),
            _ => {}
        }
        self.proceed(now_ms);
        let ended = Action::Done { ticket };
        match self.actions.iter().position(|action| *action == ended) {
            Some(position) => self.actions.remove(position).is_some(),
            None => false,
        }
    }

    /// Before a switchover: the peer gets what the files hold, and learns what is about to come. True
    /// where that is done.
    pub fn handle_drain(&mut self, now_ms: i64, ticket: u64) -> bool {
        if !self.is_sender() {
            return true;
        }
        self.out.push_back(Message::HandingOver);
        self.read_tails();
        self.roles.draining.push(ticket);
        self.roles.drained_ms = now_ms.saturating_add(LEAVING_MS);
        self.proceed(now_ms);
        false
    }

    pub(super) fn handle_handing_over(&mut self, now_ms: i64) {
        self.roles.handing_ms = Some(now_ms.saturating_add(HANDING_MS));
    }

    /// The peer said its last, or will not any more.
    pub(super) fn handle_last(&mut self) {
        self.roles.handing_ms = None;
        if let Phase::Awaiting { until_ms } = self.roles.phase {
            self.enter_late(until_ms);
        }
    }

    /// What was waited for the peer's last is off the time that the role may take.
    fn enter_late(&mut self, awaited_ms: i64) {
        self.enter(awaited_ms.saturating_add(ENTERING_MS - LAST_MS));
    }

    fn enter(&mut self, until_ms: i64) {
        self.roles.phase = Phase::Entering { until_ms };
        for (server, store) in self.stores.iter_mut().enumerate() {
            store.handle_active();
            let life = None;
            self.actions.push_back(Action::Lineage { server, life });
        }
        self.hello();
    }

    fn leave(&mut self, now_ms: i64) {
        let until_ms = now_ms.saturating_add(LEAVING_MS);
        let silent = false;
        self.roles.phase = Phase::Leaving { until_ms, silent };
        self.read_if_silent(until_ms);
    }

    /// What servers gave is read when none of them gives any more.
    fn read_if_silent(&mut self, until_ms: i64) {
        if self.all_silent() {
            let silent = true;
            self.roles.phase = Phase::Leaving { until_ms, silent };
            self.read_tails();
        }
    }

    /// Of those that can be told: none answers any more.
    fn all_silent(&self) -> bool {
        let purpose = self.purpose();
        self.stores.iter().all(|store| store.has_heard(purpose))
    }

    fn read_tails(&mut self) {
        for (server, store) in self.stores.iter_mut().enumerate() {
            let command = store.save.read();
            self.actions.push_back(Action::Command { server, command });
        }
    }

    fn forget_reads(&mut self) {
        for store in &mut self.stores {
            store.save.forget_reads();
        }
    }

    fn all_read(&self) -> bool {
        !self.stores.iter().any(|store| store.save.is_reading())
    }

    /// All that was read was put into messages.
    fn all_told(&self) -> bool {
        let idle = self.stores.iter().all(|store| store.sender.is_idle());
        self.out.is_empty() && (idle || !self.is_sender())
    }

    pub(super) fn proceed_roles(&mut self, now_ms: i64) {
        if now_ms >= self.roles.drained_ms || self.all_read() && self.all_told() {
            self.end_drains();
        }
        match self.roles.phase {
            Phase::Awaiting { until_ms } if now_ms >= until_ms => {
                let text = "the peer did not say its last in time: taking over without it";
                self.actions.push_back(Action::Warn(text.to_owned()));
                self.enter_late(until_ms);
                self.proceed(now_ms);
            }
            Phase::Entering { until_ms } => {
                let purpose = self.purpose();
                let settled = |store: &super::Store| store.is_settled(now_ms, purpose);
                if now_ms >= until_ms || self.stores.iter().all(settled) {
                    self.roles.phase = Phase::Active;
                    for store in &mut self.stores {
                        store.tell_late();
                    }
                    self.end_tickets();
                }
            }
            Phase::Leaving { until_ms, silent } => {
                if now_ms >= until_ms || silent && self.all_read() && self.all_told() {
                    self.end_leaving(now_ms);
                } else if !silent {
                    self.read_if_silent(until_ms);
                }
            }
            Phase::Awaiting { .. } => {}
            Phase::Backup | Phase::Active => self.end_tickets(),
        }
    }

    fn end_leaving(&mut self, now_ms: i64) {
        self.roles.phase = Phase::Backup;
        self.end_drains();
        self.forget_reads();
        if self.up {
            self.out.push_back(Message::Last);
        }
        for store in &mut self.stores {
            store.sender.reset();
            store.receiver.reset();
            // what waited for the server to stop
            store.save.hurry = store.has_unwritten();
            store.save.owed = store.save.hurry;
        }
        self.hello();
        self.follow();
        self.end_tickets();
        self.proceed(now_ms);
    }

    fn end_drains(&mut self) {
        let tickets = std::mem::take(&mut self.roles.draining);
        let ended = tickets.into_iter().map(|ticket| Action::Done { ticket });
        self.actions.extend(ended);
    }

    fn end_tickets(&mut self) {
        let tickets = std::mem::take(&mut self.roles.tickets);
        let ended = tickets.into_iter().map(|ticket| Action::Done { ticket });
        self.actions.extend(ended);
    }
}

impl super::Store {
    /// From now on the server here is the one that gives.
    fn handle_active(&mut self) {
        self.of_peer = false;
        self.lineage = None;
        self.save.try_now();
        self.sender.reset();
        self.receiver.reset();
    }

    /// Nobody will start a server that runs, so that it goes on without these.
    fn tell_late(&mut self) {
        let waiting = self.book.unfiled.len();
        if self.facts.runs && !self.facts.live && waiting > 0 {
            let name = &self.name.name;
            let verb = if waiting == 1 { "waits" } else { "wait" };
            let leases = counted(waiting, "lease");
            let text = format!("{name} runs already: {leases} {verb} until it is stopped");
            self.news.push(text);
        }
    }
}
