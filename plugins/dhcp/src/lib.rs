//! DHCP leases that follow from the active node to the other.
//!
//! This file, `memory.rs` and `server` are all the I/O; `engine` holds what decides, `wire.rs` what
//! the peers say, `format` what the servers' lease files say, `discover` what their configurations
//! do. *spared-dhcp*(5) is the manual of every key.
#![deny(unsafe_code)] // but for one system call, in server/occupied.rs

pub mod config;
pub mod discover;
pub mod engine;
pub mod error;
pub mod format;
pub mod lease;
mod memory;
pub mod server;
pub mod wire;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use spared_sdk::config::Config;
use spared_sdk::{
    Alarm, Answer, Applied, Error, Host, Outlet, Peer, PeerHandle, Plugin, Progress, Query, Role,
    RoleEvent, Roles, Token, Transfer, Value,
};

use config::Settings;
use engine::{Action, Engine};
use memory::Memory;
use server::Server;

const TIMER: u32 = 1;
/// The loop has other things to do, too.
const SLICE: Duration = Duration::from_millis(10);
/// What a stop may take: the host waits 2 s.
const STOPPING: Duration = Duration::from_millis(1_500);
const PAUSE: Duration = Duration::from_millis(2);
const MS: u64 = 1_000_000;
const USAGE: &str = "usage: dhcp [diff | conflicts]";

/// The plugin's one instance.
pub struct Dhcp {
    host: Host,
    peer: PeerHandle,
    settings: Settings,
    /// None until `start`.
    running: Option<Running>,
}

/// What exists between `start` and `stop`.
struct Running {
    engine: Engine,
    servers: Vec<Server>,
    memory: Memory,
    outlet: Outlet,
    /// The last ticket given.
    ticket: u64,
    calls: BTreeMap<u64, Token>,
    answers: BTreeMap<u64, Answer>,
    alarm: Alarm,
}

impl Plugin for Dhcp {
    type Settings = Settings;

    fn create(host: Host) -> Result<Self, Error> {
        let missing = || Error::Plugin("this host has no spared.peer/1".to_owned());
        Ok(Self {
            host,
            peer: host.peer().ok_or_else(missing)?,
            settings: Settings::default(),
            running: None,
        })
    }

    fn read(config: &Config) -> Result<Settings, Error> {
        config::read(config).ok_or(Error::Config(Vec::new()))
    }

    fn configure(&mut self, settings: Settings) -> Result<Applied, Error> {
        let now_ms = self.now_ms();
        if let Some(running) = &mut self.running {
            if settings.servers != self.settings.servers {
                return Ok(Applied::Restart);
            }
            running.engine.configure(now_ms, &settings);
        }
        self.settings = settings;
        self.act();
        Ok(Applied::Live)
    }

    fn start(&mut self) -> Result<(), Error> {
        let open = |settings: &config::Server| {
            let waker = self.host.waker();
            Server::open(settings.clone(), move || waker.wake())
        };
        let servers: Result<Vec<Server>, _> = self.settings.servers.iter().map(open).collect();
        let memory = Memory::new(self.host.state_folder(), &self.settings);
        let memory = memory.map_err(Error::kernel("remember whom it follows"))?;
        let life = RandomState::new().build_hasher().finish();
        let engine = Engine::new(self.now_ms(), self.settings.clone(), life, &memory.recall());
        self.running = Some(Running {
            engine,
            servers: servers.map_err(Error::kernel("watch lease files"))?,
            memory,
            outlet: Outlet::new(self.peer),
            ticket: 0,
            calls: BTreeMap::new(),
            answers: BTreeMap::new(),
            alarm: Alarm::new(self.host, TIMER),
        });
        self.act();
        Ok(())
    }

    fn stop(&mut self) -> Result<(), Error> {
        let (host, peer) = (self.host, self.peer);
        if let Some(mut running) = self.running.take() {
            running.alarm.set(None);
            running.save(host, peer);
        }
        Ok(())
    }

    fn timer(&mut self, _id: u32) {
        let now_ms = self.now_ms();
        if let Some(running) = &mut self.running {
            running.alarm.fired();
            running.engine.handle_timeout(now_ms);
        }
        self.act();
    }

    fn woken(&mut self) {
        self.act();
    }
}

impl Roles for Dhcp {
    fn role(&mut self, event: &RoleEvent<'_>, token: Token) -> Result<Progress, Error> {
        let active = event.role == Role::Active;
        self.call(token, |engine, now_ms, ticket| {
            engine.handle_role(now_ms, ticket, event.group, active)
        })
    }
}

impl Transfer for Dhcp {
    fn drain(&mut self, token: Token, _deadline_ns: u64) -> Result<Progress, Error> {
        self.call(token, Engine::handle_drain)
    }

    // settle: whatever was received is known already.
}

impl Peer for Dhcp {
    fn up(&mut self, _wire: u32) {
        let now_ms = self.now_ms();
        if let Some(running) = &mut self.running {
            running.outlet.up();
            running.engine.handle_up(now_ms);
        }
        self.act();
    }

    fn down(&mut self) {
        let now_ms = self.now_ms();
        if let Some(running) = &mut self.running {
            running.outlet.down();
            running.engine.handle_down(now_ms);
        }
        self.act();
    }

    fn message(&mut self, message: &[u8]) {
        let now_ms = self.now_ms();
        if let Some(running) = &mut self.running {
            if let Err(why) = running.engine.handle_message(now_ms, message) {
                log::debug!("the peer sent {} bytes: {why}", message.len());
            }
        }
        self.act();
    }

    fn writable(&mut self) {
        if let Some(running) = &mut self.running {
            running.outlet.writable();
        }
        self.act();
    }
}

impl Query for Dhcp {
    fn query(&mut self, argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        let now_ms = self.now_ms();
        let Some(running) = &mut self.running else {
            return Ok(Progress::Done);
        };
        match argv {
            [] => answer.rows(running.engine.rows(now_ms))?,
            ["status"] => {
                for (server, line) in running.engine.summary(now_ms) {
                    answer.text(&server, &line)?;
                }
            }
            ["conflicts"] => answer.rows(running.engine.conflicts(now_ms))?,
            ["diff"] => {
                running.ticket += 1;
                running.answers.insert(running.ticket, answer.later());
                running.engine.handle_diff(now_ms, running.ticket);
                // an answer must not end before this returns
                running.alarm.set(Some(self.host.now()));
                return Ok(Progress::Pending);
            }
            _ => return Err(Error::Usage(USAGE.to_owned())),
        }
        Ok(Progress::Done)
    }
}

impl Dhcp {
    fn now_ms(&self) -> i64 {
        monotonic_ms(self.host)
    }

    /// A call that may end later.
    fn call(
        &mut self,
        token: Token,
        handle: impl FnOnce(&mut Engine, i64, u64) -> bool,
    ) -> Result<Progress, Error> {
        let now_ms = self.now_ms();
        let Some(running) = &mut self.running else {
            return Ok(Progress::Done);
        };
        running.ticket += 1;
        if handle(&mut running.engine, now_ms, running.ticket) {
            self.act();
            return Ok(Progress::Done);
        }
        running.calls.insert(running.ticket, token);
        // it must not end before this returns
        running.alarm.set(Some(self.host.now()));
        Ok(Progress::Pending)
    }

    /// Does what is to be done, for a while; then sets the timer.
    fn act(&mut self) {
        let begun = Instant::now();
        let (host, peer) = (self.host, self.peer);
        let Some(running) = &mut self.running else {
            return;
        };
        let mut busy = true;
        while busy && begun.elapsed() < SLICE {
            let now_ms = monotonic_ms(host);
            busy = running.perform(host, peer);
            busy |= running.hear(now_ms);
            busy |= running.outlet.send(|| running.engine.poll_message(now_ms));
        }
        let at_ns = match busy {
            true => host.now(),
            false => ns(running.engine.next_timeout()),
        };
        running.alarm.set(Some(at_ns));
    }
}

impl Running {
    /// One action; false where there is none.
    fn perform(&mut self, host: Host, peer: PeerHandle) -> bool {
        let Some(action) = self.engine.poll_action() else {
            return false;
        };
        match action {
            Action::Command { server, command } => {
                if let Some(server) = self.servers.get(server) {
                    server.command(command);
                }
            }
            Action::Done { ticket } => {
                if let Some(token) = self.calls.remove(&ticket) {
                    host.done(token, Ok(()));
                }
            }
            Action::Answer {
                ticket,
                rows,
                attention,
            } => self.answer(ticket, rows, attention),
            Action::InSync { yes, why } => {
                if let Err(error) = peer.in_sync(yes, &why) {
                    log::warn!("{error}");
                }
            }
            Action::Lineage { server, life } => self.memory.remember(server, life),
            Action::Warn(text) => log::warn!("{text}"),
            Action::Event(text) => host.event(&text),
        }
        true
    }

    fn answer(&mut self, ticket: u64, rows: Result<Vec<(String, Value)>, String>, attention: bool) {
        let Some(mut answer) = self.answers.remove(&ticket) else {
            return;
        };
        if attention {
            answer.attention();
        }
        let result = rows.map_err(Error::Peer).and_then(|rows| answer.rows(rows));
        answer.done(result);
    }

    /// One thing that a server tells; false where there is none.
    fn hear(&mut self, now_ms: i64) -> bool {
        let mut heard = false;
        for (position, server) in self.servers.iter().enumerate() {
            if let Some(event) = server.poll() {
                heard = true;
                self.engine.handle_event(now_ms, position, event);
            }
        }
        heard
    }

    /// The plugin ends: what is known and not written is written.
    fn save(&mut self, host: Host, peer: PeerHandle) {
        let begun = Instant::now();
        self.engine.handle_stop(monotonic_ms(host));
        while begun.elapsed() < STOPPING {
            let now_ms = monotonic_ms(host);
            if self.perform(host, peer) || self.hear(now_ms) {
                continue;
            }
            if !self.engine.is_writing(now_ms) {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        log::warn!("leases could not be written in time");
    }
}

fn monotonic_ms(host: Host) -> i64 {
    i64::try_from(host.now() / MS).unwrap_or(i64::MAX)
}

/// Never 0, which would be no time at all.
fn ns(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0).saturating_mul(MS).max(1)
}

// chown, dac_override, fowner: files of the servers' accounts; lease: whether a server runs
spared_sdk::export!(Dhcp {
    name: "dhcp",
    summary: "DHCP leases that follow to the other node",
    capabilities: [0, 1, 3, 28],
    flags: FILES | WRITE,
    paths: [
        "/etc/kea",
        "/etc/dnsmasq.conf",
        "/etc/dnsmasq.d",
        "/etc/default",
        "/etc/dhcp",
        "/run/kea",
        "/run/dnsmasq",
        "/run/dhcp-server",
        "/run/dbus",
        "+/var/lib/kea",
        "+/var/lib/dhcp",
        "+/var/lib/dhcpd",
        "+/var/lib/dnsmasq",
        "+/var/lib/misc",
    ],
    wire: (1, 1),
    parts: [roles, transfer, query, peer],
});
