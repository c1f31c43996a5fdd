//! Checks whose results make a node more or less fit.
//!
//! This file, `runs.rs`, `sockets.rs` and `probe` are all the I/O; `engine` holds what decides,
//! `wire` the bytes, `config` the file. `README.md` is the manual of every key.
#![forbid(unsafe_code)]

pub mod config;
pub mod engine;
pub mod probe;
mod runs;
mod sockets;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::RandomState;
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;

use spared_sdk::config::Config;
use spared_sdk::{
    Alarm, Answer, Applied, Checks, Error, Host, Interest, InterfaceEvent, InterfaceHandle,
    Interfaces, Plugin, Progress, Query, Ready, Role, RoleEvent, Roles, Sockets as Wanted, Token,
};

use config::Settings;
use engine::{Action, Engine, Link};
use runs::{Ended, Runs};
use sockets::{PACKET_MAX, Sockets};

const TIMER: u32 = 1;
/// Packets read at one go from one socket: a raw socket hears the echoes of others, too.
const PACKETS_AT_ONCE: usize = 64;
const USAGE: &str = "usage: health [status] | probe NAME";

/// The plugin's one instance.
pub struct Health {
    host: Host,
    interfaces: InterfaceHandle,
    checks: Checks,
    /// None until `start`.
    running: Option<Running>,
    node: String,
    settings: Settings,
    /// What this worker may open: known when it was started, and never more.
    files: BTreeSet<PathBuf>,
}

/// What exists between `start` and `stop`.
struct Running {
    engine: Engine,
    runs: Runs,
    sockets: BTreeMap<String, Sockets>,
    buffer: Vec<u8>,
    alarm: Alarm,
}

/// The file, and whose node it was read for.
pub struct Read {
    settings: Settings,
    node: String,
}

impl Plugin for Health {
    type Settings = Read;

    fn create(host: Host) -> Result<Self, Error> {
        let missing = |what| move || Error::Plugin(format!("this host has no {what}"));
        Ok(Health {
            host,
            interfaces: host
                .interfaces()
                .ok_or_else(missing("spared.interface/1"))?,
            checks: host.checks().ok_or_else(missing("spared.check/1"))?,
            running: None,
            node: String::new(),
            settings: Settings::default(),
            files: BTreeSet::new(),
        })
    }

    fn read(config: &Config) -> Result<Read, Error> {
        let settings = config::read(config).ok_or(Error::Config(Vec::new()))?;
        Ok(Read {
            settings,
            node: config.node().to_owned(),
        })
    }

    fn configure(&mut self, read: Read) -> Result<Applied, Error> {
        let more = read
            .settings
            .files()
            .iter()
            .any(|file| !self.files.contains(*file));
        if self.running.is_some() && (more || read.node != self.node) {
            return Ok(Applied::Restart);
        }
        self.node = read.node;
        self.settings = read.settings;
        if let Some(running) = &mut self.running {
            running.engine.configure(self.host.now(), &self.settings);
            self.act();
        }
        Ok(Applied::Live)
    }

    fn start(&mut self) -> Result<(), Error> {
        let files = self.settings.files().into_iter();
        self.files = files.map(ToOwned::to_owned).collect();
        let mut engine = Engine::new(&RandomState::new());
        engine.configure(self.host.now(), &self.settings);
        self.running = Some(Running {
            engine,
            runs: Runs::new(self.host, &self.node),
            sockets: BTreeMap::new(),
            buffer: vec![0; PACKET_MAX],
            alarm: Alarm::new(self.host, TIMER),
        });
        self.act();
        Ok(())
    }

    fn stop(&mut self) -> Result<(), Error> {
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        running.alarm.set(None);
        running.runs.end_all();
        for fd in running.sockets.values_mut().flat_map(Sockets::take) {
            self.host.unwatch_fd(fd.as_raw_fd());
        }
        Ok(())
    }

    fn fd(&mut self, fd: RawFd, _ready: Ready) {
        let now_ns = self.host.now();
        let Some(running) = &mut self.running else {
            return self.host.unwatch_fd(fd);
        };
        if running.hear(now_ns, fd) {
            return self.act();
        }
        match running.runs.ready(fd) {
            Some(ended) => running.conclude(now_ns, ended),
            None => self.host.unwatch_fd(fd),
        }
        self.act();
    }

    fn timer(&mut self, _id: u32) {
        let now_ns = self.host.now();
        if let Some(running) = &mut self.running {
            running.alarm.fired();
            // what has come counts, however late this timer is
            running.hear_all(now_ns);
            running.engine.handle_timeout(now_ns);
        }
        self.act();
    }

    fn woken(&mut self) {
        let now_ns = self.host.now();
        if let Some(running) = &mut self.running {
            while let Some(ended) = running.runs.poll_found() {
                running.conclude(now_ns, Some(ended));
            }
        }
        self.act();
    }
}

impl Roles for Health {
    fn role(&mut self, event: &RoleEvent<'_>, _token: Token) -> Result<Progress, Error> {
        let now_ns = self.host.now();
        if let Some(running) = &mut self.running {
            let active = event.role == Role::Active;
            running.engine.handle_role(now_ns, event.group, active);
        }
        self.act();
        Ok(Progress::Done)
    }
}

impl Interfaces for Health {
    fn changed(&mut self, event: &InterfaceEvent<'_>) {
        let now_ns = self.host.now();
        let Some(running) = &mut self.running else {
            return;
        };
        let sockets = running.sockets.entry(event.name.clone().into_owned());
        let (gone, new) = sockets.or_default().update(event);
        for fd in gone {
            self.host.unwatch_fd(fd.as_raw_fd());
        }
        for fd in new {
            if let Err(error) = self.host.watch_fd(fd, Interest::READ) {
                log::error!("{}: {error}", event.name);
            }
        }
        let link = Link {
            present: event.present,
            up: event.up,
            carrier: event.carrier,
        };
        running.engine.handle_interface(now_ns, &event.name, link);
        self.act();
    }
}

impl Query for Health {
    fn query(&mut self, argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        let now_ns = self.host.now();
        let Some(running) = &mut self.running else {
            return Ok(Progress::Done);
        };
        match argv {
            [] | ["status"] => {
                // hundreds of checks: what fits is better than nothing
                if let Err(error) = answer.rows(running.engine.rows(now_ns)) {
                    log::debug!("{error}");
                }
            }
            ["probe", name] => {
                let begun = running.engine.probe(now_ns, name);
                self.act();
                begun.map_err(Error::Usage)?;
                answer.text(name, "runs now; `sparectl health` shows the result")?;
            }
            _ => return Err(Error::Usage(USAGE.to_owned())),
        }
        Ok(Progress::Done)
    }
}

impl Health {
    /// Does what the engine wants, then sets the timer.
    fn act(&mut self) {
        while let Some(action) = self.running.as_mut().and_then(|it| it.engine.poll_action()) {
            self.perform(action);
        }
        if let Some(running) = &mut self.running {
            running.alarm.set(running.engine.next_timeout());
        }
    }

    fn perform(&mut self, action: Action) {
        let now_ns = self.host.now();
        let Some(running) = &mut self.running else {
            return;
        };
        let done = match action {
            Action::Ping {
                via,
                to,
                sequence,
                packet,
            } => {
                let sent = running.sockets.entry(via).or_default().send(to, &packet);
                if let Err(error) = sent {
                    let why = error.to_string().to_lowercase();
                    running.engine.handle_unsent(now_ns, sequence, &why);
                }
                Ok(())
            }
            Action::Start { run, job } => {
                let ended = running.runs.start(run, job);
                running.conclude(now_ns, ended);
                Ok(())
            }
            Action::Cancel { run } => {
                running.runs.cancel(run);
                Ok(())
            }
            Action::Follow { interface, ping } => {
                let wanted = if ping { Wanted::PING } else { Wanted::NONE };
                self.interfaces.follow(&interface, wanted)
            }
            Action::Unfollow { interface } => {
                let sockets = running.sockets.remove(&interface);
                for fd in sockets
                    .into_iter()
                    .flat_map(|mut it| it.take().collect::<Vec<_>>())
                {
                    self.host.unwatch_fd(fd.as_raw_fd());
                }
                self.interfaces.unfollow(&interface)
            }
            Action::Report {
                name,
                weight,
                state,
                why,
            } => self.checks.report(&name, weight, state.into(), &why),
            Action::Forget { name } => self.checks.forget(&name),
        };
        if let Err(error) = done {
            log::warn!("{error}");
        }
    }
}

impl Running {
    fn conclude(&mut self, now_ns: u64, ended: Ended) {
        if let Some((run, findings)) = ended {
            self.engine.handle_result(now_ns, run, findings);
        }
    }

    /// Reads a socket, if `fd` is one.
    fn hear(&mut self, now_ns: u64, fd: RawFd) -> bool {
        let Some(sockets) = self.sockets.values().find(|sockets| sockets.has(fd)) else {
            return false;
        };
        for _ in 0..PACKETS_AT_ONCE {
            let Some(packet) = sockets.receive(fd, &mut self.buffer) else {
                break;
            };
            if let Some(heard) = packet {
                self.engine.handle_heard(now_ns, &heard);
            }
        }
        true
    }

    fn hear_all(&mut self, now_ns: u64) {
        let fds: Vec<RawFd> = self.sockets.values().flat_map(Sockets::numbers).collect();
        for fd in fds {
            self.hear(now_ns, fd);
        }
    }
}

spared_sdk::export!(Health {
    name: "health",
    summary: "checks that make a node more or less fit",
    flags: FILES,
    parts: [roles, query, interfaces],
});
