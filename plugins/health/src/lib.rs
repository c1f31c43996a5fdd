//! Checks whose results raise or lower the quality of a node.
//!
//! All I/O is in this file, `runs.rs`, `threads.rs`, `sockets.rs` and `probe`; `engine` decides, `wire` has the bytes,
//! `config` the file. *spared-health*(5) is the manual of the keys.
#![forbid(unsafe_code)]

pub mod config;
pub mod engine;
pub mod probe;
mod rows;
mod runs;
mod sockets;
mod threads;
pub mod wire;

use std::collections::BTreeSet;
use std::hash::RandomState;
use std::os::fd::RawFd;
use std::path::PathBuf;

use spared_sdk::config::Config;
use spared_sdk::{
    Applied, CauseKind, Checks, Engine as _, Error, Host, InterfaceEvent, InterfaceHandle, Io,
    OpenSockets, Progress, Ready, RoleEvent, Runner, Sockets, Token,
};

use config::Settings;
use engine::{Action, Engine, Link};
use runs::{Ended, Runs};
use sockets::AllSockets;
use wire::icmp::Heard;

/// I/O of checks: system and daemon.
pub struct Health {
    host: Host,
    interfaces: InterfaceHandle,
    checks: Checks,
    runs: Runs,
    sockets: AllSockets,
    /// Paths that this worker may open: fixed at its start.
    files: BTreeSet<PathBuf>,
}

impl Io for Health {
    type Settings = Settings;
    type Engine = Engine;

    fn read(config: &Config) -> Result<Settings, Error> {
        config::read(config).ok_or(Error::Config(Vec::new()))
    }

    fn start(host: Host, settings: &Settings) -> Result<(Self, Engine), Error> {
        let files = settings.files().into_iter();
        let mut engine = Engine::new(&RandomState::new());
        let health = Self {
            host,
            interfaces: host.interfaces(),
            checks: host.checks(),
            runs: Runs::new(host, &settings.node),
            sockets: AllSockets::new(host, engine.echo_prefix()),
            files: files.map(ToOwned::to_owned).collect(),
        };
        engine.configure(host.now(), settings);
        Ok((health, engine))
    }

    fn configure(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        old: &Settings,
        new: &Settings,
    ) -> Result<Applied, Error> {
        let mut files = new.files().into_iter();
        if new.node != old.node || !files.all(|file| self.files.contains(file)) {
            return Ok(Applied::Restart);
        }
        engine.configure(now_ns, new);
        Ok(Applied::Live)
    }

    fn stop(mut self, _engine: Engine) {
        self.runs.end_all();
        self.sockets.close_all();
    }

    fn fd(&mut self, engine: &mut Engine, now_ns: u64, fd: RawFd, _ready: Ready) {
        let hear = |heard: &Heard| engine.handle_heard(now_ns, heard);
        if self.sockets.receive(fd, hear) {
            return;
        }
        match self.runs.ready(fd) {
            Some(ended) => conclude(engine, now_ns, ended),
            None => self.host.unwatch_fd(fd),
        }
    }

    fn handle_timeout(&mut self, engine: &mut Engine, now_ns: u64) {
        // packets that have arrived count, however late this timer is
        self.sockets
            .receive_all(|heard| engine.handle_heard(now_ns, heard));
        for run in self.runs.poll_gone(now_ns) {
            engine.handle_result(now_ns, run, Vec::new());
        }
        engine.handle_timeout(now_ns);
    }

    fn next_timeout(&self) -> Option<u64> {
        self.runs.next_timeout()
    }

    fn poll(&mut self, engine: &mut Engine, now_ns: u64) -> bool {
        let Some(ended) = self.runs.poll_thread() else {
            return false;
        };
        conclude(engine, now_ns, ended);
        true
    }

    fn role(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        event: &RoleEvent,
        _token: Token,
    ) -> Result<Progress, Error> {
        match event.cause.kind {
            CauseKind::Withdrawn => engine.handle_group_gone(now_ns, &event.group),
            _ => engine.handle_role(now_ns, &event.group, event.role),
        }
        Ok(Progress::Done)
    }

    fn changed(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        event: &InterfaceEvent,
        sockets: &OpenSockets<'_>,
    ) {
        self.sockets.update(&event.name, sockets);
        let link = Link {
            present: event.present,
            up: event.up,
            carrier: event.carrier,
        };
        engine.handle_interface(now_ns, &event.name, link);
    }

    fn perform(&mut self, engine: &mut Engine, now_ns: u64, action: Action) -> Result<(), Error> {
        match action {
            Action::Ping {
                via,
                to,
                sequence,
                packet,
            } => {
                if !self.sockets.is_known(&via) {
                    engine.handle_no_socket(sequence, &via);
                } else if let Err(error) = self.sockets.send(&via, to, &packet) {
                    let why = error.to_string().to_lowercase();
                    engine.handle_unsent(now_ns, sequence, &why);
                }
            }
            Action::Start { run, job } => conclude(engine, now_ns, self.runs.start(run, job)),
            Action::Cancel(run) => self.runs.cancel(run),
            Action::Follow { interface, ping } => {
                let wanted = if ping { Sockets::PING } else { Sockets::NONE };
                self.interfaces.follow(&interface, wanted)?;
            }
            Action::Unfollow(interface) => {
                self.sockets.close(&interface);
                self.interfaces.unfollow(&interface)?;
            }
            Action::Report {
                name,
                weight: 0,
                points,
                state,
                why,
            } => self
                .checks
                .report_points(&name, points, state.into(), &why)?,
            Action::Report {
                name,
                weight,
                state,
                why,
                ..
            } => self.checks.report(&name, weight, state.into(), &why)?,
            Action::Unknown { name, weight, why } => {
                self.checks
                    .report(&name, weight, spared_sdk::abi::CHECK_UNKNOWN, &why)?;
            }
            Action::Forget(name) => self.checks.forget(&name)?,
        }
        Ok(())
    }
}

fn conclude(engine: &mut Engine, now_ns: u64, ended: Ended) {
    if let Some((run, findings)) = ended {
        engine.handle_result(now_ns, run, findings);
    }
}

spared_sdk::plugin!(Runner<Health> {
    name: "health",
    summary: "health checks of this node",
    flags: FILES,
    calls: [FILES, SOCKETS, PROGRAMS],
    parts: [roles, query, interfaces],
});
