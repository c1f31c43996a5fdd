//! Replication of sets, sans I/O: passes the kernel's reports to the replica, which decides what is
//! sent, and to the store, which knows the kernel's elements.
//!
//! Fed as any [`spared_sdk::Engine`], by [`configure`](Engine::configure) and by what the kernel says:
//! [`handle_info`](Engine::handle_info), [`handle_elements`](Engine::handle_elements),
//! [`handle_read`](Engine::handle_read), [`handle_event`](Engine::handle_event),
//! [`handle_loss`](Engine::handle_loss), [`handle_written`](Engine::handle_written).
//!
//! Every call does a bounded part of the work: sets may have a million elements.

mod role;
mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};

use spared_replica::{Config, Drain, Now, Replica};
use spared_sdk::{Role, Trouble};

use crate::codec::SetInfo;
use crate::config::Settings;
use crate::element::{Element, Key};
use crate::error::Hindrance;
use crate::store::{Batch, News, Origin, Reading, Set, Sets, digest};
use role::{Draining, Synchrony};

const MS: Now = 1_000_000;
/// Entries of old sets that are freed in one call.
const SLICE: usize = 10_000;
/// Changes of a set that wait: beyond, all of it is compared. A ruleset may load a million.
const CHANGES_MAX: usize = 1 << 20;
/// Pause between looks at what need not be looked at after each event.
const LOOK: Now = 1_000 * MS;

/// Actions for the driver.
#[derive(Debug)]
pub enum Action {
    /// Read a set: its description, its elements, the end.
    Read(usize),
    /// Write a batch, to be answered by [`Engine::handle_written`] before anything else.
    Write(Batch),
    Warn(String),
    /// A week later somebody may ask.
    Event(String),
}

/// Change of a set in the kernel by others.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Added(Vec<Element>),
    Deleted(Vec<Key>),
    /// A change that only reading shows.
    Touched,
    /// The set was created or deleted.
    Remade,
}

/// The plugin's logic.
pub struct Engine {
    settings: Settings,
    store: Sets,
    replica: Replica<Sets>,
    active_groups: BTreeSet<String>,
    up: bool,
    draining: Draining,
    synchrony: Synchrony,
    actions: VecDeque<Action>,
    /// Times of the next complete comparison, and of small periodic tasks.
    resync_due: Now,
    look_due: Now,
}

impl Engine {
    /// `boot` names the kernel's run and the network namespace; `config` has a table for each set.
    pub fn new(now: Now, settings: Settings, mut config: Config, boot: &str) -> Self {
        config.changes_max = CHANGES_MAX;
        let origin = Origin {
            boot: digest(&[boot.as_bytes()]),
            run: config.run,
        };
        let now_ms = now / MS;
        let sets = settings.sets.iter();
        let sets = sets.map(|it| Set::new(it.name.clone(), it.reload, origin, now_ms));
        let all = sets.collect();
        Self {
            store: Sets { all, now_ms },
            replica: Replica::new(config),
            active_groups: BTreeSet::new(),
            up: false,
            draining: Draining::default(),
            synchrony: Synchrony::default(),
            actions: VecDeque::new(),
            resync_due: now.saturating_add(settings.resync_ms.saturating_mul(MS)),
            look_due: now,
            settings,
        }
    }

    /// Takes other intervals and what becomes of sets made anew; other sets need another engine.
    pub fn configure(&mut self, now: Now, settings: Settings) {
        let now_ms = self.at(now);
        for (set, wanted) in self.store.all.iter_mut().zip(&settings.sets) {
            set.reload = wanted.reload;
            set.reads.due_ms = set.reads.due_ms.min(now_ms + settings.poll_ms);
        }
        let resync = settings.resync_ms.saturating_mul(MS);
        self.resync_due = self.resync_due.min(now.saturating_add(resync));
        self.settings = settings;
    }

    /// The store's time is that of the call.
    fn at(&mut self, now: Now) -> u64 {
        self.store.now_ms = now / MS;
        self.store.now_ms
    }

    /// The kernel has the set, or it has not.
    pub fn handle_info(&mut self, now: Now, set: usize, found: Result<SetInfo, Hindrance>) {
        let now_ms = self.at(now);
        let poll_ms = self.settings.poll_ms;
        let Some(set) = self.store.all.get_mut(set) else {
            return;
        };
        match found {
            Ok(info) => set.find(&info),
            Err(hindrance) => {
                set.end_reading(None);
                set.miss(now_ms, hindrance);
                set.read_again(now_ms, poll_ms);
            }
        }
        for token in set.take_dropped() {
            self.replica.verdict(now, &mut self.store, token, false);
        }
    }

    /// A part of what a reading finds.
    pub fn handle_elements(&mut self, now: Now, set: usize, elements: Vec<Element>) {
        let now_ms = self.at(now);
        let mut news = Vec::new();
        if let Some(set) = self.store.all.get_mut(set) {
            set.see(now_ms, elements, true, &mut news);
        }
        self.tell(now, set, news);
    }

    /// The end of a reading; None if it failed on its way.
    pub fn handle_read(&mut self, now: Now, set: usize, reading: Option<Reading>) {
        let now_ms = self.at(now);
        let poll_ms = self.settings.poll_ms;
        if let Some(set) = self.store.all.get_mut(set) {
            set.end_reading(reading);
            set.read_again(now_ms, poll_ms);
        }
        self.scan(now);
    }

    /// Somebody else did something to a set.
    pub fn handle_event(&mut self, now: Now, index: usize, seen: Seen) {
        let now_ms = self.at(now);
        let Some(set) = self.store.all.get_mut(index) else {
            return;
        };
        let mut news = Vec::new();
        match seen {
            Seen::Added(elements) if set.shape().is_some() => {
                set.see(now_ms, elements, false, &mut news);
            }
            Seen::Added(_) => {}
            Seen::Deleted(keys) => set.observe_deletions(now_ms, keys, &mut news),
            Seen::Touched => set.reads.touch(now_ms, false),
            Seen::Remade => set.reads.hurry(now_ms),
        }
        self.tell(now, index, news);
    }

    /// Notifications were lost.
    pub fn handle_loss(&mut self, now: Now) {
        let now_ms = self.at(now);
        for set in &mut self.store.all {
            set.reads.touch(now_ms, true);
        }
    }

    /// Tells the replica what this node's kernel changed.
    fn tell(&mut self, now: Now, index: usize, news: Vec<News>) {
        for one in news {
            if let Some(set) = self.store.all.get_mut(index) {
                set.is_offering = one.is_offered;
            }
            let store = &mut self.store;
            self.replica
                .changed(now, store, index, &one.key, one.change);
        }
        if let Some(set) = self.store.all.get_mut(index) {
            set.is_offering = false;
        }
    }

    fn scan(&mut self, now: Now) {
        let now_ms = self.store.now_ms;
        for index in 0..self.store.all.len() {
            let mut news = Vec::new();
            if let Some(set) = self.store.all.get_mut(index) {
                set.scan(now_ms, &mut news);
            }
            self.tell(now, index, news);
        }
        self.drain_if_read();
    }

    /// Refusals of the kernel for a batch: keys and errnos.
    pub fn handle_written(&mut self, now: Now, batch: Batch, refused: Vec<(Key, i32)>) {
        self.at(now);
        let index = batch.set;
        let outcome = self.store.finish(batch, refused);
        for (token, is_applied) in outcome.verdicts {
            self.replica
                .verdict(now, &mut self.store, token, is_applied);
        }
        if let (Some(set), Some(errno)) = (self.store.all.get_mut(index), outcome.refused) {
            set.trouble = Some(errno);
        }
    }

    /// A backup has all of each set compared.
    fn resync(&mut self, now: Now) {
        let status = self.replica.status(now, &self.store);
        for (index, table) in status.iter().enumerate() {
            if table.is_decider == Some(false) && table.lack.is_none() {
                self.replica.resync(index);
            }
        }
    }

    /// Looks whether what was refused was taken since.
    fn look(&mut self, now: Now) {
        let status = self.replica.status(now, &self.store);
        for (set, table) in self.store.all.iter_mut().zip(status) {
            if table.refused.0 == 0 {
                set.trouble = None;
            }
        }
    }
}

impl spared_sdk::Engine for Engine {
    type Action = Action;

    fn handle_timeout(&mut self, now: Now) {
        let now_ms = self.at(now);
        self.scan(now);
        for (index, set) in self.store.all.iter_mut().enumerate() {
            if set.reads.is_due(now_ms) {
                set.begin_reading();
                self.actions.push_back(Action::Read(index));
            }
            set.table.dispose(SLICE);
        }
        self.replica.handle_timeout(now, &mut self.store);
        if self.look_due <= now {
            self.look_due = now.saturating_add(LOOK);
            self.look(now);
        }
        if self.resync_due <= now {
            let pause = self.settings.resync_ms.saturating_mul(MS);
            self.resync_due = now.saturating_add(pause);
            self.resync(now);
        }
    }

    fn next_timeout(&self, now: Now) -> Option<Now> {
        let of_set = |set: &Set| {
            let reads = &set.reads;
            if reads.is_scanning() || set.table.is_untidy() {
                return Some(now);
            }
            (!reads.running).then_some(reads.due_ms.saturating_mul(MS))
        };
        let sets = self.store.all.iter().filter_map(of_set);
        let replica = self.replica.next_timeout(now);
        let own = [self.look_due, self.resync_due];
        let due = self.synchrony.due();
        sets.chain(replica).chain(own).chain(due).min()
    }

    fn poll_action(&mut self, now: Now) -> Option<Action> {
        self.at(now);
        if self.actions.is_empty() {
            self.review(now);
        }
        let action = self.actions.pop_front();
        action.or_else(|| self.store.poll_batch().map(Action::Write))
    }

    fn handle_role(&mut self, now: Now, group: &str, role: Role) {
        let now_ms = self.at(now);
        let was_active = self.is_active();
        match role {
            Role::Active => self.active_groups.insert(group.to_owned()),
            _ => self.active_groups.remove(group),
        };
        if was_active && !self.is_active() {
            for set in &mut self.store.all {
                set.reads.retire(now_ms);
            }
        }
        self.replica.handle_groups(self.active_groups.clone());
    }

    fn handle_up(&mut self, now: Now, _wire: u32) {
        self.at(now);
        self.up = true;
        self.synchrony = Synchrony::default();
        self.replica.handle_up(&mut self.store);
    }

    fn handle_down(&mut self, now: Now) {
        self.at(now);
        self.up = false;
        self.synchrony = Synchrony::default();
        self.replica.handle_down(&mut self.store);
    }

    fn handle_message(&mut self, now: Now, message: &[u8]) -> Result<(), String> {
        self.at(now);
        let done = self.replica.handle_message(now, &mut self.store, message);
        done.map_err(|why| why.to_string())
    }

    fn wants_message(&self) -> bool {
        self.replica.wants(&self.store)
    }

    fn poll_message(&mut self, now: Now) -> Option<&[u8]> {
        self.at(now);
        self.replica.poll_message(now, &mut self.store)
    }

    fn message_sent(&mut self, _now: Now) {
        self.replica.sent();
    }

    fn in_sync(&self) -> Option<Result<(), String>> {
        Some(self.synchrony.verdict.clone())
    }

    fn troubles(&self) -> Vec<Trouble> {
        self.troubles()
    }

    fn start_drain(&mut self, now: Now, deadline: Now) {
        self.begin_drain(now, deadline);
    }

    fn is_drained(&self) -> bool {
        match self.draining {
            Draining::Idle => true,
            Draining::Reading => !self.up,
            Draining::Asked => self.replica.drained() != Drain::Pending,
        }
    }

    fn is_settled(&self) -> bool {
        self.replica.is_settled()
    }
}
