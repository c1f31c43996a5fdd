//! Schedules the checks, evaluates their results, and reports them to the daemon; sans I/O.
//!
//! Fed by [`configure`](Engine::configure), [`handle_role`](Engine::handle_role),
//! [`handle_interface`](Engine::handle_interface), [`handle_result`](Engine::handle_result),
//! [`handle_heard`](Engine::handle_heard), [`handle_unsent`](Engine::handle_unsent),
//! [`handle_group_gone`](Engine::handle_group_gone) and [`handle_timeout`](Engine::handle_timeout), at the time of
//! [`next_timeout`](Engine::next_timeout); drained by [`poll_action`](Engine::poll_action).

mod damped_state;
mod item;
mod ping;
mod status;
#[cfg(test)]
mod tests;
mod turns;
mod unknown_group;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};

use spared_sdk::{Engine as _, Role};

use crate::config::{Check, Kind, Settings};
use crate::wire::icmp::{Heard, Prefix};
use item::Item;
use ping::Echoes;
use turns::Turns;

/// Name under which sockets that are bound to no interface are reported.
pub const ANY_INTERFACE: &str = "@any";
/// Time in ns for which a node that has become backup keeps its results of checks on the active node.
const KEPT_NS: u64 = 300_000_000_000;
/// Interval in ns between the starts of checks that are due at the same time.
const STAGGER_NS: u64 = 20_000_000;

/// Action for the driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Sends an echo from the socket of `via`. If it cannot be sent, the driver calls `handle_unsent`, or
    /// `handle_no_socket` if there never was a socket.
    Ping {
        via: String,
        to: IpAddr,
        sequence: u16,
        packet: Vec<u8>,
    },
    /// Begins a run. Its result goes to `handle_result` when it has ended, also after a `Cancel`; for a connection only
    /// before.
    Start {
        run: u64,
        job: Job,
    },
    /// Cancels a run whose result is not needed any more.
    Cancel(u64),
    Follow {
        interface: String,
        ping: bool,
    },
    Unfollow(String),
    Report {
        name: String,
        weight: u32,
        /// Points that it takes off now.
        points: u32,
        state: u8,
        why: String,
    },
    /// Reports that no result counts yet.
    Unknown {
        name: String,
        weight: u32,
        why: String,
    },
    Forget(String),
}

/// Work of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    Connect(SocketAddr),
    Spawn {
        check: String,
        argv: Vec<String>,
        output: bool,
        /// True for a program of the system, which is found by PATH and whose owner is not checked.
        system: bool,
    },
    /// Reads files, which may be on a disk that does not answer.
    Read(Kind),
}

/// Result of a run. A run may have no result, or several with a part each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Part of the check: a member.
    pub part: Option<String>,
    /// Level from 0 (failed) to 100 (good).
    pub level: u8,
    pub why: String,
    /// Difference of a number from the best one, in the direction of worse ones; None for other checks.
    pub excess: Option<u32>,
}

impl Finding {
    pub fn new(level: u8, why: impl Into<String>) -> Self {
        Self {
            part: None,
            level,
            why: why.into(),
            excess: None,
        }
    }

    pub fn good(why: impl Into<String>) -> Self {
        Self::new(100, why)
    }

    pub fn failed(why: impl Into<String>) -> Self {
        Self::new(0, why)
    }

    /// The finding of a check with `reverse`.
    fn reversed(self) -> Self {
        Self {
            level: 100 - self.level.min(100),
            ..self
        }
    }
}

/// State of an interface, from the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub present: bool,
    pub up: bool,
    pub carrier: bool,
}

impl Link {
    fn finding(self) -> Finding {
        match self {
            Self { present: false, .. } => Finding::failed("is not there"),
            Self { up: false, .. } => Finding::failed("is down"),
            Self { carrier: false, .. } => Finding::failed("has no carrier"),
            _ => Finding::good("up"),
        }
    }
}

/// State and rules of all checks.
#[derive(Debug)]
pub struct Engine {
    items: Vec<Item>,
    /// Groups, with true if this node is active in the group.
    roles: BTreeMap<String, bool>,
    /// Time after which a group without a known role counts as a wrong name.
    unknown_group_due_ns: Option<u64>,
    links: BTreeMap<String, Link>,
    /// Interfaces, with true if sockets to ping were requested.
    followed: BTreeMap<String, bool>,
    echoes: Echoes,
    turns: Turns,
    actions: VecDeque<Action>,
    last_run: u64,
}

impl Engine {
    /// Creates an engine. `secret` makes the tokens of echoes, so that only nodes on the path can answer for a target.
    pub fn new(secret: &RandomState) -> Self {
        Self {
            items: Vec::new(),
            roles: BTreeMap::new(),
            unknown_group_due_ns: None,
            links: BTreeMap::new(),
            followed: BTreeMap::new(),
            echoes: Echoes::new(secret.clone(), secret.hash_one("identifier")),
            turns: Turns::default(),
            actions: VecDeque::new(),
            last_run: 0,
        }
    }

    /// First bytes of the token of every echo.
    pub fn echo_prefix(&self) -> Prefix {
        self.echoes.prefix()
    }

    /// Takes a configuration; unchanged checks keep their results.
    pub fn configure(&mut self, now_ns: u64, settings: &Settings) {
        let mut old = std::mem::take(&mut self.items);
        let mut due_ns = now_ns;
        for check in &settings.checks {
            let same = |item: &Item| item.check.name == check.name && item.check.kind == check.kind;
            match old.iter().position(same) {
                Some(at) => {
                    let mut item = old.swap_remove(at);
                    item.apply(now_ns, check.clone());
                    self.items.push(item);
                }
                None => {
                    self.items.push(Item::new(check.clone(), due_ns));
                    due_ns += STAGGER_NS;
                }
            }
        }
        for mut item in old {
            self.end_run(&mut item);
            for name in item.forget() {
                self.actions.push_back(Action::Forget(name));
            }
        }
        self.plan_unknown_groups(now_ns);
        self.follow();
        self.pause_and_resume(now_ns);
        self.report(now_ns);
    }

    /// Handles the complete state of an interface.
    pub fn handle_interface(&mut self, now_ns: u64, name: &str, link: Link) {
        self.links.insert(name.to_owned(), link);
        for item in &mut self.items {
            item.handle_link(now_ns, name, link);
        }
        self.report(now_ns);
    }

    /// Handles the end of a job. Findings for a run that is over are dropped.
    pub fn handle_result(&mut self, now_ns: u64, run: u64, findings: Vec<Finding>) {
        if let Some((run, job)) = self.turns.end(run) {
            self.actions.push_back(Action::Start { run, job });
        }
        self.conclude(now_ns, run, findings);
    }

    fn conclude(&mut self, now_ns: u64, run: u64, findings: Vec<Finding>) {
        let Some(item) = self.items.iter_mut().find(|item| item.is_running(run)) else {
            return;
        };
        item.run = None;
        for name in item.handle_result(now_ns, findings) {
            self.actions.push_back(Action::Forget(name));
        }
        self.follow();
        self.report(now_ns);
    }

    /// Handles a packet that may answer an echo.
    pub fn handle_heard(&mut self, now_ns: u64, heard: &Heard) {
        let Some((sequence, answer)) = self.echoes.answer(now_ns, heard) else {
            return;
        };
        self.answered(now_ns, sequence, answer);
    }

    /// Handles an echo that could not be sent.
    pub fn handle_unsent(&mut self, now_ns: u64, sequence: u16, why: &str) {
        self.answered(now_ns, sequence, ping::Answer::Lost(why.to_owned()));
    }

    /// Handles that the daemon has given no socket for `via`: the targets are not known, and the socket is requested
    /// again.
    pub fn handle_no_socket(&mut self, sequence: u16, via: &str) {
        let Some(sent) = self.echoes.take(sequence) else {
            return;
        };
        self.echoes.drop_run(sent.run);
        let mut items = self.items.iter_mut();
        if let Some(item) = items.find(|item| item.is_running(sent.run)) {
            item.run = None;
        }
        let interface = via.to_owned();
        let ping = true;
        self.actions.push_back(Action::Unfollow(interface.clone()));
        self.actions.push_back(Action::Follow { interface, ping });
    }

    fn answered(&mut self, now_ns: u64, sequence: u16, answer: ping::Answer) {
        let Some(sent) = self.echoes.take(sequence) else {
            return;
        };
        let Some(item) = self.items.iter_mut().find(|item| item.is_running(sent.run)) else {
            return;
        };
        if let Some(finding) = item.round_answered(sent.target, answer) {
            self.conclude(now_ns, sent.run, vec![finding]);
        }
    }

    /// Runs a check now.
    ///
    /// # Errors
    /// The reason why it does not run.
    pub fn probe(&mut self, now_ns: u64, name: &str) -> Result<(), String> {
        let item = self.items.iter_mut().find(|item| item.check.name == name);
        let item = item.ok_or_else(|| format!("there is no check {name}"))?;
        if let Some(why) = item.unknown_group_reason() {
            return Err(format!("{name} does not run: {why}"));
        }
        if item.is_paused {
            return Err(format!("{name} runs only while this node is active"));
        }
        if !item.is_polled() {
            return Err(format!(
                "{name} is reported by the kernel and needs no probe"
            ));
        }
        item.next_ns = Some(now_ns);
        self.handle_timeout(now_ns);
        Ok(())
    }

    fn end_late_runs(&mut self, now_ns: u64) {
        let late = |item: &mut Item| Some((item.poll_late(now_ns)?, item.check.is_ping()));
        let late: Vec<_> = self.items.iter_mut().filter_map(late).collect();
        for ((run, finding), is_ping) in late {
            self.cancel(run, is_ping);
            self.conclude(now_ns, run, vec![finding]);
        }
    }

    fn start_due_runs(&mut self, now_ns: u64) {
        for item in &mut self.items {
            if !item.poll_due(now_ns) {
                continue;
            }
            self.last_run += 1;
            let run = self.last_run;
            item.start(now_ns, run);
            if let Kind::Ping(ping) = &item.check.kind {
                self.actions.extend(self.echoes.send(now_ns, run, ping));
            } else if let Some(job) = item.job().and_then(|job| self.turns.begin(run, job)) {
                self.actions.push_back(Action::Start { run, job });
            }
        }
    }

    fn end_run(&mut self, item: &mut Item) {
        let Some(run) = item.run.take() else { return };
        self.cancel(run.id, item.check.is_ping());
    }

    fn cancel(&mut self, run: u64, is_ping: bool) {
        if is_ping {
            self.echoes.drop_run(run);
        } else if !self.turns.cancel(run) {
            self.actions.push_back(Action::Cancel(run));
        }
    }

    /// Selects the checks that may run, by the roles.
    fn pause_and_resume(&mut self, now_ns: u64) {
        let mut items = std::mem::take(&mut self.items);
        for item in &mut items {
            let may_run = self.may_run(&item.check);
            if may_run && item.is_paused {
                item.resume(now_ns, &self.links);
            } else if !may_run && !item.is_paused {
                self.end_run(item);
                item.pause(now_ns);
            }
        }
        self.items = items;
    }

    fn may_run(&self, check: &Check) -> bool {
        match check.only.as_ref().map(|only| &only.group) {
            None => true,
            Some(Some(group)) => self.roles.get(group).copied().unwrap_or(false),
            Some(None) => self.roles.values().any(|active| *active),
        }
    }

    /// Requests events of the interfaces that matter now.
    fn follow(&mut self) {
        let mut wanted = BTreeMap::new();
        for item in &self.items {
            for (interface, ping) in item.interfaces() {
                *wanted.entry(interface).or_insert(false) |= ping;
            }
        }
        for (interface, ping) in &self.followed {
            if wanted.get(interface) != Some(ping) {
                self.links.remove(interface);
                let interface = interface.clone();
                self.actions.push_back(Action::Unfollow(interface));
            }
        }
        for (interface, ping) in &wanted {
            if self.followed.get(interface) != Some(ping) {
                let (interface, ping) = (interface.clone(), *ping);
                self.actions.push_back(Action::Follow { interface, ping });
            }
        }
        self.followed = wanted;
    }

    fn report(&mut self, now_ns: u64) {
        for item in &mut self.items {
            self.actions.extend(item.reports(now_ns));
        }
    }
}

impl spared_sdk::Engine for Engine {
    type Action = Action;

    fn handle_role(&mut self, now_ns: u64, group: &str, role: Role) {
        let is_active = role == Role::Active;
        if self.roles.insert(group.to_owned(), is_active).is_none() {
            self.plan_unknown_groups(now_ns);
        }
        self.pause_and_resume(now_ns);
        self.report(now_ns);
    }

    /// Starts due runs, ends late ones, and forgets results that are too old.
    fn handle_timeout(&mut self, now_ns: u64) {
        self.find_unknown_groups(now_ns);
        self.end_late_runs(now_ns);
        self.start_due_runs(now_ns);
        for item in &mut self.items {
            if item.forget_ns.is_some_and(|forget_ns| now_ns >= forget_ns) {
                let names = item.forget();
                let gone = names.into_iter().map(Action::Forget);
                self.actions.extend(gone);
            }
            item.handle_timeout(now_ns);
        }
        self.report(now_ns);
    }

    fn next_timeout(&self, _now_ns: u64) -> Option<u64> {
        let items = self.items.iter().filter_map(Item::next_timeout);
        items.chain(self.unknown_group_due_ns).min()
    }

    fn poll_action(&mut self, _now_ns: u64) -> Option<Action> {
        self.actions.pop_front()
    }
}
