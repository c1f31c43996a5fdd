//! Jobs in progress: children that end by themselves or are killed, and calls to the kernel that end at once.

mod account;
mod bounce;
mod command;
mod copy;
mod hooks;
mod kernel;
mod query;
mod routes;
mod running;
mod setting;
mod stamp;
mod transient_units;
mod watch;

use std::collections::{BTreeSet, VecDeque};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

use spared_sdk::child::Ended as Exit;
use spared_sdk::{Host, Interest};

use crate::job::{Job, Route, Service, Status, Verb};
use crate::manager::{self, StatusQuery, Triggers};

use bounce::Bounces;
pub use command::MachinePaths;
use command::{Command, Starter};
pub use copy::source_faults;
pub use hooks::hooks;
use running::{Purpose, RunningChild};
use watch::Watch;

/// Time in ns after which a command in a transient unit is killed again, if it was killed before its unit existed.
const KILL_AGAIN_NS: u64 = 200_000_000;
const KILLS_MAX: u32 = 25;
/// Time limit in ns for systemd's answer to a kill.
const KILLER_NS: u64 = 2_000_000_000;
/// Maximum number of bytes of a job's output that are kept to find its last line.
const OUTPUT_MAX: usize = 64 * 1024;

/// Event for the engine: the result of a job or a query, or a change of units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobsEvent {
    /// End of the job with this number, with the reason of a failure as a sentence.
    Ended(u64, Result<(), String>),
    Observed(Vec<(Service, Status)>),
    /// Success if systemd reports changes of units from now on, otherwise the reason why it does not.
    Watched(Result<(), String>),
    /// A unit of systemd, or one of its files, has changed.
    Changed,
}

/// Source of readiness and time.
pub trait Reactor: std::fmt::Debug {
    /// # Errors
    /// The reason why it cannot be watched, as a sentence.
    fn watch(&self, fd: RawFd) -> Result<(), String>;
    fn unwatch(&self, fd: RawFd);
    fn now_ns(&self) -> u64;
}

impl Reactor for Host {
    fn watch(&self, fd: RawFd) -> Result<(), String> {
        self.watch_fd(fd, Interest::READ)
            .map_err(|error| error.to_string())
    }

    fn unwatch(&self, fd: RawFd) {
        self.unwatch_fd(fd);
    }

    fn now_ns(&self) -> u64 {
        self.now()
    }
}

/// All jobs, by the engine's number.
#[derive(Debug)]
pub struct Jobs {
    reactor: Box<dyn Reactor>,
    starter: Starter,
    running: Vec<RunningChild>,
    waiting_queries: VecDeque<(StatusQuery, bool)>,
    /// Services whose last query took too long.
    late_services: BTreeSet<Service>,
    bounces: Bounces,
    triggers: Triggers,
    watch: Watch,
    events: VecDeque<JobsEvent>,
}

impl Jobs {
    pub fn new(host: Host) -> Self {
        let paths = MachinePaths {
            state: host.state_folder(),
            ..MachinePaths::default()
        };
        Self::with_paths(Box::new(host), paths)
    }

    pub fn with_paths(reactor: Box<dyn Reactor>, paths: MachinePaths) -> Self {
        Self {
            bounces: Bounces::new(paths.state.clone()),
            starter: Starter::new(paths, reactor.now_ns()),
            reactor,
            running: Vec::new(),
            waiting_queries: VecDeque::new(),
            late_services: BTreeSet::new(),
            triggers: Triggers::default(),
            watch: Watch::default(),
            events: VecDeque::new(),
        }
    }

    /// Kills commands that an earlier worker left running when it was killed.
    pub fn kill_leftovers(&self) {
        if self.starter.has_systemd() {
            self.starter.run(transient_units::kill_leftovers());
        }
    }

    /// Reason why no program can run as this user, as a sentence.
    pub fn user_fault(&self, user: &str) -> Option<String> {
        account::account(self.starter.root(), user).err()
    }

    /// Begins a job; [`Jobs::poll_event`] also returns jobs that end at once.
    pub fn begin(&mut self, number: u64, job: Job) {
        let result = match job {
            Job::Service { service, verb } => {
                return self.begin_service_job(number, &service, verb);
            }
            Job::Run {
                argv,
                environment,
                user,
            } => {
                let command = Command::Unconfined {
                    argv,
                    environment,
                    user,
                };
                return self.run_next_command(number, [command].into(), true);
            }
            Job::Rules { file } => return self.nft(number, &["-f"], &file),
            Job::CheckRules { file } => return self.nft(number, &["-c", "-f"], &file),
            Job::Copy { from, to } => match copy::copy(&from, &to) {
                Ok(()) => Ok(()),
                // /etc is read-only for the daemon
                Err(_) if self.starter.has_systemd() => {
                    let steps = copy::commands(&from, &to);
                    let steps = steps.map(Command::unconfined);
                    return self.run_next_command(number, steps.into(), true);
                }
                Err(why) => Err(why),
            },
            Job::Link { interface, up } => {
                self.end_bounce(&interface, up);
                kernel::set_link(&interface, up)
            }
            Job::Bounce { interface, down_ms } => {
                self.end_bounce(&interface, true);
                let down_ns = down_ms.saturating_mul(1_000_000);
                let until_ns = self.reactor.now_ns().saturating_add(down_ns);
                match self.bounces.begin(number, &interface, until_ns) {
                    Ok(true) => return,
                    Ok(false) => Ok(()),
                    Err(why) => Err(why),
                }
            }
            Job::Setting { key, value } => setting::write(self.starter.root(), &key, &value),
            Job::Route { route, present } => kernel::set_route(&route, present),
        };
        self.events.push_back(JobsEvent::Ended(number, result));
    }

    fn nft(&mut self, number: u64, options: &[&str], file: &Path) {
        let words = ["nft"].iter().chain(options).map(ToString::to_string);
        let words = words.chain([file.display().to_string()]).collect();
        self.run_next_command(number, [Command::System(words)].into(), true);
    }

    /// Kills a job's children with their groups; its end is not reported. An interface that is down for a bounce comes
    /// up in time.
    pub fn cancel(&mut self, number: u64) {
        self.bounces.forget(number);
        self.events
            .retain(|ended| !matches!(ended, JobsEvent::Ended(job, _) if *job == number));
        let at = self.running.iter().position(|it| it.purpose.is_job(number));
        if let Some(at) = at {
            self.reap_later(at);
        }
    }

    /// Has systemd report changes of units that were queried; `wanted`: there are such units.
    pub fn watch(&mut self, wanted: bool) {
        if wanted {
            let ended = self.watch.poll(&*self.reactor, self.starter.root());
            self.events.extend(ended);
        } else {
            self.watch.end(&*self.reactor);
        }
    }

    /// States of the files that tests depend on, by the names of items.
    pub fn stamps(&self, items: &[(String, Vec<String>)]) -> Vec<(String, u64)> {
        let root = self.starter.root();
        let stamp =
            |(name, files): &(String, Vec<String>)| (name.clone(), stamp::stamp(root, files));
        items.iter().map(stamp).collect()
    }

    /// Deletes routes of an earlier process that are not in `kept`.
    pub fn delete_other_routes(&mut self, kept: &[Route]) -> Result<(), String> {
        kernel::delete_other_routes(kept)
    }

    /// Handles a ready descriptor; false if it belongs to no job.
    pub fn ready(&mut self, fd: RawFd) -> bool {
        if self.watch.has(fd) {
            let ended = self.watch.ready(&*self.reactor);
            self.events.extend(ended);
            return true;
        }
        let Some(at) = self.running.iter().position(|it| it.has(fd)) else {
            return false;
        };
        let Some(running) = self.running.get_mut(at) else {
            return false;
        };
        if running.child.output().as_raw_fd() == fd {
            if !running.child.listen() {
                self.reactor.unwatch(fd);
            }
        } else if let Some(exit) = running.child.end() {
            let running = self.running.swap_remove(at);
            self.unwatch(&running);
            self.handle_exit(running, &exit);
        }
        true
    }

    /// Time when [`Jobs::handle_timeout`] is due, in ns of the daemon's clock.
    pub fn next_timeout(&self) -> Option<u64> {
        let children = self.running.iter().filter_map(RunningChild::due_ns);
        let rest = self.bounces.next_ns().into_iter();
        children.chain(rest).chain(self.watch.next_timeout()).min()
    }

    pub fn handle_timeout(&mut self, now_ns: u64) {
        let ended = self.bounces.handle_timeout(now_ns).into_iter();
        self.events
            .extend(ended.map(|(number, result)| JobsEvent::Ended(number, result)));
        let ended = self.watch.handle_timeout(&*self.reactor, now_ns);
        self.events.extend(ended);
        for at in (0..self.running.len()).rev() {
            let due = self.running.get(at).and_then(RunningChild::due_ns);
            if due.is_some_and(|due_ns| due_ns <= now_ns) {
                self.handle_overdue(at);
            }
        }
        self.begin_queries();
    }

    pub fn poll_event(&mut self) -> Option<JobsEvent> {
        self.events.pop_front()
    }

    /// Ends all jobs and leaves nothing behind. Running services continue, except the `unstopped` ones, which systemd
    /// stops after this process has ended.
    pub fn end_all(&mut self, unstopped: &[Service]) {
        self.watch.end(&*self.reactor);
        self.waiting_queries.clear();
        self.events.clear();
        self.bounces.end_all();
        if let Some(argv) = manager::stop_in_background(unstopped, &mut self.triggers) {
            self.starter.run(argv);
        }
        let running = std::mem::take(&mut self.running);
        let units: Vec<String> = running.iter().filter_map(|it| it.unit.clone()).collect();
        for it in &running {
            self.unwatch(it);
        }
        if !units.is_empty() {
            self.starter.run(transient_units::kill(&units));
        }
    }

    fn begin_service_job(&mut self, number: u64, service: &Service, verb: Verb) {
        let Some(commands) = manager::commands(service, verb, &mut self.triggers) else {
            let why = match verb {
                Verb::Start => "has no command to start it",
                Verb::Stop => "has no command to stop it",
                Verb::Reload => "has no command to reload it",
                Verb::Kill => "cannot be killed: it has only commands",
            };
            let failed = JobsEvent::Ended(number, Err(why.to_owned()));
            return self.events.push_back(failed);
        };
        let command = |argv| match service {
            Service::Unit { .. } => Command::System(argv),
            Service::Commands { .. } => Command::unconfined(argv),
        };
        self.run_next_command(number, commands.into_iter().map(command).collect(), false);
    }

    /// Runs a job's next command; `strict`: a failure of one command ends the job.
    fn run_next_command(&mut self, number: u64, mut rest: VecDeque<Command>, strict: bool) {
        while let Some(command) = rest.pop_front() {
            match self.starter.start(&command, OUTPUT_MAX, true) {
                Ok((child, unit)) => {
                    let purpose = Purpose::Job {
                        number,
                        rest,
                        strict,
                    };
                    return self.watch_child(RunningChild {
                        child,
                        unit,
                        purpose,
                    });
                }
                Err(why) if strict || rest.is_empty() => {
                    return self.events.push_back(JobsEvent::Ended(number, Err(why)));
                }
                Err(_) => {}
            }
        }
        self.events.push_back(JobsEvent::Ended(number, Ok(())));
    }

    fn watch_child(&mut self, running: RunningChild) {
        let watched = [running.child.pidfd(), running.child.output()]
            .into_iter()
            .try_for_each(|fd| self.reactor.watch(fd.as_raw_fd()));
        let Err(why) = watched else {
            return self.running.push(running);
        };
        self.unwatch(&running);
        match running.purpose {
            Purpose::Job { number, .. } => {
                self.events.push_back(JobsEvent::Ended(number, Err(why)))
            }
            Purpose::Query { query, .. } => self.report_unknown(&query, &why),
            Purpose::Killed { .. } | Purpose::Killer { .. } => {}
        }
    }

    fn unwatch(&self, running: &RunningChild) {
        self.reactor.unwatch(running.child.pidfd().as_raw_fd());
        self.reactor.unwatch(running.child.output().as_raw_fd());
    }

    fn handle_exit(&mut self, running: RunningChild, exit: &Exit) {
        match running.purpose {
            Purpose::Job {
                number,
                rest,
                strict,
            } => {
                let failed = running::failure(exit);
                if rest.is_empty() || (strict && failed.is_some()) {
                    let result = failed.map_or(Ok(()), Err);
                    self.events.push_back(JobsEvent::Ended(number, result));
                } else {
                    self.run_next_command(number, rest, strict);
                }
            }
            Purpose::Query { query, again, .. } => {
                let output = String::from_utf8_lossy(&exit.text);
                let (code, output) = match running.unit {
                    Some(_) => transient_units::parse_output(exit.code, &output),
                    None => (exit.code, output.into_owned()),
                };
                for service in &query.services {
                    self.late_services.remove(service);
                }
                self.handle_answer(query, again, code, &output);
                self.begin_queries();
            }
            Purpose::Killed { .. } | Purpose::Killer { .. } => {}
        }
    }

    fn end_bounce(&mut self, interface: &str, up: bool) {
        if let Some(number) = self.bounces.end(interface, up) {
            self.events.push_back(JobsEvent::Ended(number, Ok(())));
        }
    }

    fn handle_overdue(&mut self, at: usize) {
        let now_ns = self.reactor.now_ns();
        let Some(running) = self.running.get_mut(at) else {
            return;
        };
        match &mut running.purpose {
            Purpose::Query { query, .. } => {
                let query = query.clone();
                self.reap_later(at);
                self.late_services.extend(query.services.iter().cloned());
                self.report_unknown(&query, "its manager does not answer");
            }
            Purpose::Killed { again_ns, kills } => {
                *again_ns = now_ns.saturating_add(KILL_AGAIN_NS);
                *kills = kills.saturating_add(1);
                let unit = if *kills < KILLS_MAX {
                    running.unit.clone()
                } else {
                    running.unit.take()
                };
                if running.unit.is_none() {
                    running.child.kill();
                }
                self.kill(unit);
            }
            Purpose::Killer { .. } => self.reap_later(at),
            Purpose::Job { .. } => {}
        }
    }

    /// Kills a child, and collects it later.
    fn reap_later(&mut self, at: usize) {
        let again_ns = self.reactor.now_ns().saturating_add(KILL_AGAIN_NS);
        let Some(running) = self.running.get_mut(at) else {
            return;
        };
        running.purpose = Purpose::Killed { again_ns, kills: 0 };
        // its client continues until then, because it may not have asked for the unit yet
        let unit = running.unit.clone();
        if unit.is_none() {
            running.child.kill();
        }
        self.kill(unit);
    }

    fn kill(&mut self, unit: Option<String>) {
        let Some(unit) = unit else {
            return;
        };
        let command = Command::System(transient_units::kill(&[unit]));
        match self.starter.start(&command, OUTPUT_MAX, false) {
            Ok((child, unit)) => self.watch_child(RunningChild {
                child,
                unit,
                purpose: Purpose::Killer {
                    until_ns: self.reactor.now_ns().saturating_add(KILLER_NS),
                },
            }),
            Err(why) => log::warn!("{why}"),
        }
    }
}
