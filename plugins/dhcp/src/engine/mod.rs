//! How leases follow, without I/O: who gives, who takes, what is written when, what the host is
//! told.
//!
//! Fed by [`configure`](Engine::configure), [`handle_role`](Engine::handle_role),
//! [`handle_drain`](Engine::handle_drain), [`handle_up`](Engine::handle_up),
//! [`handle_down`](Engine::handle_down), [`handle_message`](Engine::handle_message),
//! [`handle_event`](Engine::handle_event) (what a server's thread tells),
//! [`handle_diff`](Engine::handle_diff), [`handle_stop`](Engine::handle_stop) and
//! [`handle_timeout`](Engine::handle_timeout), at the time that
//! [`next_timeout`](Engine::next_timeout) says; drained by [`poll_action`](Engine::poll_action) and,
//! while the channel takes messages, by [`poll_message`](Engine::poll_message).
//!
//! Times are of this node's monotonic clock in ms.

mod book;
mod diff;
mod merge;
mod peer;
mod receiver;
mod roles;
mod save;
mod sender;
mod status;
mod store;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use spared_sdk::Value;

use crate::config::Settings;
use crate::server::{Command, Event};
use crate::wire::Message;
use diff::Diff;
use roles::Roles;
use save::Purpose;
use store::Store;

/// How often what is long gone is forgotten.
const TIDY_MS: i64 = 60_000;

/// What the engine wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// For the thread of a server, in order.
    Command {
        server: usize,
        command: Command,
    },
    /// A call of `handle_role` or `handle_drain` that was not done at once.
    Done {
        ticket: u64,
    },
    /// A question's answer: rows, and whether they want attention.
    Answer {
        ticket: u64,
        rows: Result<Vec<(String, Value)>, String>,
        attention: bool,
    },
    InSync {
        yes: bool,
        why: String,
    },
    /// To be remembered over a restart.
    Lineage {
        server: usize,
        life: Option<u64>,
    },
    Warn(String),
    /// A week later somebody may ask.
    Event(String),
}

/// The plugin's logic.
#[derive(Debug)]
pub struct Engine {
    stores: Vec<Store>,
    save_ms: i64,
    /// Names this engine apart from those before a restart.
    life: u64,
    roles: Roles,
    peer: Option<Peer>,
    up: bool,
    diff: Diff,
    actions: VecDeque<Action>,
    out: VecDeque<Message>,
    /// The server whose turn it is to send.
    turn: usize,
    said: Option<(bool, String)>,
    malformed: u64,
    tidied_ms: i64,
}

/// What it said of itself.
#[derive(Debug)]
struct Peer {
    active: bool,
    life: u64,
    servers: Vec<crate::wire::Name>,
}

impl Engine {
    /// `lineage` is what [`Action::Lineage`] left, for each server.
    pub fn new(now_ms: i64, settings: Settings, life: u64, lineage: &[Option<u64>]) -> Self {
        let save_ms = ms(settings.save_interval);
        let lineage = lineage.iter().copied().chain(std::iter::repeat(None));
        let stores = settings.servers.into_iter().zip(lineage);
        Self {
            stores: stores
                .map(|(server, life)| Store::new(server, life))
                .collect(),
            save_ms,
            life,
            roles: Roles::default(),
            peer: None,
            up: false,
            diff: Diff::default(),
            actions: VecDeque::new(),
            out: VecDeque::new(),
            turn: 0,
            said: None,
            malformed: 0,
            tidied_ms: now_ms,
        }
    }

    /// Takes another interval; other servers need another engine.
    pub fn configure(&mut self, now_ms: i64, settings: &Settings) {
        self.save_ms = ms(settings.save_interval);
        self.proceed(now_ms);
    }

    /// What the thread of a server tells.
    pub fn handle_event(&mut self, now_ms: i64, server: usize, event: Event) {
        let active = self.acts();
        let Some(store) = self.stores.get_mut(server) else {
            return;
        };
        match event {
            Event::Done {
                serial,
                result,
                refused,
            } => store.handle_done(now_ms, serial, result, refused, active),
            event => store.handle_event(now_ms, event),
        }
        self.follow();
        self.proceed(now_ms);
    }

    pub fn next_timeout(&self) -> i64 {
        let purpose = self.purpose();
        let of_store = |store: &Store| store.save_ms(purpose).min(store.receiver.next_ms());
        let of_stores = self.stores.iter().map(of_store).min().unwrap_or(i64::MAX);
        of_stores
            .min(self.roles.next_ms())
            .min(self.diff.next_ms())
            .min(self.tidied_ms.saturating_add(TIDY_MS))
    }

    pub fn handle_timeout(&mut self, now_ms: i64) {
        if now_ms >= self.tidied_ms.saturating_add(TIDY_MS) {
            self.tidied_ms = now_ms;
            for store in &mut self.stores {
                store.book.forget_old(now_ms);
            }
        }
        for store in &mut self.stores {
            store.receiver.handle_timeout(now_ms);
        }
        self.end_late_diff(now_ms);
        self.proceed(now_ms);
    }

    /// The plugin ends: a backup writes what it has not yet written.
    pub fn handle_stop(&mut self, now_ms: i64) {
        for store in &mut self.stores {
            store.save.hurry = store.has_unwritten() && !store.receiver.is_receiving();
        }
        self.proceed(now_ms);
    }

    /// Whether a command of [`handle_stop`](Self::handle_stop) is still to end.
    pub fn is_writing(&self, now_ms: i64) -> bool {
        let purpose = self.purpose();
        self.stores
            .iter()
            .any(|store| !store.is_settled(now_ms, purpose))
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn purpose(&self) -> Purpose {
        Purpose {
            active: self.acts(),
            answers: self.answers(),
            entering: self.roles.is_entering(),
            told: self.roles.is_told(),
            interval_ms: self.save_ms,
        }
    }

    /// Everything that follows from what has just come.
    fn proceed(&mut self, now_ms: i64) {
        let purpose = self.purpose();
        for (server, store) in self.stores.iter_mut().enumerate() {
            while let Some(command) = store.next_command(now_ms, purpose) {
                self.actions.push_back(Action::Command { server, command });
            }
        }
        self.proceed_roles(now_ms);
        self.tell_people();
    }

    fn tell_people(&mut self) {
        for store in &mut self.stores {
            let name = store.name.name.clone();
            if let Some(why) = store.save.take_failure() {
                self.actions
                    .push_back(Action::Event(format!("{name} cannot be written: {why}")));
            }
            self.actions.extend(store.news.drain(..).map(Action::Event));
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
        if self.acts() {
            return (true, String::new());
        }
        let why = self.stores.iter().find_map(|store| self.lack(store));
        (why.is_none(), why.unwrap_or_default())
    }
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
