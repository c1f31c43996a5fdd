//! Replicates DHCP leases from the active node to the other.
//!
//! This file, `state_file.rs` and `server` do all I/O; `store.rs` holds the records that the replica keeps equal; `engine`
//! decides what only DHCP knows; `wire.rs` encodes messages between the nodes; `codec` reads and writes lease files;
//! `discover` reads the servers' configurations. *spared-dhcp*(5) describes every key.
#![deny(unsafe_code)] // except one system call, in server/occupied.rs

pub mod codec;
pub mod config;
pub mod discover;
pub mod engine;
pub mod lease;
mod rows;
pub mod server;
mod state_file;
pub mod store;
pub mod wire;

use std::time::{Duration, Instant};

use spared_sdk::config::Config;
use spared_sdk::{
    Answer, Applied, Error, Host, Io, Progress, Role, RoleEvent, Runner, Token, replicated,
};

use config::Settings;
use engine::{Action, Engine};
use server::{Event, Ports, Server};
use state_file::StateFiles;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// Time limit of a stop: the host waits 2 s.
const STOPPING: Duration = Duration::from_millis(1_500);
const PAUSE: Duration = Duration::from_millis(2);

/// Threads of the servers, and the state that outlives the process.
pub struct Servers {
    host: Host,
    servers: Vec<Server>,
    ports: Ports,
    memory: StateFiles,
    /// Answers that wait for a comparison.
    answers: Vec<Answer>,
}

impl Io for Servers {
    type Settings = Settings;
    type Engine = Engine;

    fn read(config: &Config) -> Result<Settings, Error> {
        config::read(config).ok_or(Error::Config(Vec::new()))
    }

    fn start(host: Host, settings: &Settings) -> Result<(Self, Engine), Error> {
        let open = |settings: &config::Server| {
            let waker = host.waker();
            Server::open(settings.clone(), move || waker.wake())
        };
        let servers: Result<_, _> = settings.servers.iter().map(open).collect();
        let memory = StateFiles::new(host.state_folder(), settings).map_err(Error::kernel(
            "store which active node its leases came from",
        ))?;
        let names = settings.servers.iter().map(|it| it.name.as_str());
        let replica = replicated::config(host, names);
        let engine = Engine::new(host.now(), settings.clone(), replica, &memory.recall());
        let servers = servers.map_err(Error::kernel("watch lease files"))?;
        let answers = Vec::new();
        let ports = Ports::new(settings.servers.iter().map(|it| it.format));
        Ok((
            Self {
                host,
                servers,
                ports,
                memory,
                answers,
            },
            engine,
        ))
    }

    fn configure(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        old: &Settings,
        new: &Settings,
    ) -> Result<Applied, Error> {
        if new.servers != old.servers {
            return Ok(Applied::Restart);
        }
        engine.configure(now_ns, new);
        Ok(Applied::Live)
    }

    /// Writes known leases that are not written yet, and stops.
    fn stop(mut self, mut engine: Engine) {
        let begun = Instant::now();
        engine.handle_stop(self.host.now());
        while begun.elapsed() < STOPPING {
            let now_ns = self.host.now();
            if let Some(action) = engine.next_action() {
                let _ = self.perform(&mut engine, now_ns, action);
            } else if !self.poll(&mut engine, now_ns) {
                if !engine.is_writing(now_ns) {
                    return;
                }
                std::thread::sleep(PAUSE);
            }
        }
        log::warn!("leases could not be written in time");
    }

    fn perform(&mut self, _: &mut Engine, _now_ns: u64, action: Action) -> Result<(), Error> {
        match action {
            Action::Command { server, command } => {
                if let Some(server) = self.servers.get(server) {
                    server.command(command);
                }
            }
            Action::Done { ticket } => self.host.done(ticket.into(), Ok(())),
            Action::Answer(found) => self.end_answers(&found),
            Action::RememberCopy { server, copy } => self.memory.remember(server, copy),
            Action::Warn(text) => log::warn!("{text}"),
            Action::Event(text) => self.host.event(&text),
        }
        Ok(())
    }

    fn poll(&mut self, engine: &mut Engine, now_ns: u64) -> bool {
        let mut heard = false;
        for (position, server) in self.servers.iter().enumerate() {
            if let Some(event) = server.poll() {
                heard = true;
                engine.handle_event(now_ns, position, event);
            }
        }
        let news = self.ports.look(now_ns, |server| engine.runs(server));
        for (position, why) in news {
            heard = true;
            engine.handle_event(now_ns, position, Event::Port(why));
        }
        heard
    }

    fn next_timeout(&self) -> Option<u64> {
        self.ports.next_timeout()
    }

    fn role(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        event: &RoleEvent,
        token: Token,
    ) -> Result<Progress, Error> {
        let is_active = event.role == Role::Active;
        engine.handle_role(now_ns, token.into(), &event.group, is_active);
        Ok(Progress::Pending)
    }
}

// chown, dac_override, fowner: files of the servers' accounts; lease: to detect whether a server runs
spared_sdk::plugin!(Runner<Servers> {
    name: "dhcp",
    summary: "replicates DHCP leases",
    capabilities: [chown, dac_override, fowner, lease],
    flags: FILES | WRITE,
    paths: [
        "/etc/kea", "/etc/dnsmasq.conf", "/etc/dnsmasq.d", "/etc/default", "/etc/dhcp",
        "/run/kea", "/run/dnsmasq", "/run/dhcp-server", "/run/dbus",
        "+/var/lib/kea", "+/var/lib/dhcp", "+/var/lib/dhcpd", "+/var/lib/dnsmasq", "+/var/lib/misc",
    ],
    calls: [FILES, SOCKETS],
    wire: (2, 2),
    parts: [roles, transfer, query, peer],
});
