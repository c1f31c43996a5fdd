//! What DHCP alone knows of leases that follow, without I/O: what is written when, how a role comes and
//! goes, what the host and people are told. The replica keeps the leases equal.
//!
//! Driven by the SDK's runner (`driven.rs`); beside that it is fed by
//! [`configure`](Engine::configure), [`handle_role`](Engine::handle_role),
//! [`handle_event`](Engine::handle_event) (what a server's thread tells),
//! [`handle_diff`](Engine::handle_diff) and [`handle_stop`](Engine::handle_stop).
//!
//! Times are of this node's monotonic clock in ms, as what files say may lie before its zero.

mod book;
mod channel;
mod conflict;
mod diff;
mod driven;
mod leases;
mod reading;
mod receive;
mod role;
mod save;
mod status;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use spared_replica::{Config, Now, Replica};

use crate::config::Settings;
use crate::server::{Command, Event};
use crate::store::Tables;
use diff::Diff;
use role::Roles;
use save::Purpose;

pub use diff::Difference;
pub use leases::Leases;

/// Interval at which old deletions are forgotten.
const TIDY_MS: i64 = 60_000;
const NS: u64 = 1_000_000;

/// Actions for the driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// For the thread of a server, in order.
    Command {
        server: usize,
        command: Command,
    },
    /// A call of `handle_role` has ended.
    Done {
        ticket: u64,
    },
    /// Answer to all who requested a comparison.
    Answer(Result<Difference, String>),
    /// Saved over a restart: the active node whose leases are all here.
    Lineage {
        server: usize,
        life: Option<u64>,
    },
    Warn(String),
    /// A week later somebody may ask.
    Event(String),
}

/// The plugin's logic.
pub struct Engine {
    tables: Tables,
    replica: Replica<Tables>,
    save_ms: i64,
    roles: Roles,
    diff: Diff,
    actions: VecDeque<Action>,
    /// A message beside the replica's that waits for the channel.
    own: Option<Vec<u8>>,
    /// Last report to the peer on servers that cannot be followed.
    told: Vec<Option<String>>,
    malformed: u64,
    tidied_ms: i64,
}

impl Engine {
    /// The tables of `config` are the servers, in their order; `lineage` is what
    /// [`Action::Lineage`] left, for each.
    pub fn new(now_ms: i64, settings: Settings, config: Config, lineage: &[Option<u64>]) -> Self {
        let save_ms = span_ms(settings.save_interval);
        let run = config.run;
        let mut replica = Replica::new(config);
        let mut servers = Vec::new();
        let lineage = lineage.iter().copied().chain(std::iter::repeat(None));
        for (index, (server, life)) in settings.servers.into_iter().zip(lineage).enumerate() {
            if let Some(life) = life {
                replica.recall(index, life);
            }
            servers.push(Leases::new(server, life));
        }
        Self {
            tables: Tables::new(now_ms, run, servers),
            replica,
            save_ms,
            roles: Roles::default(),
            diff: Diff::default(),
            actions: VecDeque::new(),
            own: None,
            told: Vec::new(),
            malformed: 0,
            tidied_ms: now_ms,
        }
    }

    /// Takes another interval; other servers need another engine.
    pub fn configure(&mut self, now_ms: i64, settings: &Settings) {
        self.save_ms = span_ms(settings.save_interval);
        self.proceed(now_ms);
    }

    /// Report of a server's thread.
    pub fn handle_event(&mut self, now_ms: i64, server: usize, event: Event) {
        let active = self.acts();
        let Some(leases) = self.tables.servers.get_mut(server) else {
            return;
        };
        match event {
            Event::Done {
                serial,
                result,
                refused,
            } => leases.handle_done(now_ms, serial, result, refused, active),
            event => leases.handle_event(now_ms, event),
        }
        self.tell_replica(now_ms);
        self.proceed(now_ms);
    }

    pub fn next_timeout(&self, now_ms: i64) -> i64 {
        let purpose = self.purpose();
        let servers = self.tables.servers.iter();
        let of_servers = servers.map(|it| it.due_ms(purpose)).min();
        let of_replica = self.replica.next_timeout(ns(now_ms));
        let due = [
            of_servers.unwrap_or(i64::MAX),
            of_replica.map_or(i64::MAX, |at| ms_from(at, now_ms)),
            self.roles.next_ms(),
            self.diff.next_ms(),
        ];
        let tidy_ms = self.tidied_ms.saturating_add(TIDY_MS);
        due.into_iter().fold(tidy_ms, i64::min)
    }

    pub fn handle_timeout(&mut self, now_ms: i64) {
        if now_ms >= self.tidied_ms.saturating_add(TIDY_MS) {
            self.tidied_ms = now_ms;
            for leases in &mut self.tables.servers {
                leases.book.forget_old(now_ms);
            }
        }
        self.end_late_diff(now_ms);
        self.handle_replica_timeout(now_ms);
        self.proceed(now_ms);
    }

    /// The plugin ends: a backup writes what it has not yet written.
    pub fn handle_stop(&mut self, now_ms: i64) {
        for leases in &mut self.tables.servers {
            leases.save.hurry = leases.has_unwritten() && !leases.is_receiving;
        }
        self.proceed(now_ms);
    }

    /// Whether a command of [`handle_stop`](Self::handle_stop) is still to end.
    pub fn is_writing(&self, now_ms: i64) -> bool {
        let purpose = self.purpose();
        let mut servers = self.tables.servers.iter();
        servers.any(|leases| !leases.is_settled(now_ms, purpose))
    }

    pub fn next_action(&mut self) -> Option<Action> {
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
        self.observe_replica();
        let purpose = self.purpose();
        for (server, leases) in self.tables.servers.iter_mut().enumerate() {
            leases.make_missing_file();
            while let Some(command) = leases.next_command(now_ms, purpose) {
                self.actions.push_back(Action::Command { server, command });
            }
        }
        self.proceed_roles(now_ms);
        self.tell_people();
    }

    fn tell_people(&mut self) {
        while let Some(text) = self.replica.poll_event() {
            self.actions.push_back(Action::Warn(text));
        }
        for leases in &mut self.tables.servers {
            let name = leases.name().to_owned();
            if let Some(why) = leases.save.take_failure() {
                self.actions
                    .push_back(Action::Event(format!("{name} cannot be written: {why}")));
            }
            let news = leases.take_news().into_iter();
            self.actions.extend(news.map(Action::Event));
        }
    }

    /// Whether this node has what it needs to take over, and why where not.
    fn readiness(&self) -> Result<(), String> {
        if self.acts() {
            return Ok(());
        }
        let mut servers = 0..self.tables.servers.len();
        let lack = servers.find_map(|server| self.lack(server));
        lack.map_or(Ok(()), Err)
    }
}

/// The engine's time of the host's.
pub fn ms(now_ns: u64) -> i64 {
    i64::try_from(now_ns / NS).unwrap_or(i64::MAX)
}

/// The replica's time.
fn ns(now_ms: i64) -> Now {
    now_ms.max(0).unsigned_abs().saturating_mul(NS)
}

/// At that time, or at once if it has passed.
fn ms_from(at: Now, now_ms: i64) -> i64 {
    match at <= ns(now_ms) {
        true => now_ms,
        false => i64::try_from(at.div_ceil(NS)).unwrap_or(i64::MAX),
    }
}

fn span_ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
