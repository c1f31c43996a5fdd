//! Random histories: each item has at most one job at a time, in order; every role is answered once; and at rest every
//! item is as the newest role wants it, or reports why not.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::engine::status_change::is_down;
use crate::job::Status;

const GROUPS: [&str; 2] = ["a", "b"];
const NAMES: [&str; 6] = ["a1", "a2", "b1", "any1", "any2", "any3"];

const FILE: &str = "hook_timeout = \"3s\"\n\
    [[service]]\nunits = [\"a1\", \"a2\"]\ngroup = \"a\"\ntimeout = \"4s\"\nneeded = true\n\
    [[service]]\nunits = [\"any1\"]\ntimeout = \"4s\"\n\
    [[service]]\nunits = [\"b1\"]\ngroup = \"b\"\ntimeout = \"4s\"\nwhile_fault = \"leave\"\n\
    [[service]]\nunits = [\"any2\", \"any3\"]\ntimeout = \"4s\"\n\
    [[sysctl]]\nkey = \"net.x\"\nwhile_active = \"1\"\nwhile_backup = \"0\"\n\
    [[nftables]]\nwhile_active = \"/a.nft\"\nwhile_backup = \"/b.nft\"\n\
    [maintenance]\nkeep = [\"any3\"]\n";

#[derive(Clone, Debug)]
enum Event {
    Role(usize, Role, bool),
    Pass(u64),
    Start(usize, Course),
    Stop(usize, Course),
    /// A start or stop by others, or a death.
    Runs(usize, bool),
    Missing(usize, bool),
    Armed(usize),
    Retry,
    Restart,
    /// A reload with or without any2.
    Reload(bool),
    /// systemd reports changes, or does not.
    Bus(bool),
}

fn course() -> impl Strategy<Value = Course> {
    prop_oneof![
        4 => (1..3000u64).prop_map(|ms| Course::Takes(ms * MS)),
        1 => (1..3000u64).prop_map(|ms| Course::Fails(ms * MS)),
        1 => Just(Course::Hangs),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let role = prop_oneof![Just(Role::Active), Just(Role::Backup), Just(Role::Fault)];
    let service = 0..NAMES.len();
    prop_oneof![
        6 => (0..2usize, role, prop::bool::weighted(0.1))
            .prop_map(|(group, role, maintenance)| Event::Role(group, role, maintenance)),
        6 => (1..8000u64).prop_map(|ms| Event::Pass(ms * MS)),
        2 => (service.clone(), course()).prop_map(|(at, course)| Event::Start(at, course)),
        2 => (service.clone(), course()).prop_map(|(at, course)| Event::Stop(at, course)),
        2 => (service.clone(), any::<bool>()).prop_map(|(at, yes)| Event::Runs(at, yes)),
        1 => (service.clone(), any::<bool>()).prop_map(|(at, yes)| Event::Missing(at, yes)),
        1 => service.prop_map(Event::Armed),
        1 => Just(Event::Retry),
        1 => Just(Event::Restart),
        1 => any::<bool>().prop_map(Event::Reload),
        1 => any::<bool>().prop_map(Event::Bus),
    ]
}

struct World {
    lab: Lab,
    roles: BTreeMap<&'static str, Role>,
    maintenance: bool,
    with_any2: bool,
    /// Services that ended by themselves at some time.
    died: BTreeSet<&'static str>,
    /// Number of jobs at the last check.
    seen: usize,
}

impl World {
    fn new(manager: Manager) -> Self {
        let mut lab = Lab::on(FILE, manager, &["a2", "any2"]);
        for role in [Role::Active, Role::Backup, Role::Fault] {
            let hooks = vec!["/h1".to_owned(), "/h2".to_owned()];
            lab.hooks.insert(role, (hooks, Vec::new()));
        }
        let mut world = Self {
            lab,
            roles: BTreeMap::new(),
            maintenance: false,
            with_any2: true,
            died: BTreeSet::new(),
            seen: 0,
        };
        for group in GROUPS {
            world.role(group, Role::Backup, false);
        }
        world
    }

    fn role(&mut self, group: &'static str, role: Role, maintenance: bool) {
        self.roles.insert(group, role);
        self.maintenance = maintenance;
        self.lab.report_role(group, role, maintenance);
    }

    fn happen(&mut self, event: &Event) {
        // two events never have the same time, so that times tell their order
        self.lab.pass(1);
        match event {
            Event::Role(group, role, maintenance) => {
                self.role(GROUPS[*group], *role, *maintenance);
            }
            Event::Pass(ns) => self.lab.pass(*ns),
            Event::Start(at, course) => self.lab.sim(NAMES[*at]).start = course.clone(),
            Event::Stop(at, course) => self.lab.sim(NAMES[*at]).stop = course.clone(),
            Event::Runs(at, yes) => {
                self.lab.sim(NAMES[*at]).running = *yes;
                self.died.insert(NAMES[*at]);
            }
            Event::Missing(at, yes) => {
                self.died.insert(NAMES[*at]);
                let sim = self.lab.sim(NAMES[*at]);
                sim.missing = *yes;
                sim.running &= !yes;
            }
            Event::Armed(at) => self.lab.sim(NAMES[*at]).armed = true,
            Event::Retry => {
                let _ = self.lab.engine.retry(self.lab.now_ns, None);
                self.lab.act();
            }
            Event::Restart => {
                let roles: Vec<(&str, Role)> = self
                    .roles
                    .iter()
                    .map(|(group, role)| (*group, *role))
                    .collect();
                self.lab.restart(&[]);
                for (group, role) in roles {
                    self.lab.report_role(group, role, self.maintenance);
                }
                self.seen = 0;
            }
            Event::Reload(with) => {
                self.with_any2 = *with;
                let text = if *with {
                    FILE.to_owned()
                } else {
                    FILE.replace("\"any2\", ", "")
                };
                self.lab.configure(&text);
            }
            Event::Bus(reports_changes) => self
                .lab
                .bus(*reports_changes && self.lab.manager == Manager::Systemd),
        }
        self.check_order();
    }

    /// Checks that a first try begins only when no item before it has its first try.
    fn check_order(&mut self) {
        let new = self.lab.begun.len() > self.seen;
        self.seen = self.lab.begun.len();
        let items = &self.lab.engine.items;
        let enters = |item: &Item| item.membership.is_active();
        let pairs = items
            .iter()
            .enumerate()
            .flat_map(|(at, one)| items.iter().skip(at + 1).map(move |two| (one, two)));
        for (one, two) in pairs.filter(|_| new) {
            let groups = (&one.spec.group, &two.spec.group);
            let apart = matches!(groups, (Some(one), Some(two)) if one != two);
            if apart
                || enters(one) != enters(two)
                || !one.pursuit.is_open()
                || !two.pursuit.is_open()
            {
                continue;
            }
            let (first, then) = if enters(one) { (one, two) } else { (two, one) };
            // a job of an older goal may be in progress while its successor waits
            let is_tried = |item: &Item| {
                let kind = item.work.job().map(|job| &job.kind);
                let fits = match item.pursuit.goal() {
                    goal::Goal::Running => kind == Some(&JobKind::Start),
                    goal::Goal::Stopped => matches!(kind, Some(JobKind::Stop | JobKind::Kill)),
                    goal::Goal::Once(task) => kind == Some(&JobKind::Task(task.clone())),
                    goal::Goal::Kept(job) => kind == Some(&JobKind::Keep(job.clone())),
                    goal::Goal::Leave => false,
                };
                fits && item.work.begun_ns() >= Some(item.pursuit.since_ns())
            };
            // an item that seemed to run delayed no other, and is started when its death is noticed
            let was_up = self.died.contains(first.spec.name.as_str());
            if was_up && first.work.begun_ns() > then.work.begun_ns() {
                continue;
            }
            let late = then.work.begun_ns() >= Some(first.pursuit.since_ns());
            assert!(
                !(late && is_tried(first) && is_tried(then)),
                "{} began before {} had ended",
                then.spec.name,
                first.spec.name
            );
        }
    }

    /// Lets time pass without events, and repairs what hangs.
    fn calm(&mut self) {
        self.lab.pass(100 * S);
        for (ticket, count) in &self.lab.tickets {
            assert_eq!(*count, 1, "ticket {ticket}");
        }
        let items = self.lab.engine.items.iter();
        for item in items {
            assert!(!item.pursuit.is_open(), "{} is still open", item.spec.name);
            let tries = item.work.is_busy() || item.pursuit.retry_ns().is_some();
            assert!(
                item.is_reached() || item.pursuit.fault().is_some() || tries,
                "{} is not as wished and does not say why: {item:?}",
                item.spec.name
            );
        }
    }

    fn fix(&mut self) {
        for name in NAMES {
            let sim = self.lab.sim(name);
            (sim.start, sim.stop) = (Course::Takes(100 * MS), Course::Takes(50 * MS));
            sim.missing = false;
        }
        self.lab.pass(230 * S);
        // a goal that is kept may just be done again
        if self.lab.machine.is_busy() {
            self.lab.pass(500 * MS);
        }
    }

    /// Checks on the machine itself that every item is as the newest roles want it.
    fn check_wishes(&mut self) {
        assert!(!self.lab.machine.is_busy());
        for item in &self.lab.engine.items {
            let Some(sim) = self.lab.machine.services.get(&item.spec.name) else {
                continue;
            };
            match item.pursuit.goal() {
                goal::Goal::Running => assert!(sim.running || sim.armed, "{}", item.spec.name),
                goal::Goal::Stopped => {
                    assert!(!sim.running && !sim.armed, "{}", item.spec.name);
                    assert!(item.observation.status().is_some_and(is_down));
                }
                _ => {}
            }
            assert!(item.pursuit.fault().is_none(), "{item:?}");
            assert!(!matches!(
                item.observation.status(),
                Some(Status::Missing(_))
            ));
        }
        let any = |role| self.roles.values().any(|it| *it == role);
        let expected = match (any(Role::Active), self.with_any2) {
            (_, false) => None,
            (active, true) => Some(active),
        };
        let found = self.lab.machine.services.get("any2");
        if let (Some(expected), Some(sim)) = (expected, found) {
            assert_eq!(sim.running || sim.armed, expected, "any2");
        }
        for name in ["a1", "a2"] {
            let active = self.roles["a"] == Role::Active;
            let sim = self.lab.machine.services.get(name);
            assert_eq!(
                sim.is_some_and(|sim| sim.running || sim.armed),
                active,
                "{name}"
            );
        }
        let (state, _) = &self.lab.checks["service.a1"];
        assert_eq!(
            *state,
            if self.failed_while_active("a1") {
                0
            } else {
                100
            }
        );
    }

    fn failed_while_active(&self, name: &str) -> bool {
        let mut items = self.lab.engine.items.iter();
        let item = items.find(|item| item.spec.name == name);
        item.is_some_and(|item| item.check.is_failure_remembered())
    }
}

fn play(manager: Manager, events: &[Event]) {
    let mut world = World::new(manager);
    for event in events {
        world.happen(event);
    }
    world.calm();
    world.fix();
    world.check_wishes();
}

fn cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        // PROPTEST_CASES sets more
        cases: default.cases.max(800),
        failure_persistence: None,
        ..default
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn whatever_happens_ends_as_the_newest_role_wishes_under_systemd(
        events in prop::collection::vec(event(), 1..40)
    ) {
        play(Manager::Systemd, &events);
    }

    #[test]
    fn whatever_happens_ends_as_the_newest_role_wishes_elsewhere(
        events in prop::collection::vec(event(), 1..40)
    ) {
        play(Manager::OpenRc, &events);
    }
}
