//! Replication of sets, sans I/O: passes the kernel's reports to the replica, which decides what is sent, and to the
//! store, which knows the kernel's elements.
//!
//! Fed like any [`spared_sdk::Engine`], by [`configure`](Engine::configure) and by reports of the kernel:
//! [`handle_info`](Engine::handle_info), [`handle_elements`](Engine::handle_elements),
//! [`handle_read`](Engine::handle_read), [`handle_event`](Engine::handle_event),
//! [`handle_generation`](Engine::handle_generation) after the events of each transaction,
//! [`handle_loss`](Engine::handle_loss), [`handle_written`](Engine::handle_written).
//!
//! Every call does a bounded part of the work: sets may have a million elements.

mod role;
mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};

use spared_replica::{Config, Drain, Replica};
use spared_sdk::{Role, Trouble};

use crate::SECOND;
use crate::codec::SetInfo;
use crate::config::Settings;
use crate::element::{Element, Key};
use crate::error::Hindrance;
use crate::store::{Batch, News, Origin, Part, Reading, Set, Sets, Written, digest};
use role::{Draining, Synchrony};

/// Maximum number of records without a verdict: a list of a million elements, and as many deletions.
const WINDOW: usize = 1 << 21;
/// Maximum number of entries of old sets that are freed in one call.
const SLICE: usize = 10_000;
/// Maximum number of pending changes of a set, beyond which all of it is compared. A ruleset may load a million.
const CHANGES_MAX: usize = 1 << 20;
/// Interval in ns of checks that are not needed after each event.
const LOOK_NS: u64 = SECOND;

/// Action for the driver.
#[derive(Debug)]
pub enum Action {
    /// Reads a set: its description, its elements, the end.
    Read(usize),
    /// Writes a batch, to be answered by [`Engine::handle_written`] before any other call.
    Write(Batch),
    /// Keeps the names of the sets that are filled by lists, for the next worker.
    KeepLists(BTreeSet<String>),
    Warn(String),
    /// Reports an event, because somebody may ask a week later.
    Event(String),
}

/// Change of a set in the kernel by others.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Added(Vec<Element>),
    Deleted(Vec<Key>),
    /// Ends of intervals were added or deleted; only a reading shows which.
    Touched {
        added: usize,
        deleted: usize,
    },
    /// The set was created or deleted.
    Remade,
}

/// State and rules of all sets.
pub struct Engine {
    settings: Settings,
    store: Sets,
    replica: Replica<Sets>,
    active_groups: BTreeSet<String>,
    up: bool,
    draining: Draining,
    synchrony: Synchrony,
    /// Generation of the kernel up to which all notifications have arrived; None: not known.
    generation: Option<u32>,
    /// For each set, true if it is kept as one that is filled by lists.
    kept_lists: Vec<bool>,
    actions: VecDeque<Action>,
    /// Times of the next complete comparison, and of small periodic tasks.
    resync_due_ns: u64,
    look_due_ns: u64,
}

impl Engine {
    /// Creates an engine. `boot` identifies the kernel's run and the network namespace; `config` has a table for each
    /// set.
    pub fn new(now_ns: u64, settings: Settings, mut config: Config, boot: &str) -> Self {
        config.changes_max = CHANGES_MAX;
        config.window = WINDOW;
        let origin = Origin {
            boot: digest(&[boot.as_bytes()]),
            run: config.run,
        };
        let sets = settings.sets.iter();
        let sets = sets.map(|it| Set::new(it.name.clone(), it.reload, now_ns));
        Self {
            store: Sets::new(now_ns, sets.collect(), origin),
            replica: Replica::new(config),
            active_groups: BTreeSet::new(),
            up: false,
            draining: Draining::default(),
            synchrony: Synchrony::default(),
            generation: None,
            kept_lists: vec![false; settings.sets.len()],
            actions: VecDeque::new(),
            resync_due_ns: now_ns.saturating_add(settings.resync_ns),
            look_due_ns: now_ns,
            settings,
        }
    }

    /// Takes other intervals and other treatments of sets created again; other sets need a new engine.
    pub fn configure(&mut self, now_ns: u64, settings: Settings) {
        self.at(now_ns);
        let poll_due_ns = now_ns.saturating_add(settings.poll_ns);
        for (set, wanted) in self.store.all.iter_mut().zip(&settings.sets) {
            set.reload = wanted.reload;
            set.reads.hasten(poll_due_ns);
        }
        let resync_due_ns = now_ns.saturating_add(settings.resync_ns);
        self.resync_due_ns = self.resync_due_ns.min(resync_due_ns);
        self.settings = settings;
    }

    /// Takes the names that an earlier worker kept ([`Action::KeepLists`]).
    pub fn recall_lists(&mut self, names: &BTreeSet<String>) {
        for (set, is_kept) in self.store.all.iter_mut().zip(&mut self.kept_lists) {
            if names.contains(&set.name.to_string()) {
                set.take_list();
                *is_kept = true;
            }
        }
    }

    /// Sets the store's time to that of the call.
    fn at(&mut self, now_ns: u64) {
        self.store.now_ns = now_ns;
    }

    /// Handles the description of a set, or the reason why there is none.
    pub fn handle_info(&mut self, now_ns: u64, set: usize, found: Result<SetInfo, Hindrance>) {
        self.at(now_ns);
        let poll_ns = self.settings.poll_ns;
        let Some(set) = self.store.all.get_mut(set) else {
            return;
        };
        match found {
            Ok(info) => set.find(&info),
            Err(hindrance) => {
                set.end_reading(None);
                set.miss(now_ns, hindrance);
                set.read_again(now_ns, poll_ns);
            }
        }
        for token in set.take_dropped() {
            self.replica.verdict(now_ns, &mut self.store, token, false);
        }
    }

    /// Handles a part of a reading.
    pub fn handle_elements(&mut self, now_ns: u64, set: usize, elements: Vec<Element>) {
        self.at(now_ns);
        let mut news = Vec::new();
        if let Some(set) = self.store.all.get_mut(set) {
            set.see(now_ns, elements, true, &mut news);
        }
        self.tell(now_ns, set, news);
    }

    /// Handles the end of a reading; None if it failed.
    pub fn handle_read(&mut self, now_ns: u64, set: usize, reading: Option<Reading>) {
        self.at(now_ns);
        let poll_ns = self.settings.poll_ns;
        if let Some(set) = self.store.all.get_mut(set) {
            set.end_reading(reading);
            set.read_again(now_ns, poll_ns);
        }
        self.scan(now_ns);
    }

    /// Handles a change of a set by others.
    pub fn handle_event(&mut self, now_ns: u64, index: usize, seen: Seen) {
        self.at(now_ns);
        let is_busy = self.replica.is_uncommitted(index);
        let Some(set) = self.store.all.get_mut(index) else {
            return;
        };
        let mut news = Vec::new();
        match seen {
            Seen::Added(_) if set.shape().is_none() => {}
            Seen::Added(elements) if set.is_remade() => {
                set.see(now_ns, elements, false, &mut news);
            }
            Seen::Added(elements) => set.note_added(now_ns, elements, is_busy, &mut news),
            Seen::Deleted(keys) => set.note_deleted(keys),
            Seen::Touched { added, deleted } => set.note_touched(now_ns, added, deleted),
            Seen::Remade => set.note_remade(now_ns),
        }
        self.tell(now_ns, index, news);
    }

    /// Handles the end of a transaction, ours or another: its changes count together.
    pub fn handle_generation(&mut self, now_ns: u64, generation: u32) {
        self.at(now_ns);
        self.generation = Some(generation);
        if self.store.all.iter().any(Set::is_taking) {
            self.store.generation = generation;
        }
        self.store.all.iter_mut().for_each(Set::end_transaction);
        self.release(now_ns);
    }

    /// Notes that no more notifications arrive: only readings show changes.
    pub fn handle_silence(&mut self, now_ns: u64) {
        // transactions without an end will not get one
        self.handle_loss(now_ns);
    }

    /// Lets the sets take the changes that were held back, once the peer has all of the state before them, so that one
    /// state becomes whole however fast they follow each other.
    fn release(&mut self, now_ns: u64) {
        self.settle(now_ns);
        for index in 0..self.store.all.len() {
            let is_busy = self.replica.is_uncommitted(index) && !self.is_draining();
            let Some(set) = self.store.all.get_mut(index) else {
                continue;
            };
            if set.has_kept() && !(is_busy && set.is_kept()) {
                let mut news = Vec::new();
                let is_list = set.take_kept(now_ns, &mut news);
                let outdated = set.take_outdated();
                if !outdated.is_empty() {
                    let store = &mut self.store;
                    self.replica
                        .states_outdated(now_ns, store, index, &outdated);
                }
                self.store.generation = self.generation.unwrap_or(self.store.generation);
                self.tell(now_ns, index, news);
                if is_list {
                    self.replica.list_replaced(now_ns, &mut self.store, index);
                }
            }
            let set = self.store.all.get_mut(index);
            if set.is_some_and(|set| set.make_sure(self.generation)) {
                self.replica.list_replaced(now_ns, &mut self.store, index);
            }
        }
    }

    /// Gives verdicts on states of the peer that change nothing.
    fn settle(&mut self, now_ns: u64) {
        let sets = self.store.all.iter_mut();
        let tokens: Vec<_> = sets.flat_map(Set::take_settled).collect();
        for token in tokens {
            self.replica.verdict(now_ns, &mut self.store, token, true);
        }
    }

    /// True if changes are held back that could be sent now.
    fn has_kept(&self) -> bool {
        let sets = self.store.all.iter().enumerate();
        let mut kept = sets.filter(|(_, set)| set.has_kept());
        kept.any(|(index, _)| !self.replica.is_uncommitted(index))
    }

    /// Handles the loss of notifications.
    pub fn handle_loss(&mut self, now_ns: u64) {
        self.at(now_ns);
        self.generation = None;
        for set in &mut self.store.all {
            set.note_loss_of_events(now_ns);
        }
    }

    /// Reports to the replica what this node's kernel changed.
    fn tell(&mut self, now_ns: u64, index: usize, news: Vec<News>) {
        for news in news.chunk_by(|one, next| one.is_offered == next.is_offered) {
            let is_offered = news.iter().any(|one| one.is_offered);
            self.store.offer(is_offered.then_some(index));
            let changes = news.iter().map(|one| (&one.key, one.change));
            let store = &mut self.store;
            self.replica.changed_together(now_ns, store, index, changes);
        }
        self.store.offer(None);
    }

    fn scan(&mut self, now_ns: u64) {
        for index in 0..self.store.all.len() {
            let news = self.store.scan(index);
            self.tell(now_ns, index, news);
        }
        self.release(now_ns);
        self.drain_if_read(now_ns);
    }

    /// Handles the kernel's answer to a batch.
    pub fn handle_written(&mut self, now_ns: u64, batch: Batch, written: &Written) {
        self.at(now_ns);
        for part in batch.parts {
            self.finish(now_ns, part, written);
        }
    }

    fn finish(&mut self, now_ns: u64, part: Part, written: &Written) {
        let index = part.set;
        let outcome = self.store.finish(part, written);
        self.replica.report_counts_soon();
        if !outcome.outdated.is_empty() {
            let tokens = &outcome.outdated;
            self.replica
                .states_outdated(now_ns, &mut self.store, index, tokens);
        }
        for (token, is_applied) in outcome.verdicts {
            self.replica
                .verdict(now_ns, &mut self.store, token, is_applied);
        }
        if let (Some(set), Some(errno)) = (self.store.all.get_mut(index), outcome.refused) {
            set.condition.handle_refusal(errno);
        }
    }

    /// Compares all of each set, on a backup.
    fn resync(&mut self, now_ns: u64) {
        let status = self.replica.status(now_ns, &self.store);
        for (index, table) in status.iter().enumerate() {
            if table.is_decider == Some(false) && table.out_of_sync_reason.is_none() {
                self.replica.resync(index);
            }
        }
    }

    /// Forgets a refusal once the kernel has accepted everything since.
    fn look(&mut self, now_ns: u64) {
        let status = self.replica.status(now_ns, &self.store);
        for (set, table) in self.store.all.iter_mut().zip(status) {
            if table.refused.0 == 0 && !set.is_refilling() {
                set.condition.handle_accepted();
            }
        }
    }
}

impl spared_sdk::Engine for Engine {
    type Action = Action;

    fn handle_timeout(&mut self, now_ns: u64) {
        self.at(now_ns);
        self.scan(now_ns);
        for (index, set) in self.store.all.iter_mut().enumerate() {
            // what waits to be written is older in the kernel, whose answer another thread reads at once
            if set.reads.is_due(now_ns) && !set.has_pending() {
                set.begin_reading();
                self.actions.push_back(Action::Read(index));
            }
            set.table.dispose(SLICE);
        }
        self.replica.handle_timeout(now_ns, &mut self.store);
        if self.look_due_ns <= now_ns {
            self.look_due_ns = now_ns.saturating_add(LOOK_NS);
            self.look(now_ns);
        }
        if self.resync_due_ns <= now_ns {
            self.resync_due_ns = now_ns.saturating_add(self.settings.resync_ns);
            self.resync(now_ns);
        }
    }

    fn next_timeout(&self, now_ns: u64) -> Option<u64> {
        let of_set = |set: &Set| {
            let reads = &set.reads;
            if reads.is_scanning() || set.table.is_untidy() {
                return Some(now_ns);
            }
            (!reads.is_running()).then(|| reads.due_ns())
        };
        let sets = self.store.all.iter().filter_map(of_set);
        let retries = self.store.all.iter().filter_map(Set::retry_due);
        let replica = self.replica.next_timeout(now_ns);
        // only a set with a refusal needs this check
        let is_refused = |set: &Set| set.condition.is_refused();
        let is_refused = self.store.all.iter().any(is_refused);
        let look = is_refused.then_some(self.look_due_ns);
        let own = look.into_iter().chain([self.resync_due_ns]);
        let due = self.synchrony.due();
        let due = due.into_iter().chain(self.draining.due());
        let due = due.chain(self.has_kept().then_some(now_ns));
        sets.chain(retries)
            .chain(replica)
            .chain(own)
            .chain(due)
            .min()
    }

    fn poll_action(&mut self, now_ns: u64) -> Option<Action> {
        self.at(now_ns);
        self.settle(now_ns);
        if self.actions.is_empty() {
            self.review(now_ns);
        }
        let action = self.actions.pop_front();
        action.or_else(|| self.store.poll_batch().map(Action::Write))
    }

    fn handle_role(&mut self, now_ns: u64, group: &str, role: Role) {
        self.at(now_ns);
        let was_active = self.is_active();
        match role {
            Role::Active => self.active_groups.insert(group.to_owned()),
            _ => self.active_groups.remove(group),
        };
        if was_active && !self.is_active() {
            for set in &mut self.store.all {
                set.reads.retire(now_ns);
            }
        }
        self.replica.handle_groups(self.active_groups.clone());
    }

    fn handle_up(&mut self, now_ns: u64, _wire: u32) {
        self.at(now_ns);
        self.up = true;
        self.synchrony = Synchrony::default();
        self.replica.handle_up(&mut self.store);
    }

    fn handle_down(&mut self, now_ns: u64) {
        self.at(now_ns);
        self.up = false;
        self.synchrony = Synchrony::default();
        self.replica.handle_down(&mut self.store);
    }

    fn handle_message(&mut self, now_ns: u64, message: &[u8]) -> Result<(), String> {
        self.at(now_ns);
        let done = self
            .replica
            .handle_message(now_ns, &mut self.store, message);
        done.map_err(|why| why.to_string())
    }

    fn wants_message(&self) -> bool {
        self.replica.can_receive(&self.store)
    }

    fn poll_message(&mut self, now_ns: u64) -> Option<&[u8]> {
        self.at(now_ns);
        self.release(now_ns);
        self.replica.poll_message(now_ns, &mut self.store)
    }

    fn message_sent(&mut self, _now_ns: u64) {
        self.replica.sent();
    }

    fn in_sync(&self) -> Option<Result<(), String>> {
        Some(self.synchrony.verdict.clone())
    }

    fn troubles(&self) -> Vec<Trouble> {
        self.troubles()
    }

    fn start_drain(&mut self, now_ns: u64, deadline_ns: u64) {
        self.begin_drain(now_ns, deadline_ns);
    }

    fn is_drained(&self) -> bool {
        match self.draining {
            Draining::Idle => true,
            Draining::Reading(_) => !self.up,
            Draining::Asked => self.replica.drain_state() != Drain::Pending,
        }
    }

    fn is_settled(&self) -> bool {
        self.replica.is_settled()
    }
}
