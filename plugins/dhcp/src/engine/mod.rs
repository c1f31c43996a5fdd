//! Decides what only DHCP knows, without I/O: when leases are written, the order of steps when a role comes and goes,
//! and what is reported. The replica keeps the leases equal.
//!
//! The SDK's runner drives it (`runner.rs`). Further inputs: [`configure`](Engine::configure),
//! [`handle_role`](Engine::handle_role), [`handle_event`](Engine::handle_event) (reports of a server's thread),
//! [`handle_diff`](Engine::handle_diff) and [`handle_stop`](Engine::handle_stop).
//!
//! Times are of this node's monotonic clock in ns. Those of leases are signed, as times in files may lie before its
//! zero.

mod book;
mod channel;
mod commands;
mod conflict;
mod copy;
mod deferred;
mod diff;
mod disk;
mod following;
mod leases;
mod news;
mod reading;
mod receive;
mod refusals;
mod role;
mod runner;
mod save;
mod setup;
mod silence;
mod status;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use spared_replica::{Config, Replica};

use crate::SECOND;
use crate::config::Settings;
use crate::server::{Command, Event};
use crate::store::Tables;
use diff::Diff;
use role::Roles;
use save::Purpose;

pub use copy::CompleteCopy;
pub use diff::Difference;
pub use leases::Leases;

/// Interval at which old deletions are forgotten.
const TIDY_NS: u64 = 60 * SECOND;

/// Actions for the driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Commands for a server's thread, in order.
    Command {
        server: usize,
        command: Command,
    },
    /// A call of `handle_role` has ended.
    Done {
        ticket: u64,
    },
    /// Answer to all requests for a comparison.
    Answer(Result<Difference, String>),
    /// Note that outlives a restart; None deletes it.
    RememberCopy {
        server: usize,
        copy: Option<CompleteCopy>,
    },
    Warn(String),
    /// Event, which is kept for a long time.
    Event(String),
}

/// The plugin's logic.
pub struct Engine {
    tables: Tables,
    replica: Replica<Tables>,
    save_interval_ns: u64,
    roles: Roles,
    diff: Diff,
    actions: VecDeque<Action>,
    /// A message of this plugin (not of the replica) that waits for the channel.
    own: Option<Vec<u8>>,
    /// Last report to the peer about each server that cannot be replicated.
    told: Vec<Option<String>>,
    /// Digest of the pools last sent to the peer, for each server.
    told_pools: Vec<Option<u64>>,
    malformed: u64,
    tidied_ns: u64,
}

impl Engine {
    /// Creates the engine. The tables of `config` are the servers, in their order; `copies` is what
    /// [`Action::RememberCopy`] saved for each.
    pub fn new(
        now_ns: u64,
        settings: Settings,
        config: Config,
        copies: &[Option<CompleteCopy>],
    ) -> Self {
        let save_interval_ns = spared_sdk::nanoseconds(settings.save_interval);
        let run = config.run;
        let mut replica = Replica::new(config);
        let mut servers = Vec::new();
        let copies = copies.iter().copied().chain(std::iter::repeat(None));
        for (index, (server, copy)) in settings.servers.into_iter().zip(copies).enumerate() {
            if let Some(copy) = copy {
                replica.recall(index, copy.incarnation);
            }
            servers.push(Leases::new(server, copy));
        }
        Self {
            tables: Tables::new(now_ns, run, servers),
            replica,
            save_interval_ns,
            roles: Roles::default(),
            diff: Diff::default(),
            actions: VecDeque::new(),
            own: None,
            told: Vec::new(),
            told_pools: Vec::new(),
            malformed: 0,
            tidied_ns: now_ns,
        }
    }

    /// Applies another interval. Other servers need another engine.
    pub fn configure(&mut self, now_ns: u64, settings: &Settings) {
        self.save_interval_ns = spared_sdk::nanoseconds(settings.save_interval);
        self.proceed(now_ns);
    }

    /// Handles a report of a server's thread.
    pub fn handle_event(&mut self, now_ns: u64, server: usize, event: Event) {
        let active = self.grants_leases();
        let Some(leases) = self.tables.servers.get_mut(server) else {
            return;
        };
        let is_replaced = match event {
            // the server of an active node writes with each commit
            Event::Stamp(stamp) if active => {
                leases.facts.stamp = Some(stamp);
                return;
            }
            Event::Done {
                serial,
                result,
                refused,
            } => {
                leases.handle_done(now_ns, serial, result, refused, active);
                false
            }
            event => leases.handle_event(now_ns, event),
        };
        if is_replaced {
            self.replica.forget(server);
        }
        self.tell_replica(now_ns);
        self.proceed(now_ns);
    }

    /// Returns true if a server runs; None before its thread has reported.
    pub fn runs(&self, server: usize) -> Option<bool> {
        let leases = self.tables.servers.get(server)?;
        leases.facts.known.then_some(leases.facts.runs)
    }

    pub fn next_timeout(&self, now_ns: u64) -> u64 {
        let purpose = self.purpose();
        let servers = self.tables.servers.iter();
        let of_servers = servers
            .map(|it| it.due_ns(purpose).min(it.note_due_ns()))
            .min();
        let of_replica = self.replica.next_timeout(now_ns);
        let due = [
            of_servers.unwrap_or(u64::MAX),
            of_replica.unwrap_or(u64::MAX),
            self.roles.next_ns(),
            self.diff.next_ns(),
        ];
        let tidy_ns = self.tidied_ns.saturating_add(TIDY_NS);
        due.into_iter().fold(tidy_ns, u64::min)
    }

    pub fn handle_timeout(&mut self, now_ns: u64) {
        if now_ns >= self.tidied_ns.saturating_add(TIDY_NS) {
            self.tidied_ns = now_ns;
            for leases in &mut self.tables.servers {
                leases.book.forget_old(now_ns);
            }
        }
        self.end_late_diff(now_ns);
        self.handle_replica_timeout(now_ns);
        self.proceed(now_ns);
    }

    /// Prepares the end of the plugin: a backup writes what is not written yet.
    pub fn handle_stop(&mut self, now_ns: u64) {
        for leases in &mut self.tables.servers {
            leases.handle_end();
        }
        self.proceed(now_ns);
    }

    /// Returns true while a command of [`handle_stop`](Self::handle_stop) is pending.
    pub fn is_writing(&self, now_ns: u64) -> bool {
        let purpose = self.purpose();
        let mut servers = self.tables.servers.iter();
        servers.any(|leases| !leases.is_settled(now_ns, purpose))
    }

    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn purpose(&self) -> Purpose {
        Purpose {
            active: self.grants_leases(),
            answers: self.answers(),
            entering: self.roles.is_entering(),
            told: self.roles.is_told(),
            interval_ns: self.save_interval_ns,
        }
    }

    /// Does everything that follows from the last input.
    fn proceed(&mut self, now_ns: u64) {
        self.observe_replica(now_ns);
        let purpose = self.purpose();
        for (server, leases) in self.tables.servers.iter_mut().enumerate() {
            leases.make_missing_file();
            while let Some(command) = leases.next_command(now_ns, purpose) {
                self.actions.push_back(Action::Command { server, command });
            }
        }
        self.proceed_roles(now_ns);
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
            let news = leases.news.take(&name).into_iter();
            self.actions.extend(news.map(Action::Event));
        }
    }

    /// Returns whether this node has what a failover needs, or the reason why not.
    fn readiness(&self) -> Result<(), String> {
        if self.grants_leases() {
            return Ok(());
        }
        let mut servers = 0..self.tables.servers.len();
        let lack = servers.find_map(|server| self.lack(server));
        lack.map_or(Ok(()), Err)
    }
}
