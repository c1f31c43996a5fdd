//! How sets follow, without I/O: who sends, what differs, what the host is told.
//!
//! Fed by [`configure`](Engine::configure), [`handle_role`](Engine::handle_role),
//! [`handle_up`](Engine::handle_up), [`handle_down`](Engine::handle_down),
//! [`handle_message`](Engine::handle_message), by what the kernel says
//! ([`handle_shape`](Engine::handle_shape), [`handle_elements`](Engine::handle_elements),
//! [`handle_read`](Engine::handle_read), [`handle_added`](Engine::handle_added),
//! [`handle_deleted`](Engine::handle_deleted), [`handle_touched`](Engine::handle_touched),
//! [`handle_refused`](Engine::handle_refused)) and by [`handle_timeout`](Engine::handle_timeout), at
//! the time that [`next_timeout`](Engine::next_timeout) says; drained by
//! [`poll_action`](Engine::poll_action) and, while the channel takes messages, by
//! [`poll_message`](Engine::poll_message).
//!
//! Every call does a bounded part of the work: sets may have a million elements.

mod peer;
mod receiver;
mod sender;
mod set;
mod status;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};

use crate::config::{SETS_MAX, Settings};
use crate::element::{Element, Key, SetName, Shape};
use crate::error::Hindrance;
use crate::wire::Message;
use set::{Roles, Set};

pub use table::Reading;

/// No file names more sets.
const UNKNOWN_MAX: usize = SETS_MAX;
/// Entries that are looked at in one call, of one set.
const SLICE: usize = 10_000;

/// What the engine wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Read a set: its shape, its elements, the end.
    Read {
        set: usize,
    },
    /// Change a set, in this order; what is refused goes to `handle_refused`.
    Write {
        set: usize,
        changes: Vec<Change>,
    },
    InSync {
        yes: bool,
        why: String,
    },
    Warn(String),
    /// A week later somebody may ask.
    Event(String),
}

/// One key of a set. Both happen at once: there is no moment without the element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: Key,
    pub delete: bool,
    pub add: Option<Element>,
}

/// The plugin's logic.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    sets: Vec<Set>,
    active_groups: BTreeSet<String>,
    up: bool,
    /// Whether the peer is active, once it has said so.
    peer: Option<bool>,
    /// Of the last snapshot.
    epoch: u32,
    said: Option<(bool, String)>,
    actions: VecDeque<Action>,
    /// What one call of `poll_message` made and the next have to take: a few messages at most.
    out: VecDeque<Message>,
    /// The peer is to hear this node's role: the one that it has then.
    role_due: bool,
    /// Sets that the peer asked for and that this node does not have, to be answered once each. The
    /// peer decides how many it asks for: beyond [`UNKNOWN_MAX`] it waits.
    unknown: BTreeSet<SetName>,
    /// The set whose turn it is to send.
    turn: usize,
    malformed: u64,
    /// That was said since the peer is there.
    warned: bool,
}

impl Engine {
    pub fn new(now_ms: u64, settings: Settings) -> Self {
        let mut sets: Vec<Set> = settings.sets.iter().cloned().map(Set::new).collect();
        for set in &mut sets {
            set.reads.due_ms = now_ms;
        }
        Self {
            settings,
            sets,
            active_groups: BTreeSet::new(),
            up: false,
            peer: None,
            epoch: 0,
            said: None,
            actions: VecDeque::new(),
            out: VecDeque::new(),
            role_due: false,
            unknown: BTreeSet::new(),
            turn: 0,
            malformed: 0,
            warned: false,
        }
    }

    /// Takes other intervals; other sets need another engine.
    pub fn configure(&mut self, now_ms: u64, settings: Settings) {
        for set in &mut self.sets {
            set.reads.due_ms = set.reads.due_ms.min(now_ms + settings.poll_ms);
        }
        self.settings = settings;
    }

    pub fn set_of(&self, name: &SetName) -> Option<usize> {
        self.sets.iter().position(|set| set.name == *name)
    }

    pub fn handle_role(&mut self, now_ms: u64, group: &str, active: bool) {
        let before = self.standing();
        if active {
            self.active_groups.insert(group.to_owned());
        } else {
            self.active_groups.remove(group);
        }
        let standing = self.standing();
        if before.active != standing.active {
            self.said = None;
            for set in &mut self.sets {
                set.handle_role(standing, self.up);
            }
            self.tell_role();
            self.follow(now_ms);
        }
        self.review();
    }

    /// The kernel has the set, with such elements, or it has not.
    pub fn handle_shape(&mut self, now_ms: u64, set: usize, found: Result<Shape, Hindrance>) {
        let again = found.is_err();
        if let Some(set) = self.sets.get_mut(set) {
            set.handle_shape(found);
            if again {
                set.handle_read(None);
                set.read_again(now_ms, self.settings.poll_ms);
            }
        }
        self.review();
    }

    /// A part of what a reading finds.
    pub fn handle_elements(&mut self, now_ms: u64, set: usize, elements: Vec<Element>) {
        let standing = self.standing();
        if let Some(set) = self.sets.get_mut(set) {
            set.see(now_ms, standing, elements, true);
        }
    }

    /// The end of a reading; None where it failed on its way.
    pub fn handle_read(&mut self, now_ms: u64, set: usize, reading: Option<Reading>) {
        let poll_ms = self.settings.poll_ms;
        if let Some(set) = self.sets.get_mut(set) {
            set.handle_read(reading);
            set.read_again(now_ms, poll_ms);
        }
        self.scan(now_ms);
    }

    /// Somebody else added elements.
    pub fn handle_added(&mut self, now_ms: u64, set: usize, elements: Vec<Element>) {
        let standing = self.standing();
        if let Some(set) = self.sets.get_mut(set).filter(|set| set.shape.is_some()) {
            set.see(now_ms, standing, elements, false);
        }
    }

    /// Somebody else deleted elements.
    pub fn handle_deleted(&mut self, now_ms: u64, set: usize, keys: Vec<Key>) {
        let standing = self.standing();
        if let Some(set) = self.sets.get_mut(set) {
            set.observe_deletions(now_ms, standing, keys);
        }
    }

    /// Somebody changed the set in a way that only reading tells; None: notifications were lost, or
    /// sets made or deleted.
    pub fn handle_touched(&mut self, now_ms: u64, set: Option<usize>) {
        for (position, it) in self.sets.iter_mut().enumerate() {
            if set.is_none_or(|set| set == position) {
                it.read_soon(now_ms, set.is_none());
            }
        }
    }

    /// What the kernel did not take of an [`Action::Write`]: keys and errnos.
    pub fn handle_refused(&mut self, now_ms: u64, set: usize, refused: Vec<(Key, i32)>) {
        if let Some(set) = self.sets.get_mut(set) {
            set.handle_refused(now_ms, refused);
        }
        self.review();
    }

    pub fn next_timeout(&self) -> u64 {
        let standing = self.standing();
        let of_set = |set: &Set| {
            if set.is_scanning() || set.receiver.is_pruning() || set.table.is_untidy() {
                return 0;
            }
            let read_ms = match set.reads.running {
                true => u64::MAX,
                false => set.reads.due_ms,
            };
            let refresh_ms = set.refresh_ms(standing, self.settings.resync_ms);
            read_ms.min(refresh_ms.unwrap_or(u64::MAX))
        };
        self.sets.iter().map(of_set).min().unwrap_or(u64::MAX)
    }

    pub fn handle_timeout(&mut self, now_ms: u64) {
        let standing = self.standing();
        self.scan(now_ms);
        self.prune(now_ms);
        for (position, set) in self.sets.iter_mut().enumerate() {
            if set.reads.due_ms <= now_ms && !set.reads.running && !set.is_scanning() {
                set.begin_reading();
                self.actions.push_back(Action::Read { set: position });
            }
            set.refresh(now_ms, standing, self.settings.resync_ms);
            set.table.dispose(SLICE);
        }
        self.review();
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Before a switchover: what the packets added since the last reading is read and sent, too, where
    /// that is quick.
    pub fn handle_drain(&mut self, now_ms: u64, deadline_ms: u64) {
        if !self.standing().is_sender() {
            return;
        }
        let left_ms = deadline_ms.saturating_sub(now_ms);
        for set in &mut self.sets {
            if set.is_ready() && set.reads.cost_ms < left_ms / 8 {
                set.reads.drains = true;
                set.reads.due_ms = now_ms;
            }
        }
    }

    /// Whether everything is said that this node has to say.
    pub fn is_drained(&self) -> bool {
        if !self.standing().is_sender() {
            return true;
        }
        let told = |set: &Set| !set.sender.subscribed || !set.is_ready() || set.sender.is_idle();
        self.is_silent() && self.sets.iter().all(|set| !set.reads.drains && told(set))
    }

    /// Nothing waits that was made, and no answer.
    fn is_silent(&self) -> bool {
        let answers = |set: &Set| set.count_due || set.receiver.synced.is_some();
        self.out.is_empty()
            && !self.role_due
            && self.unknown.is_empty()
            && !self.sets.iter().any(answers)
    }

    fn standing(&self) -> Roles {
        Roles {
            active: !self.active_groups.is_empty(),
            peer: self.peer.filter(|_| self.up),
        }
    }

    fn scan(&mut self, now_ms: u64) {
        let standing = self.standing();
        for set in &mut self.sets {
            if set.is_scanning() && set.scan(now_ms, standing) && standing.is_receiver() {
                set.follow(now_ms);
            }
            if !set.is_scanning() && self.up && set.reads.whole {
                set.count_due = true;
            }
        }
        self.review();
    }

    fn prune(&mut self, now_ms: u64) {
        for (position, set) in self.sets.iter_mut().enumerate() {
            if !set.receiver.is_pruning() {
                continue;
            }
            let changes = set.prune(now_ms);
            if !changes.is_empty() {
                let set = position;
                self.actions.push_back(Action::Write { set, changes });
            }
        }
    }

    /// Says what changed for the host and for people.
    fn review(&mut self) {
        for set in &mut self.sets {
            self.actions.extend(set.say_hindrance());
        }
        let said = self.synchrony();
        if self.said.as_ref() != Some(&said) {
            let (yes, why) = said.clone();
            self.said = Some(said);
            self.actions.push_back(Action::InSync { yes, why });
        }
    }

    /// Whether this node has what it needs to take over, and why where not.
    fn synchrony(&self) -> (bool, String) {
        let standing = self.standing();
        if standing.active {
            return (true, String::new());
        }
        let why = self.sets.iter().find_map(|set| set.lack(standing));
        (why.is_none(), why.unwrap_or_default())
    }
}
