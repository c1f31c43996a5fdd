//! Services, hooks and interfaces whose state follows the role.
//!
//! This file, `memory.rs` and `run` are all the I/O; `engine` holds what decides, `manager` how each
//! service manager is spoken to, `config` the file. *spared-service*(5) is the manual of every key.
#![forbid(unsafe_code)]

pub mod config;
pub mod engine;
pub mod error;
pub mod job;
pub mod manager;
mod memory;
pub mod run;

use std::collections::BTreeMap;
use std::os::fd::RawFd;

use spared_sdk::config::{Config, Fault};
use spared_sdk::{
    Alarm, Answer, Applied, Checks, Error, Host, Plugin, Progress, Query, Ready, RoleEvent, Roles,
    Token,
};

use config::Settings;
use engine::{Action, Engine, RoleChange};
use error::Unfit;
use job::Manager;
use memory::Memory;
use run::{Ended, Runs};

const TIMER: u32 = 1;
const CAP_NET_ADMIN: u32 = 12;
const USAGE: &str = "usage: service [status] | retry [NAME]";

/// The plugin's one instance.
pub struct Service {
    host: Host,
    checks: Checks,
    settings: Settings,
    manager: Manager,
    node: String,
    /// None until `start`.
    running: Option<Running>,
}

/// What exists between `start` and `stop`.
struct Running {
    engine: Engine,
    memory: Memory,
    runs: Runs,
    alarm: Alarm,
    /// What the host waits for, by the engine's ticket.
    tokens: BTreeMap<u64, Token>,
    last_ticket: u64,
}

/// The file, and whose node it was read for.
pub struct Read {
    settings: Settings,
    manager: Manager,
    node: String,
}

impl Plugin for Service {
    type Settings = Read;

    fn create(host: Host) -> Result<Self, Error> {
        let missing = || Error::Plugin("this host has no spared.check/1".to_owned());
        Ok(Self {
            host,
            checks: host.checks().ok_or_else(missing)?,
            settings: Settings::default(),
            manager: Manager::Systemd,
            node: String::new(),
            running: None,
        })
    }

    fn read(config: &Config) -> Result<Read, Error> {
        let settings = config::read(config).ok_or(Error::Config(Vec::new()))?;
        Ok(Read {
            manager: found(&settings)?,
            settings,
            node: config.node().to_owned(),
        })
    }

    fn configure(&mut self, read: Read) -> Result<Applied, Error> {
        if self.running.is_some() && read.node != self.node {
            return Ok(Applied::Restart);
        }
        (self.settings, self.manager, self.node) = (read.settings, read.manager, read.node);
        if let Some(running) = &mut self.running {
            running.take(self.host.now(), &self.settings, self.manager);
        }
        self.act();
        Ok(Applied::Live)
    }

    fn start(&mut self) -> Result<(), Error> {
        let now_ns = self.host.now();
        let memory = Memory::of(self.host.state_folder().as_deref());
        let mut running = Running {
            engine: Engine::new(now_ns, &self.node, &memory.read()),
            memory,
            runs: Runs::new(self.host),
            alarm: Alarm::new(self.host, TIMER),
            tokens: BTreeMap::new(),
            last_ticket: 0,
        };
        running.runs.end_leftovers();
        running.take(now_ns, &self.settings, self.manager);
        self.running = Some(running);
        self.act();
        Ok(())
    }

    // Whatever runs goes on, but for what the last role had yet to stop: nobody else would.
    fn stop(&mut self) -> Result<(), Error> {
        if let Some(mut running) = self.running.take() {
            running.alarm.set(None);
            running.runs.end_all(&running.engine.unstopped());
        }
        Ok(())
    }

    fn fd(&mut self, fd: RawFd, _ready: Ready) {
        let known = self.running.as_mut().is_some_and(|it| it.runs.ready(fd));
        if !known {
            self.host.unwatch_fd(fd);
        }
        self.act();
    }

    fn timer(&mut self, _id: u32) {
        let now_ns = self.host.now();
        if let Some(running) = &mut self.running {
            running.alarm.fired();
            // what has ended in time counts, however late this timer is
            running.runs.handle_timeout(now_ns);
            running.conclude(now_ns);
            running.engine.handle_timeout(now_ns);
        }
        self.act();
    }
}

impl Roles for Service {
    fn role(&mut self, event: &RoleEvent<'_>, token: Token) -> Result<Progress, Error> {
        let now_ns = self.host.now();
        let Some(running) = &mut self.running else {
            return Ok(Progress::Done);
        };
        let ticket = running.last_ticket.saturating_add(1);
        running.last_ticket = ticket;
        running.tokens.insert(ticket, token);
        let news = RoleChange {
            group: event.group.to_owned(),
            role: event.role,
            why: event.why.to_owned(),
            maintenance: event.maintenance,
        };
        running.engine.handle_role(now_ns, ticket, &news);
        self.act_but(Some(ticket));
        let running = self.running.as_mut();
        let pending = running.is_some_and(|running| running.tokens.contains_key(&ticket));
        Ok(match pending {
            true => Progress::Pending,
            false => Progress::Done,
        })
    }
}

impl Query for Service {
    fn query(&mut self, argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        let now_ns = self.host.now();
        let Some(running) = &mut self.running else {
            return Ok(Progress::Done);
        };
        match argv {
            ["status"] => answer.text("summary", &running.engine.summary())?,
            [] => {
                // hundreds of services: what fits is better than nothing
                if let Err(error) = answer.rows(running.engine.rows(now_ns)) {
                    log::debug!("{error}");
                }
                if running.engine.wants_attention() {
                    answer.attention();
                }
            }
            ["retry", names @ ..] if names.len() < 2 => {
                let retried = running.engine.retry(now_ns, names.first().copied());
                self.act();
                let count = retried.map_err(Error::Usage)?;
                answer.number("tried_again", u64::try_from(count).unwrap_or(u64::MAX))?;
            }
            _ => return Err(Error::Usage(USAGE.to_owned())),
        }
        Ok(Progress::Done)
    }
}

impl Service {
    fn act(&mut self) {
        self.act_but(None);
    }

    /// Does what the engine wants, then sets the timer. A role that is through while the host still
    /// calls is no matter of `done`.
    fn act_but(&mut self, called: Option<u64>) {
        loop {
            let now_ns = self.host.now();
            let Some(running) = &mut self.running else {
                return;
            };
            running.conclude(now_ns);
            match running.engine.poll_action() {
                Some(action) => self.perform(now_ns, action, called),
                None => break,
            }
        }
        if let Some(running) = &mut self.running {
            let times = [running.engine.next_timeout(), running.runs.next_timeout()];
            running.alarm.set(times.into_iter().flatten().min());
        }
    }

    fn perform(&mut self, now_ns: u64, action: Action, called: Option<u64>) {
        let Some(running) = &mut self.running else {
            return;
        };
        let done = match action {
            Action::Begin { number, job } => {
                log::debug!("job {number}: {job:?}");
                running.runs.begin(number, job);
                Ok(())
            }
            Action::Cancel { number } => {
                running.runs.cancel(number);
                Ok(())
            }
            Action::Observe { services } => {
                running.runs.observe(&services);
                Ok(())
            }
            Action::Hooks {
                group,
                role,
                folder,
            } => {
                let found = run::hooks(&folder);
                running.engine.handle_hooks(now_ns, &group, role, found);
                Ok(())
            }
            Action::Report {
                name,
                weight,
                state,
                why,
            } => self.checks.report(&name, weight, state.into(), &why),
            Action::Forget { name } => self.checks.forget(&name),
            Action::Event(text) => {
                self.host.event(&text);
                Ok(())
            }
            Action::Done { ticket } => {
                let token = running.tokens.remove(&ticket);
                if let Some(token) = token.filter(|_| called != Some(ticket)) {
                    self.host.done(token, Ok(()));
                }
                Ok(())
            }
            Action::Remember(text) => {
                running.memory.write(&text);
                Ok(())
            }
        };
        if let Err(error) = done {
            log::warn!("{error}");
        }
    }
}

impl Running {
    fn take(&mut self, now_ns: u64, settings: &Settings, manager: Manager) {
        if let Err(why) = self.runs.keep_routes(&settings.routes()) {
            log::warn!("{why}");
        }
        self.engine.configure(now_ns, settings, manager);
    }

    fn conclude(&mut self, now_ns: u64) {
        while let Some(ended) = self.runs.poll_ended() {
            match ended {
                Ended::Job(number, result) => self.engine.handle_ended(now_ns, number, result),
                Ended::Observed(seen) => self.engine.handle_observed(now_ns, seen),
            }
        }
    }
}

/// What starts and stops units here, where there are any.
fn found(settings: &Settings) -> Result<Manager, Error> {
    let found = settings.manager.or_else(manager::detect);
    if found.is_none() && settings.has_units() {
        return Err(Error::Config(vec![Fault {
            key: "manager".to_owned(),
            why: Unfit::NoManager.to_string(),
        }]));
    }
    Ok(found.unwrap_or(Manager::Systemd))
}

spared_sdk::export!(Service {
    name: "service",
    summary: "starts, stops and changes what follows the role",
    capabilities: [CAP_NET_ADMIN],
    flags: ROOT,
    parts: [roles, query],
});
