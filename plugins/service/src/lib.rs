//! Services, hooks and interfaces whose state follows the role.
//!
//! All I/O is in this file, `carry_over_file.rs` and `run`; `engine` decides, `manager` has the commands of each service
//! manager, `config` the file. *spared-service*(5) is the manual of the keys.
#![forbid(unsafe_code)]

mod carry_over_file;
pub mod config;
pub mod engine;
pub mod error;
pub mod job;
pub mod manager;
mod rows;
pub mod run;

use std::os::fd::RawFd;

use spared_sdk::config::Config;
use spared_sdk::{
    Applied, Checks, Engine as _, Error, Host, Io, Progress, Ready, RoleEvent, Runner, Token,
    abi::CHECK_UNKNOWN,
};

use carry_over_file::CarryOverFile;
use config::Settings;
use engine::{Action, Engine};
use job::Manager;
use run::{Jobs, JobsEvent};

/// I/O of services: system and daemon.
pub struct Service {
    host: Host,
    checks: Checks,
    carry_over: CarryOverFile,
    jobs: Jobs,
}

impl Io for Service {
    type Settings = Settings;
    type Engine = Engine;

    fn read(config: &Config) -> Result<Settings, Error> {
        let mut settings = config::read(config).ok_or(Error::Config(Vec::new()))?;
        let manager = manager::choose(&settings);
        let manager = manager.map_err(|unfit| Error::config("manager", unfit.to_string()))?;
        settings.manager = Some(manager);
        Ok(settings)
    }

    fn start(host: Host, settings: &Settings) -> Result<(Self, Engine), Error> {
        let carry_over = CarryOverFile::in_folder(host.state_folder().as_deref());
        let mut engine = Engine::new(host.now(), &settings.node, &carry_over.read());
        let mut service = Self {
            host,
            checks: host.checks(),
            carry_over,
            jobs: Jobs::new(host),
        };
        service.jobs.kill_leftovers();
        service.apply(&mut engine, host.now(), settings);
        Ok((service, engine))
    }

    fn configure(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        old: &Settings,
        new: &Settings,
    ) -> Result<Applied, Error> {
        if new.node != old.node {
            return Ok(Applied::Restart);
        }
        self.apply(engine, now_ns, new);
        Ok(Applied::Live)
    }

    // Running services continue, except those that the last role still had to stop.
    fn stop(mut self, engine: Engine) {
        self.jobs.end_all(&engine.unstopped());
    }

    fn fd(&mut self, _engine: &mut Engine, _now_ns: u64, fd: RawFd, _ready: Ready) {
        if !self.jobs.ready(fd) {
            self.host.unwatch_fd(fd);
        }
    }

    fn next_timeout(&self) -> Option<u64> {
        self.jobs.next_timeout()
    }

    fn handle_timeout(&mut self, engine: &mut Engine, now_ns: u64) {
        // jobs that ended in time count, however late this timer is
        self.jobs.handle_timeout(now_ns);
        while self.poll(engine, now_ns) {}
        engine.handle_timeout(now_ns);
    }

    fn poll(&mut self, engine: &mut Engine, now_ns: u64) -> bool {
        match self.jobs.poll_event() {
            Some(JobsEvent::Ended(number, result)) => engine.handle_ended(now_ns, number, result),
            Some(JobsEvent::Observed(seen)) => engine.handle_observed(now_ns, seen),
            Some(JobsEvent::Watched(told)) => engine.handle_watched(now_ns, told),
            Some(JobsEvent::Changed) => engine.handle_changed(now_ns),
            None => return false,
        }
        true
    }

    fn role(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        event: &RoleEvent,
        token: Token,
    ) -> Result<Progress, Error> {
        engine.handle_role(now_ns, token.into(), &event.into());
        Ok(Progress::Pending)
    }

    fn perform(&mut self, engine: &mut Engine, now_ns: u64, action: Action) -> Result<(), Error> {
        match action {
            Action::Begin { number, job } => {
                log::debug!("job {number}: {job:?}");
                self.jobs.begin(number, job);
            }
            Action::Cancel(number) => self.jobs.cancel(number),
            Action::Observe(services) => self.jobs.observe(&services),
            Action::Watch(wanted) => self.jobs.watch(wanted),
            Action::Stamp(items) => engine.handle_stamps(now_ns, &self.jobs.stamps(&items)),
            Action::CheckSources(items) => {
                engine.handle_sources(now_ns, &run::source_faults(&items))
            }
            Action::CheckHooks(folders) => {
                let fault = engine.hook_user().and_then(|it| self.jobs.user_fault(it));
                let refused = folders.iter().flat_map(|folder| run::hooks(folder).1);
                engine.handle_refused_hooks(fault.into_iter().chain(refused).collect());
            }
            Action::ReadHooks {
                group,
                role,
                folder,
            } => engine.handle_hooks(now_ns, &group, role, run::hooks(&folder)),
            Action::Report {
                name,
                weight,
                state,
                why,
            } => {
                let state = state.map_or(CHECK_UNKNOWN, u32::from);
                self.checks.report(&name, weight, state, &why)?;
            }
            Action::Forget(name) => self.checks.forget(&name)?,
            Action::Event(text) => self.host.event(&text),
            Action::Done(ticket) => self.host.done(ticket.into(), Ok(())),
            Action::Remember(text) => self.carry_over.write(&text),
        }
        Ok(())
    }
}

impl Service {
    fn apply(&mut self, engine: &mut Engine, now_ns: u64, settings: &Settings) {
        if let Err(why) = self.jobs.delete_other_routes(&settings.routes()) {
            log::warn!("{why}");
        }
        let manager = settings.manager.unwrap_or(Manager::Systemd);
        engine.configure(now_ns, settings, manager);
    }
}

spared_sdk::plugin!(Runner<Service> {
    name: "service",
    summary: "services and settings that follow the role",
    capabilities: [net_admin],
    flags: ROOT,
    calls: [FILES, SOCKETS, PROGRAMS],
    parts: [roles, query],
});
