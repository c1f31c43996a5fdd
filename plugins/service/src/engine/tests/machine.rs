//! Machine with services whose jobs take time, fail, or hang.

use std::collections::BTreeMap;

use crate::job::{Job, Manager, Service, Status, Verb};

pub const MS: u64 = 1_000_000;
pub const S: u64 = 1000 * MS;
const LOOK_NS: u64 = 20 * MS;
const QUICK_NS: u64 = MS;

/// Course of a start or a stop.
#[derive(Clone, Debug, PartialEq)]
pub enum Course {
    Takes(u64),
    Fails(u64),
    Hangs,
}

#[derive(Clone, Debug)]
pub struct Sim {
    pub running: bool,
    pub missing: bool,
    /// True if the service ends by itself, so that not running is not a fault.
    pub ends: bool,
    pub armed: bool,
    /// True if its state cannot be told.
    pub has_no_status: bool,
    /// True if requests for its state are not answered.
    pub is_unanswered: bool,
    /// True if its manager restarts it again and again without success.
    pub looping: bool,
    /// True if it runs, and was restarted since the last look.
    pub restarted: bool,
    pub start: Course,
    pub stop: Course,
    pending: Option<Pending>,
    systemd: bool,
}

#[derive(Clone, Debug)]
struct Pending {
    number: u64,
    verb: Verb,
    due_ns: Option<u64>,
    result: Result<(), String>,
}

impl Default for Sim {
    fn default() -> Self {
        Self {
            running: false,
            missing: false,
            ends: false,
            armed: false,
            has_no_status: false,
            is_unanswered: false,
            looping: false,
            restarted: false,
            start: Course::Takes(100 * MS),
            stop: Course::Takes(50 * MS),
            pending: None,
            systemd: true,
        }
    }
}

#[derive(Debug, Default)]
pub struct Machine {
    pub services: BTreeMap<String, Sim>,
    /// Jobs that the engine waits for, with their services.
    clients: BTreeMap<u64, String>,
    /// Jobs that belong to no service, with their work and time.
    others: BTreeMap<u64, Other>,
    looks: Vec<(u64, Vec<(Service, Status)>)>,
    /// Course of commands that hang or fail, by their text.
    pub courses: BTreeMap<String, Course>,
    /// Work other than services, in order.
    pub applied: Vec<String>,
}

/// Work, the time when it ends, and its result.
type Other = (String, Option<u64>, Result<(), String>);

pub enum Ended {
    Job(u64, Result<(), String>),
    Seen(Vec<(Service, Status)>),
}

impl Machine {
    pub fn sim(&mut self, name: &str) -> &mut Sim {
        self.services.entry(name.to_owned()).or_default()
    }

    pub fn begin(&mut self, now_ns: u64, number: u64, job: &Job) {
        let Job::Service { service, verb } = job else {
            let what = job_text(job);
            let course = self
                .courses
                .get(&what)
                .cloned()
                .unwrap_or(Course::Takes(QUICK_NS));
            let (due_ns, result) = outcome(now_ns, &course);
            self.others.insert(number, (what, due_ns, result));
            return;
        };
        let name = name(service);
        assert!(
            !self.clients.values().any(|it| *it == name),
            "two jobs of {name}"
        );
        self.clients.insert(number, name.clone());
        let sim = self.sim(&name);
        sim.systemd = matches!(
            service,
            Service::Unit {
                manager: Manager::Systemd,
                ..
            }
        );
        let (due_ns, result) = match verb {
            _ if sim.missing => (Some(now_ns + QUICK_NS), Err("not found".to_owned())),
            Verb::Start if sim.running => (Some(now_ns + QUICK_NS), Ok(())),
            Verb::Start => outcome(now_ns, &sim.start),
            Verb::Stop if !sim.running && sim.pending.is_none() => {
                (Some(now_ns + QUICK_NS), Ok(()))
            }
            Verb::Stop => outcome(now_ns, &sim.stop),
            Verb::Kill | Verb::Reload => (Some(now_ns + 10 * MS), Ok(())),
        };
        // systemd has a timeout of its own
        let (due_ns, result) = match due_ns {
            None if sim.systemd && *verb == Verb::Start => {
                (Some(now_ns + 90 * S), Err("timeout".to_owned()))
            }
            None if sim.systemd => (Some(now_ns + 90 * S), Ok(())),
            _ => (due_ns, result),
        };
        sim.pending = Some(Pending {
            number,
            verb: *verb,
            due_ns,
            result,
        });
    }

    /// Cancels a job: systemd continues a job whose client has gone; a command is killed.
    pub fn cancel(&mut self, number: u64) {
        self.others.remove(&number);
        if let Some(name) = self.clients.remove(&number) {
            let sim = self.sim(&name);
            if !sim.systemd {
                sim.pending.take_if(|pending| pending.number == number);
            }
        }
    }

    pub fn look(&mut self, now_ns: u64, services: &[Service]) {
        let seen = services.iter().map(|service| {
            let sim = self.services.get(&name(service)).cloned();
            (service.clone(), sim.unwrap_or_default().status())
        });
        let seen = seen.collect();
        self.looks.push((now_ns + LOOK_NS, seen));
    }

    /// States that a manager with change reports compares.
    pub fn statuses(&self) -> Vec<Status> {
        self.services.values().map(Sim::status).collect()
    }

    pub fn next_ns(&self) -> Option<u64> {
        let sims = self.services.values();
        let pending = sims.filter_map(|sim| sim.pending.as_ref()?.due_ns);
        let others = self.others.values().filter_map(|(_, due_ns, _)| *due_ns);
        let looks = self.looks.iter().map(|(due_ns, _)| *due_ns);
        pending.chain(others).chain(looks).min()
    }

    /// Jobs that have ended by now.
    pub fn ended(&mut self, now_ns: u64) -> Vec<Ended> {
        let mut all = Vec::new();
        let due = |due_ns: &Option<u64>| due_ns.is_some_and(|due_ns| due_ns <= now_ns);
        for sim in self.services.values_mut() {
            let Some(pending) = sim.pending.take_if(|pending| due(&pending.due_ns)) else {
                continue;
            };
            if pending.result.is_ok() {
                match pending.verb {
                    Verb::Start => (sim.running, sim.armed) = (!sim.ends, false),
                    Verb::Stop | Verb::Kill => (sim.running, sim.armed) = (false, false),
                    Verb::Reload => {}
                }
            }
            if self.clients.remove(&pending.number).is_some() {
                all.push(Ended::Job(pending.number, pending.result));
            }
        }
        let numbers: Vec<u64> = self.others.keys().copied().collect();
        for number in numbers {
            if self.others.get(&number).is_some_and(|it| due(&it.1)) {
                let (what, _, result) = self.others.remove(&number).expect("it is there");
                if result.is_ok() {
                    self.applied.push(what);
                }
                all.push(Ended::Job(number, result));
            }
        }
        let (come, wait) = std::mem::take(&mut self.looks)
            .into_iter()
            .partition(|(due_ns, _)| *due_ns <= now_ns);
        self.looks = wait;
        let come: Vec<(u64, Vec<(Service, Status)>)> = come;
        all.extend(come.into_iter().map(|(_, seen)| Ended::Seen(seen)));
        all
    }

    pub fn is_busy(&self) -> bool {
        !self.clients.is_empty() || !self.others.is_empty()
    }

    pub fn forget_clients(&mut self) {
        self.looks.clear();
        let numbers: Vec<u64> = self
            .clients
            .keys()
            .chain(self.others.keys())
            .copied()
            .collect();
        numbers.into_iter().for_each(|number| self.cancel(number));
    }
}

impl Sim {
    fn status(&self) -> Status {
        if self.missing {
            return Status::Missing("unit is not there".to_owned());
        }
        if self.has_no_status {
            return Status::Unknown("has no status command".to_owned());
        }
        if self.is_unanswered {
            return Status::Unknown("/status: No such file or directory".to_owned());
        }
        if self.looping {
            return Status::Starting;
        }
        match &self.pending {
            Some(pending) if self.systemd && pending.verb == Verb::Start => {
                return Status::Starting;
            }
            Some(pending) if self.systemd && pending.verb == Verb::Stop => return Status::Stopping,
            _ => {}
        }
        match (self.running, self.armed, self.ends) {
            (true, ..) if self.restarted => Status::Restarted,
            (true, ..) => Status::Running,
            (_, true, _) => Status::AwaitsTrigger("its socket".to_owned()),
            (.., true) => Status::EndsByItself,
            _ => Status::Stopped,
        }
    }
}

fn outcome(now_ns: u64, course: &Course) -> (Option<u64>, Result<(), String>) {
    match course {
        Course::Takes(ns) => (Some(now_ns + ns), Ok(())),
        Course::Fails(ns) => (Some(now_ns + ns), Err("exit code 1".to_owned())),
        Course::Hangs => (None, Ok(())),
    }
}

pub fn name(service: &Service) -> String {
    match service {
        Service::Unit { unit, .. } => unit.clone(),
        Service::Commands { name, .. } => name.clone(),
    }
}

/// Text for a job, such as "start squid", "link wan0 up", "run /hook office active".
pub fn job_text(job: &Job) -> String {
    match job {
        Job::Service { service, verb } => format!("{verb:?} {}", name(service)).to_lowercase(),
        Job::Run { argv, .. } => format!("run {}", argv.join(" ")),
        Job::Link { interface, up } => {
            format!("link {interface} {}", if *up { "up" } else { "down" })
        }
        Job::Bounce { interface, .. } => format!("bounce {interface}"),
        Job::Setting { key, value } => format!("set {key}={value}"),
        Job::Rules { file } => format!("nft {}", file.display()),
        Job::CheckRules { file } => format!("check {}", file.display()),
        Job::Route { present, .. } => format!("route {}", if *present { "add" } else { "del" }),
        Job::Copy { from, .. } => format!("copy {}", from.display()),
    }
}
