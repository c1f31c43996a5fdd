//! Jobs in progress: children that end by themselves or are killed, and calls to the kernel that end at once.

mod bounce;
mod copy;
mod hooks;
mod kernel;
mod outside;
mod question;
mod routes;
mod running;
mod setting;
mod stamp;
mod step;
mod watch;

use std::collections::{BTreeSet, VecDeque};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

use spared_sdk::child::Ended as Exit;
use spared_sdk::{Host, Interest};

use crate::job::{Job, Route, Service, Status, Verb};
use crate::manager::{self, Question, Triggers};

use bounce::Bounces;
pub use copy::sources;
pub use hooks::hooks;
use running::{Purpose, Running};
pub use step::Machine;
use step::{Starter, Step};
use watch::Watch;

/// Time in ns after which a command outside is killed again, if it was killed before its unit existed.
const KILL_AGAIN_NS: u64 = 200_000_000;
const KILLS_MAX: u32 = 25;
/// Time limit in ns for systemd's answer to a kill.
const KILLER_NS: u64 = 2_000_000_000;
/// Maximum number of bytes of a job's output that are kept to find its last line.
const OUTPUT_MAX: usize = 64 * 1024;
/// Result of a job, query or hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// End of the job with this number, with the reason of a failure as a sentence.
    Job(u64, Result<(), String>),
    Observed(Vec<(Service, Status)>),
    /// systemd tells of changes of units, or does not; why, in some words.
    Watched(Result<(), String>),
    /// A unit of systemd, or a file of its, has changed.
    Changed,
}

/// Source of readiness and time.
pub trait Watcher: std::fmt::Debug {
    /// # Errors
    /// The reason why it cannot be watched, as a sentence.
    fn watch(&self, fd: RawFd) -> Result<(), String>;
    fn unwatch(&self, fd: RawFd);
    fn now_ns(&self) -> u64;
}

impl Watcher for Host {
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
pub struct Runs {
    watcher: Box<dyn Watcher>,
    starter: Starter,
    running: Vec<Running>,
    waiting: VecDeque<(Question, bool)>,
    /// Services whose last query took too long.
    overran: BTreeSet<Service>,
    bounces: Bounces,
    triggers: Triggers,
    watch: Watch,
    ended: VecDeque<Ended>,
}

impl Runs {
    pub fn new(host: Host) -> Self {
        let machine = Machine {
            state: host.state_folder(),
            ..Machine::default()
        };
        Self::on(Box::new(host), machine)
    }

    pub fn on(watcher: Box<dyn Watcher>, machine: Machine) -> Self {
        Self {
            bounces: Bounces::new(machine.state.clone()),
            starter: Starter::new(machine, watcher.now_ns()),
            watcher,
            running: Vec::new(),
            waiting: VecDeque::new(),
            overran: BTreeSet::new(),
            triggers: Triggers::default(),
            watch: Watch::default(),
            ended: VecDeque::new(),
        }
    }

    /// Kills commands that an earlier worker left running when it was killed.
    pub fn end_leftovers(&self) {
        if self.starter.has_systemd() {
            self.starter.run(outside::kill_leftovers());
        }
    }

    /// Begins a job; [`Runs::poll_ended`] also returns jobs that end at once.
    pub fn begin(&mut self, number: u64, job: Job) {
        let result = match job {
            Job::Service { service, verb } => return self.serve(number, &service, verb),
            Job::Run { argv, environment } => {
                return self.next(number, [Step::Outside(argv, environment)].into(), true);
            }
            Job::Rules { file } => return self.nft(number, &["-f"], &file),
            Job::CheckRules { file } => return self.nft(number, &["-c", "-f"], &file),
            Job::Copy { from, to } => match copy::copy(&from, &to) {
                Ok(()) => Ok(()),
                // /etc is read-only for the daemon
                Err(_) if self.starter.has_systemd() => {
                    let steps = copy::commands(&from, &to);
                    let steps = steps.map(|argv| Step::Outside(argv, Vec::new()));
                    return self.next(number, steps.into(), true);
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
                let until_ns = self.watcher.now_ns().saturating_add(down_ns);
                match self.bounces.begin(number, &interface, until_ns) {
                    Ok(true) => return,
                    Ok(false) => Ok(()),
                    Err(why) => Err(why),
                }
            }
            Job::Setting { key, value } => setting::write(self.starter.root(), &key, &value),
            Job::Route { route, present } => kernel::set_route(&route, present),
        };
        self.ended.push_back(Ended::Job(number, result));
    }

    fn nft(&mut self, number: u64, options: &[&str], file: &Path) {
        let words = ["nft"].iter().chain(options).map(ToString::to_string);
        let words = words.chain([file.display().to_string()]).collect();
        self.next(number, [Step::System(words)].into(), true);
    }

    /// Kills a job's children with their groups; its end is not reported. An interface that is down for a bounce comes
    /// up in time.
    pub fn cancel(&mut self, number: u64) {
        self.bounces.forget(number);
        self.ended
            .retain(|ended| !matches!(ended, Ended::Job(job, _) if *job == number));
        let at = self.running.iter().position(|it| it.purpose.is_job(number));
        if let Some(at) = at {
            self.reap_later(at);
        }
    }

    /// Has systemd report changes of units that were queried; `wanted`: there are such units.
    pub fn watch(&mut self, wanted: bool) {
        if wanted {
            let ended = self.watch.poll(&*self.watcher, self.starter.root());
            self.ended.extend(ended);
        } else {
            self.watch.end(&*self.watcher);
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
    pub fn keep_routes(&mut self, kept: &[Route]) -> Result<(), String> {
        kernel::keep_routes(kept)
    }

    /// Handles a ready descriptor; false if it belongs to no job.
    pub fn ready(&mut self, fd: RawFd) -> bool {
        if self.watch.has(fd) {
            let ended = self.watch.ready(&*self.watcher);
            self.ended.extend(ended);
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
                self.watcher.unwatch(fd);
            }
        } else if let Some(exit) = running.child.end() {
            let running = self.running.swap_remove(at);
            self.unwatch(&running);
            self.conclude(running, &exit);
        }
        true
    }

    /// Time when [`Runs::handle_timeout`] is due, in ns of the daemon's clock.
    pub fn next_timeout(&self) -> Option<u64> {
        let children = self.running.iter().filter_map(Running::due_ns);
        let rest = self.bounces.next_ns().into_iter();
        children.chain(rest).chain(self.watch.next_timeout()).min()
    }

    pub fn handle_timeout(&mut self, now_ns: u64) {
        let ended = self.bounces.handle_timeout(now_ns).into_iter();
        self.ended
            .extend(ended.map(|(number, result)| Ended::Job(number, result)));
        let ended = self.watch.handle_timeout(&*self.watcher, now_ns);
        self.ended.extend(ended);
        for at in (0..self.running.len()).rev() {
            let due = self.running.get(at).and_then(Running::due_ns);
            if due.is_some_and(|due_ns| due_ns <= now_ns) {
                self.overdue(at);
            }
        }
        self.ask();
    }

    pub fn poll_ended(&mut self) -> Option<Ended> {
        self.ended.pop_front()
    }

    /// Ends all jobs and leaves nothing behind. Running services continue, except the `unstopped` ones, which systemd
    /// stops after this process has ended.
    pub fn end_all(&mut self, unstopped: &[Service]) {
        self.watch.end(&*self.watcher);
        self.waiting.clear();
        self.ended.clear();
        self.bounces.end_all();
        if let Some(argv) = manager::stop_unwatched(unstopped, &mut self.triggers) {
            self.starter.run(argv);
        }
        let running = std::mem::take(&mut self.running);
        let units: Vec<String> = running.iter().filter_map(|it| it.unit.clone()).collect();
        for it in &running {
            self.unwatch(it);
        }
        if !units.is_empty() {
            self.starter.run(outside::kill(&units));
        }
    }

    fn serve(&mut self, number: u64, service: &Service, verb: Verb) {
        let Some(commands) = manager::commands(service, verb, &mut self.triggers) else {
            let why = match verb {
                Verb::Start => "has no command to start it",
                Verb::Stop => "has no command to stop it",
                Verb::Reload => "has no command to reload it",
                Verb::Kill => "cannot be killed: it has only commands",
            };
            let failed = Ended::Job(number, Err(why.to_owned()));
            return self.ended.push_back(failed);
        };
        let step = |argv| match service {
            Service::Unit { .. } => Step::System(argv),
            Service::Commands { .. } => Step::Outside(argv, Vec::new()),
        };
        self.next(number, commands.into_iter().map(step).collect(), false);
    }

    /// Runs a job's next command; `strict`: a failure of one command ends the job.
    fn next(&mut self, number: u64, mut rest: VecDeque<Step>, strict: bool) {
        while let Some(step) = rest.pop_front() {
            match self.starter.start(&step, OUTPUT_MAX, true) {
                Ok((child, unit)) => {
                    let purpose = Purpose::Job {
                        number,
                        rest,
                        strict,
                    };
                    return self.keep(Running {
                        child,
                        unit,
                        purpose,
                    });
                }
                Err(why) if strict || rest.is_empty() => {
                    return self.ended.push_back(Ended::Job(number, Err(why)));
                }
                Err(_) => {}
            }
        }
        self.ended.push_back(Ended::Job(number, Ok(())));
    }

    fn keep(&mut self, running: Running) {
        let watched = [running.child.pidfd(), running.child.output()]
            .into_iter()
            .try_for_each(|fd| self.watcher.watch(fd.as_raw_fd()));
        let Err(why) = watched else {
            return self.running.push(running);
        };
        self.unwatch(&running);
        match running.purpose {
            Purpose::Job { number, .. } => self.ended.push_back(Ended::Job(number, Err(why))),
            Purpose::Question { question, .. } => self.unknown(&question, &why),
            Purpose::Dying { .. } | Purpose::Killer { .. } => {}
        }
    }

    fn unwatch(&self, running: &Running) {
        self.watcher.unwatch(running.child.pidfd().as_raw_fd());
        self.watcher.unwatch(running.child.output().as_raw_fd());
    }

    fn conclude(&mut self, running: Running, exit: &Exit) {
        match running.purpose {
            Purpose::Job {
                number,
                rest,
                strict,
            } => {
                let failed = running::failure(exit);
                if rest.is_empty() || (strict && failed.is_some()) {
                    let result = failed.map_or(Ok(()), Err);
                    self.ended.push_back(Ended::Job(number, result));
                } else {
                    self.next(number, rest, strict);
                }
            }
            Purpose::Question {
                question, again, ..
            } => {
                let output = String::from_utf8_lossy(&exit.text);
                let (code, output) = match running.unit {
                    Some(_) => outside::answer(exit.code, &output),
                    None => (exit.code, output.into_owned()),
                };
                for service in &question.services {
                    self.overran.remove(service);
                }
                self.answer(question, again, code, &output);
                self.ask();
            }
            Purpose::Dying { .. } | Purpose::Killer { .. } => {}
        }
    }

    fn end_bounce(&mut self, interface: &str, up: bool) {
        if let Some(number) = self.bounces.end(interface, up) {
            self.ended.push_back(Ended::Job(number, Ok(())));
        }
    }

    fn overdue(&mut self, at: usize) {
        let now_ns = self.watcher.now_ns();
        let Some(running) = self.running.get_mut(at) else {
            return;
        };
        match &mut running.purpose {
            Purpose::Question { question, .. } => {
                let question = question.clone();
                self.reap_later(at);
                self.overran.extend(question.services.iter().cloned());
                self.unknown(&question, "its manager does not answer");
            }
            Purpose::Dying { again_ns, kills } => {
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
        let again_ns = self.watcher.now_ns().saturating_add(KILL_AGAIN_NS);
        let Some(running) = self.running.get_mut(at) else {
            return;
        };
        running.purpose = Purpose::Dying { again_ns, kills: 0 };
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
        let step = Step::System(outside::kill(&[unit]));
        match self.starter.start(&step, OUTPUT_MAX, false) {
            Ok((child, unit)) => self.keep(Running {
                child,
                unit,
                purpose: Purpose::Killer {
                    until_ns: self.watcher.now_ns().saturating_add(KILLER_NS),
                },
            }),
            Err(why) => log::warn!("{why}"),
        }
    }
}
