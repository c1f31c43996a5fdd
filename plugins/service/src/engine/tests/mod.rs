//! Roles in virtual time: the tests play the daemon, and a machine with services.

use std::collections::HashMap;

use spared_sdk::config::Config;
use spared_sdk::{Engine as _, Value};

use super::*;
use crate::config;
use crate::job::Status;
use machine::{Course, Ended, MS, Machine, S, Sim, job_text};

mod faults;
mod items;
mod machine;
mod maintenance;
mod random;
mod reload;
mod removed;
mod roles;
mod start_test;
mod states;
mod watched;

/// State of a check that is not known yet.
const UNKNOWN: u8 = u8::MAX;
/// Three services, as in the file of a dial-up pair.
const THREE: &str = "[[service]]\nunits = [\"kea\", \"squid\"]\n\
                     [[service]]\nunits = [\"postfix\"]\n";

struct Lab {
    engine: Engine,
    machine: Machine,
    manager: Manager,
    now_ns: u64,
    /// All jobs that began, with their times.
    begun: Vec<(u64, String)>,
    jobs: BTreeMap<u64, Job>,
    cancelled: usize,
    events: Vec<String>,
    checks: BTreeMap<String, (u8, String)>,
    weights: BTreeMap<String, u32>,
    /// Number of returns of each ticket.
    tickets: BTreeMap<u64, usize>,
    /// Contents of the folders of hooks.
    hooks: HashMap<Role, (Vec<String>, Vec<String>)>,
    folders: Vec<PathBuf>,
    /// True if the folders are not read.
    holds_hooks: bool,
    remembered: String,
    /// State of the files of tests.
    stamp: u64,
    /// Files that cannot be used, with the reason.
    missing: HashMap<PathBuf, String>,
    /// True if systemd would report changes; the second flag is true if it does.
    reports_changes: bool,
    is_watched: bool,
    statuses: Vec<Status>,
    /// Number of looks so far.
    looks: usize,
    text: String,
}

impl Lab {
    fn new(text: &str) -> Self {
        Self::on(text, Manager::Systemd, &[])
    }

    /// Creates a lab in which the services `running` were running before.
    fn on(text: &str, manager: Manager, running: &[&str]) -> Self {
        let mut lab = Self {
            engine: Engine::new(S, "r1", ""),
            machine: Machine::default(),
            manager,
            now_ns: S,
            begun: Vec::new(),
            jobs: BTreeMap::new(),
            cancelled: 0,
            events: Vec::new(),
            checks: BTreeMap::new(),
            weights: BTreeMap::new(),
            tickets: BTreeMap::new(),
            hooks: HashMap::new(),
            folders: Vec::new(),
            holds_hooks: false,
            remembered: String::new(),
            stamp: 1,
            missing: HashMap::new(),
            reports_changes: false,
            is_watched: false,
            statuses: Vec::new(),
            looks: 0,
            text: text.to_owned(),
        };
        for name in running {
            lab.machine.sim(name).running = true;
        }
        lab.configure(text);
        lab
    }

    fn configure(&mut self, text: &str) {
        let config = Config::parse(text, "r1", &[]).expect("TOML");
        let settings = config::read(&config).expect("no fault");
        assert_eq!(config.finish(), Ok(()));
        text.clone_into(&mut self.text);
        self.engine.configure(self.now_ns, &settings, self.manager);
        self.act();
    }

    /// Ends the worker; a new one learns the roles again.
    fn restart(&mut self, roles: &[(&str, Role)]) {
        self.machine.forget_clients();
        self.is_watched = false;
        self.engine = Engine::new(self.now_ns, "r1", &self.remembered);
        self.checks.clear();
        self.tickets.clear();
        self.begun.clear();
        let text = self.text.clone();
        self.configure(&text);
        for (group, role) in roles {
            self.role(group, *role);
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.engine.poll_action(self.now_ns) {
            match action {
                Action::Begin { number, job } => {
                    self.begun.push((self.now_ns, job_text(&job)));
                    self.machine.begin(self.now_ns, number, &job);
                    self.jobs.insert(number, job);
                }
                Action::Cancel(number) => {
                    self.cancelled += 1;
                    self.machine.cancel(number);
                }
                Action::Observe(services) => {
                    self.looks += 1;
                    self.machine.look(self.now_ns, &services);
                }
                Action::Watch(wanted) => {
                    self.is_watched &= wanted;
                    if wanted
                        && self.reports_changes
                        && !std::mem::replace(&mut self.is_watched, true)
                    {
                        self.engine.handle_watched(self.now_ns, Ok(()));
                    }
                }
                Action::Stamp(items) => {
                    let stamps = items.into_iter().map(|(name, _)| (name, self.stamp));
                    let stamps: Vec<(String, u64)> = stamps.collect();
                    self.engine.handle_stamps(self.now_ns, &stamps);
                }
                Action::CheckSources(items) => {
                    let fault = |file: &PathBuf| self.missing.get(file).cloned();
                    let found = items.into_iter().map(|(name, files)| {
                        let why = files.iter().find_map(fault);
                        (name, why)
                    });
                    let found: Vec<_> = found.collect();
                    self.engine.handle_sources(self.now_ns, &found);
                }
                Action::CheckHooks(_) => {
                    let roles = [Role::Active, Role::Backup, Role::Fault].iter();
                    let refused = roles.filter_map(|role| Some(&self.hooks.get(role)?.1));
                    self.engine
                        .handle_refused_hooks(refused.flatten().cloned().collect());
                }
                Action::ReadHooks {
                    group,
                    role,
                    folder,
                } => {
                    self.folders.push(folder);
                    if self.holds_hooks {
                        continue;
                    }
                    let found = self.hooks.get(&role).cloned().unwrap_or_default();
                    self.engine.handle_hooks(self.now_ns, &group, role, found);
                }
                Action::Report {
                    name,
                    weight,
                    state,
                    why,
                } => {
                    self.weights.insert(name.clone(), weight);
                    self.checks.insert(name, (state.unwrap_or(UNKNOWN), why));
                }
                Action::Forget(name) => {
                    assert!(self.checks.remove(&name).is_some(), "{name} was never told");
                }
                Action::Event(text) => self.events.push(text),
                Action::Done(ticket) => {
                    let count = self
                        .tickets
                        .get_mut(&ticket)
                        .expect("a ticket of this worker");
                    *count += 1;
                    assert_eq!(*count, 1, "ticket {ticket} came back twice");
                }
                Action::Remember(text) => self.remembered = text,
            }
        }
    }

    /// Makes systemd report changes from the next poll on, or no longer.
    fn bus(&mut self, reports_changes: bool) {
        self.reports_changes = reports_changes;
        if !reports_changes && std::mem::take(&mut self.is_watched) {
            let why = "message bus: it does not answer".to_owned();
            self.engine.handle_watched(self.now_ns, Err(why));
            self.act();
        }
    }

    fn notice_changes(&mut self) {
        let statuses = self.machine.statuses();
        let before = std::mem::replace(&mut self.statuses, statuses);
        if self.is_watched && before != self.statuses {
            self.engine.handle_changed(self.now_ns);
            self.act();
        }
    }

    /// Lets time pass, with everything that ends or is due in it.
    fn pass(&mut self, ns: u64) {
        let end_ns = self.now_ns + ns;
        loop {
            self.notice_changes();
            let engine = self.engine.next_timeout(self.now_ns);
            let next_ns = engine.into_iter().chain(self.machine.next_ns()).min();
            let Some(next_ns) = next_ns.filter(|next_ns| *next_ns <= end_ns) else {
                break;
            };
            self.now_ns = self.now_ns.max(next_ns);
            for ended in self.machine.ended(self.now_ns) {
                match ended {
                    Ended::Job(number, result) => {
                        self.engine.handle_ended(self.now_ns, number, result);
                    }
                    Ended::Seen(seen) => self.engine.handle_observed(self.now_ns, seen),
                }
                self.act();
            }
            if self
                .engine
                .next_timeout(self.now_ns)
                .is_some_and(|at_ns| at_ns <= self.now_ns)
            {
                self.engine.handle_timeout(self.now_ns);
                self.act();
                let later = self.engine.next_timeout(self.now_ns);
                assert!(
                    later.is_none_or(|later| later > self.now_ns),
                    "a timer without effect"
                );
            }
        }
        self.now_ns = end_ns;
    }

    fn role(&mut self, group: &str, role: Role) -> u64 {
        self.report_role(group, role, false)
    }

    fn report_role(&mut self, group: &str, role: Role, maintenance: bool) -> u64 {
        self.report(RoleChange {
            maintenance,
            ..change(group, role)
        })
    }

    /// Reports that the node is still active, and that a conflict has ended.
    fn win(&mut self, group: &str) -> u64 {
        self.report(RoleChange {
            why: "r2 was active, too".to_owned(),
            is_conflict_won: true,
            ..change(group, Role::Active)
        })
    }

    /// Reports that a group is no longer configured.
    fn withdraw(&mut self, group: &str) -> u64 {
        self.report(RoleChange {
            is_withdrawn: true,
            ..change(group, Role::Backup)
        })
    }

    fn report(&mut self, change: RoleChange) -> u64 {
        let ticket = self.tickets.last_key_value().map_or(0, |(last, _)| *last) + 1;
        self.tickets.insert(ticket, 0);
        self.engine.handle_role(self.now_ns, ticket, &change);
        self.act();
        ticket
    }

    fn is_done(&self, ticket: u64) -> bool {
        self.tickets.get(&ticket) == Some(&1)
    }

    fn active(&mut self) -> u64 {
        self.role("office", Role::Active)
    }

    fn backup(&mut self) -> u64 {
        self.role("office", Role::Backup)
    }

    /// A backup at rest, whose earlier jobs do not count.
    fn rested(mut self) -> Self {
        self.backup();
        self.pass(3 * S);
        self.begun.clear();
        self.events.clear();
        self
    }

    fn sim(&mut self, name: &str) -> &mut Sim {
        self.machine.sim(name)
    }

    fn runs(&self) -> Vec<&str> {
        let sims = self.machine.services.iter();
        let running = sims.filter(|(_, sim)| sim.running);
        running.map(|(name, _)| name.as_str()).collect()
    }

    fn jobs(&self) -> Vec<&str> {
        self.begun.iter().map(|(_, what)| what.as_str()).collect()
    }

    fn count(&self, what: &str) -> usize {
        self.jobs().into_iter().filter(|it| *it == what).count()
    }

    fn row(&self, key: &str) -> Option<Value> {
        let rows = self.engine.rows(self.now_ns);
        let mut rows = rows.into_iter();
        rows.find(|(it, _)| it == key).map(|(_, value)| value)
    }

    fn environment(&self, of: &str) -> BTreeMap<String, String> {
        let found = self.jobs.values().find_map(|job| match job {
            Job::Run { environment, .. } if job_text(job) == of => Some(environment.clone()),
            _ => None,
        });
        found.expect("it ran").into_iter().collect()
    }
}

fn change(group: &str, role: Role) -> RoleChange {
    RoleChange {
        group: group.to_owned(),
        role,
        why: format!("{group} is {role}"),
        maintenance: false,
        is_conflict_won: false,
        is_withdrawn: false,
    }
}

fn text(value: &str) -> Option<Value> {
    Some(Value::Text(value.to_owned()))
}
