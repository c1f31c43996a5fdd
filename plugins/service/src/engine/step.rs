//! Items that may begin now: order within a group, one job per item.

use spared_sdk::Role;

use super::goal::{Goal, JobKind, Task};
use super::item::Item;
use super::{Action, Engine};
use crate::job::{Job, Verb};

impl Engine {
    /// Begins all jobs that may begin, and ends those that have ended.
    pub(super) fn step(&mut self, now_ns: u64) {
        for item in &mut self.items {
            item.end_waits(now_ns);
        }
        for at in 0..self.items.len() {
            self.advance(now_ns, at);
        }
        self.remember_results();
        for item in &mut self.items {
            self.actions
                .extend(item.history.take_events().map(Action::Event));
        }
        let names: Vec<String> = self.groups.keys().cloned().collect();
        for name in names {
            if self.are_first_tries_over(&name) {
                self.advance_hooks(now_ns, &name);
                self.end_role(now_ns, &name);
            }
        }
        self.remember_hooks();
        self.look(now_ns);
        self.begin_tests(now_ns);
        self.report_checks(now_ns);
        let text = self.carry_over.poll_text();
        self.actions.extend(text.map(Action::Remember));
    }

    fn advance(&mut self, now_ns: u64, at: usize) {
        let Some(item) = self.items.get(at) else {
            return;
        };
        let superseded = item.is_superseded();
        let busy = self.orphans.iter().any(|it| it.name == item.name());
        if busy || item.work.is_busy() && !superseded || !self.may_begin(at, item) {
            return;
        }
        if let Some(item) = self.items.get_mut(at).filter(|_| superseded) {
            self.actions
                .extend(item.abandon_job(now_ns).map(Action::Cancel));
        }
        if let Some(kind) = self.items.get(at).and_then(Item::next_job) {
            self.begin(now_ns, at, kind);
        }
    }

    pub(super) fn begin(&mut self, now_ns: u64, at: usize, kind: JobKind) {
        let number = self.next_number();
        let Some(job) = self.items.get(at).and_then(|item| self.job(item, &kind)) else {
            return;
        };
        if let Some(item) = self.items.get_mut(at) {
            item.begin(now_ns, number, kind);
            self.actions.push_back(Action::Begin { number, job });
        }
    }

    fn job(&self, item: &Item, kind: &JobKind) -> Option<Job> {
        let service = |verb| {
            let service = item.service.clone()?;
            Some(Job::Service { service, verb })
        };
        match kind {
            JobKind::Start => service(Verb::Start),
            JobKind::Stop => service(Verb::Stop),
            JobKind::Kill => service(Verb::Kill),
            JobKind::Task(Task::Reload) => service(Verb::Reload),
            JobKind::Task(Task::Command(argv)) => {
                let role = item.membership.role().unwrap_or(Role::Backup);
                let group = item.group();
                Some(Job::Run {
                    argv: argv.clone(),
                    environment: self.environment(group, role, item.membership.previous()),
                    user: None,
                })
            }
            JobKind::Task(Task::Job(job)) | JobKind::Keep(job) => Some(job.clone()),
            JobKind::Bounce => match &item.spec.kind {
                crate::config::Kind::Interface {
                    interface,
                    bounce_ms: Some(down_ms),
                    ..
                } => Some(Job::Bounce {
                    interface: interface.clone(),
                    down_ms: *down_ms,
                }),
                _ => None,
            },
        }
    }

    /// True if all items before this one in the same direction have ended their first try.
    fn may_begin(&self, at: usize, item: &Item) -> bool {
        let enters = item.membership.is_active();
        let related = |other: &Item| {
            let groups = (&item.spec.group, &other.spec.group);
            !matches!(groups, (Some(one), Some(two)) if one != two)
        };
        let before = |place: usize| if enters { place < at } else { place > at };
        let mut others = self.items.iter().enumerate();
        !others.any(|(place, other)| {
            other.pursuit.is_open()
                && before(place)
                && other.membership.is_active() == enters
                && related(other)
        })
    }

    /// True if no item of this group's role still has its first try to come.
    fn are_first_tries_over(&self, name: &str) -> bool {
        let mut all = true;
        for item in &self.items {
            let group = item.group();
            if group.is_none_or(|group| group == name) {
                all &= !item.pursuit.is_open();
            }
        }
        let active = |group: &super::Group| group.role == Role::Active;
        let known = self.role_wait.is_over() || self.groups.get(name).is_some_and(active);
        all && known
    }

    fn end_role(&mut self, now_ns: u64, name: &str) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        if !group.hooks.are_over() {
            return;
        }
        let ticket = group.ticket.take();
        self.actions.extend(ticket.map(Action::Done));
        if std::mem::take(&mut group.is_outcome_due) {
            let since_ns = group.since_ns;
            let text = self.outcome(now_ns, name, since_ns);
            self.actions.extend(text.map(Action::Event));
        }
    }

    /// Text such as "office: kea, squid running; postfix failed: stop: exit code 1 (474 ms)"; None if there was nothing
    /// to do.
    fn outcome(&self, now_ns: u64, name: &str, since_ns: u64) -> Option<String> {
        let touched = |item: &&Item| {
            let group = item.group();
            item.service.is_some()
                && group.is_none_or(|group| group == name)
                && item
                    .work
                    .begun_ns()
                    .is_some_and(|begun_ns| begun_ns >= since_ns)
        };
        let items: Vec<&Item> = self.items.iter().filter(touched).collect();
        let names = |goal: &Goal, word: &str| {
            let fine = items.iter();
            let fine =
                fine.filter(|item| item.pursuit.is_for(goal) && item.pursuit.fault().is_none());
            let names: Vec<&str> = fine.map(|item| item.name()).collect();
            (!names.is_empty()).then(|| format!("{} {word}", names.join(", ")))
        };
        let failed = items.iter().filter_map(|item| {
            let why = item.pursuit.fault()?;
            Some(format!("{} failed: {why}", item.name()))
        });
        let running = names(&Goal::Running, "running");
        let fine = [running, names(&Goal::Stopped, "stopped")].into_iter();
        let parts: Vec<String> = fine.flatten().chain(failed).collect();
        let ms = now_ns.saturating_sub(since_ns) / 1_000_000;
        (!parts.is_empty()).then(|| format!("{name}: {} ({ms} ms)", parts.join("; ")))
    }

    fn remember_results(&mut self) {
        for item in &self.items {
            if item.is_to_remember() {
                let done = item.pursuit.goal().record(item.membership.is_active());
                self.carry_over.set(item.name(), done);
            }
        }
    }
}
