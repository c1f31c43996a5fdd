//! Reconciler that brings items to the state that the role requires; sans I/O.
//!
//! Fed by [`configure`](Engine::configure), [`handle_role`](Engine::handle_role),
//! [`handle_hooks`](Engine::handle_hooks), [`handle_ended`](Engine::handle_ended),
//! [`handle_observed`](Engine::handle_observed), and like any [`spared_sdk::Engine`].

mod bounce;
mod carry_over;
mod check;
mod event_limiter;
mod goal;
mod group;
mod history;
mod hooks;
mod item;
mod job_end;
mod look;
mod membership;
mod next_job;
mod observation;
mod pursuit;
mod removed;
mod retry;
mod role;
mod source;
mod start_test;
mod status;
mod status_change;
mod step;
#[cfg(test)]
mod tests;
mod unknown_group;
mod watch;
mod work;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use spared_sdk::Role;

use crate::config::Settings;
use crate::job::{Job, Manager, Service};
use carry_over::CarryOver;
use goal::JobKind;
use group::Group;
use item::Item;
use removed::RemovedService;
use role::RoleWait;
use watch::Watch;

pub use group::RoleChange;

/// Action for the driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Begins a job; its end goes to `handle_ended`.
    Begin {
        number: u64,
        job: Job,
    },
    /// Cancels a job, whose end is not needed any more.
    Cancel(u64),
    /// Looks at these services; their states go to `handle_observed`.
    Observe(Vec<Service>),
    /// Has systemd report changes of units, and looks at their files; reports go to `handle_watched` and
    /// `handle_changed`.
    /// With true there are such units.
    Watch(bool),
    /// Looks at the files of tests; their states go to `handle_stamps`.
    /// Each item has its paths, and a unit its name.
    Stamp(Vec<(String, Vec<String>)>),
    /// Looks if files can be used; the result goes to `handle_sources`.
    /// Each item has its paths.
    CheckSources(Vec<(String, Vec<PathBuf>)>),
    /// Looks which hooks of these folders would be refused; the sentences go to `handle_refused_hooks`.
    CheckHooks(Vec<PathBuf>),
    /// Reads the folder; its contents go to `handle_hooks`.
    ReadHooks {
        group: String,
        role: Role,
        folder: PathBuf,
    },
    Report {
        name: String,
        weight: u32,
        /// State; None: not known yet.
        state: Option<u8>,
        why: String,
    },
    Forget(String),
    Event(String),
    /// Reports that all work for a role has ended.
    Done(u64),
    /// Saves this text for the next worker of this boot.
    Remember(String),
}

/// State and rules of all items.
#[derive(Debug, Default)]
pub struct Engine {
    node: String,
    /// Settings without their items, which have become `items`.
    settings: Settings,
    /// Items in the order in which a node becomes active.
    items: Vec<Item>,
    groups: BTreeMap<String, Group>,
    maintenance: bool,
    role_wait: RoleWait,
    /// Jobs of items that left the file.
    orphans: Vec<Orphan>,
    /// Services that left the file while they ran.
    removed: Vec<RemovedService>,
    watch: Watch,
    /// Hooks that would be refused, as last reported.
    refused_hooks: Vec<String>,
    is_configured: bool,
    carry_over: CarryOver,
    actions: VecDeque<Action>,
    last_number: u64,
    poll_ns: u64,
}

#[derive(Debug)]
struct Orphan {
    name: String,
    number: u64,
    until_ns: u64,
}

impl Engine {
    /// Creates an engine. `remembered` is the text that the last worker of this boot saved.
    pub fn new(now_ns: u64, node: &str, remembered: &str) -> Self {
        Self {
            node: node.to_owned(),
            carry_over: CarryOver::parse(remembered),
            poll_ns: now_ns,
            ..Self::default()
        }
    }

    /// Takes a configuration: new items are brought to their goals, removed ones stay as they are.
    pub fn configure(&mut self, now_ns: u64, settings: &Settings, manager: Manager) {
        let mut old = std::mem::take(&mut self.items);
        for spec in &settings.items {
            let service = goal::service(spec, manager);
            let same = |item: &Item| item.name() == spec.name && keeps_state(item, &service);
            let item = match old.iter().position(same) {
                Some(at) => {
                    let mut item = old.swap_remove(at);
                    if item.service != service {
                        item.observation.forget_look();
                    }
                    if (&item.spec.test, &item.spec.kind) != (&spec.test, &spec.kind) {
                        item.test_now();
                    }
                    (item.spec, item.service) = (spec.clone(), service);
                    item
                }
                None => Item::new(now_ns, spec.clone(), service),
            };
            self.items.push(item);
        }
        if !std::mem::replace(&mut self.is_configured, true) {
            self.restore_removed(manager);
        }
        self.drop_returned();
        for item in old {
            self.remove_item(item);
        }
        self.settings = Settings {
            items: Vec::new(),
            ..settings.clone()
        };
        self.poll_ns = now_ns.saturating_add(settings.poll_interval_ns);
        if self.role_wait.is_over() {
            self.plan_unknown_groups(now_ns);
        }
        self.look_at_all();
        self.watch_units();
        self.look_at_files();
        self.look_at_sources();
        self.look_at_hooks();
        self.set_goals(now_ns);
        self.step(now_ns);
    }

    /// Handles the end of a job; an end that nothing waits for is ignored.
    pub fn handle_ended(&mut self, now_ns: u64, number: u64, result: Result<(), String>) {
        self.orphans.retain(|orphan| orphan.number != number);
        if !self.end_hook(now_ns, number, &result) && !self.end_test(now_ns, number, &result) {
            for item in &mut self.items {
                if let Some(job) = item.work.end_if(|job| job.number == number) {
                    item.end(now_ns, &job.kind, result);
                    break;
                }
            }
        }
        self.step(now_ns);
    }

    /// Retries failed items, all or one; returns their number.
    ///
    /// # Errors
    /// There is no such item.
    pub fn retry(&mut self, now_ns: u64, name: Option<&str>) -> Result<usize, String> {
        if let Some(name) = name {
            if !self.items.iter().any(|item| item.name() == name) {
                return Err(format!("there is no {name:?} in service.toml"));
            }
        }
        let items = self.items.iter_mut();
        let named = items.filter(|item| name.is_none_or(|name| item.name() == name));
        let count = named
            .filter_map(|item| item.retry(now_ns).then_some(()))
            .count();
        self.step(now_ns);
        Ok(count)
    }

    /// Services that should be stopped and may still run, in the order in which a node becomes backup.
    pub fn unstopped(&self) -> Vec<Service> {
        let items = self.items.iter().rev();
        let wrong =
            items.filter(|item| item.pursuit.is_for(&goal::Goal::Stopped) && !item.is_reached());
        wrong.filter_map(|item| item.service.clone()).collect()
    }

    fn next_number(&mut self) -> u64 {
        self.last_number = self.last_number.saturating_add(1);
        self.last_number
    }

    fn remove_item(&mut self, item: Item) {
        self.note_removed(&item);
        if let Some(number) = item.test_number() {
            self.actions.push_back(Action::Cancel(number));
        }
        if item.check.was_reported() {
            let name = item.check_name();
            self.actions.push_back(Action::Forget(name));
        }
        self.carry_over.forget(item.name());
        self.carry_over.forget(&role::kept_key(item.name()));
        if let Some(job) = item.work.job() {
            self.orphans.push(Orphan {
                name: item.name().to_owned(),
                number: job.number,
                until_ns: job.until_ns,
            });
        }
    }

    fn end_late_job(&mut self, now_ns: u64, at: usize) {
        let Some(item) = self.items.get_mut(at) else {
            return;
        };
        let Some(job) = item.work.end_if(|job| now_ns >= job.until_ns) else {
            return;
        };
        self.actions.push_back(Action::Cancel(job.number));
        let (why, kill) = item.timeout_sentence(&job.kind);
        if kill {
            item.note_kill(now_ns, &why);
            self.begin(now_ns, at, JobKind::Kill);
        } else {
            item.end(now_ns, &job.kind, Err(why));
        }
    }

    fn end_late_hooks(&mut self, now_ns: u64) {
        let late = |run: &&group::HookRun| now_ns >= run.until_ns;
        let runs = self.groups.values().filter_map(|it| it.hooks.run.as_ref());
        let numbers: Vec<u64> = runs.filter(late).map(|run| run.number).collect();
        let time = std::time::Duration::from_nanos(self.settings.hook_timeout_ns);
        let within = spared_sdk::config::format_duration(time);
        for number in numbers {
            self.actions.push_back(Action::Cancel(number));
            self.end_hook(now_ns, number, &Err(format!("did not end within {within}")));
        }
        let late = |orphan: &Orphan| now_ns >= orphan.until_ns;
        let cancelled = self.orphans.iter().filter(|orphan| late(orphan));
        let cancelled = cancelled.map(|orphan| Action::Cancel(orphan.number));
        self.actions.extend(cancelled);
        self.orphans.retain(|orphan| !late(orphan));
    }
}

impl spared_sdk::Engine for Engine {
    type Action = Action;

    /// Ends late jobs, polls, and retries.
    fn handle_timeout(&mut self, now_ns: u64) {
        self.end_role_wait(now_ns);
        self.report_unknown_groups(now_ns);
        self.end_late_looks(now_ns);
        self.end_late_tests(now_ns);
        for at in 0..self.items.len() {
            self.end_late_job(now_ns, at);
        }
        self.end_late_hooks(now_ns);
        self.look_at_changes(now_ns);
        if now_ns >= self.poll_ns {
            self.poll_ns = now_ns.saturating_add(self.settings.poll_interval_ns);
            self.poll_items(now_ns);
            self.look_at_files();
            self.look_at_sources();
            self.look_at_hooks();
        }
        self.step(now_ns);
    }

    fn next_timeout(&self, _now_ns: u64) -> Option<u64> {
        let runs = self.groups.values().filter_map(|it| it.hooks.run.as_ref());
        let items = self.items.iter().filter_map(Item::next_timeout);
        let rest = self.role_wait.timeouts().into_iter().flatten();
        let rest = rest.chain([self.poll_ns]).chain(self.next_test_ns());
        let rest = rest.chain(self.next_change_ns());
        items
            .chain(runs.map(|run| run.until_ns))
            .chain(self.orphans.iter().map(|orphan| orphan.until_ns))
            .chain(rest)
            .min()
    }

    fn poll_action(&mut self, _now_ns: u64) -> Option<Action> {
        self.actions.pop_front()
    }
}

/// True if a table of the new file continues with the item's state.
fn keeps_state(item: &Item, service: &Option<Service>) -> bool {
    match (&item.service, service) {
        (None, None) | (Some(Service::Commands { .. }), Some(Service::Commands { .. })) => true,
        (one @ Some(Service::Unit { .. }), two) => one == two,
        _ => false,
    }
}
