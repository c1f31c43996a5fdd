//! Keeps the kernel's connections equal on both nodes, so that a failover has nothing left to write.
//!
//! This file, `io` and `kernel` do all I/O; `engine` decides; `wire` encodes messages between the peers, `codec`
//! messages of the kernel; `config` reads the file. `README.md` explains the design: read it first.
#![forbid(unsafe_code)]

pub mod codec;
pub mod config;
pub mod engine;
pub mod error;
pub mod filter;
pub mod flow;
mod io;
mod kernel;
mod rows;
pub mod wire;

use std::os::fd::RawFd;

use spared_sdk::CauseKind;
use spared_sdk::config::Config;
use spared_sdk::{
    Applied, Error, Host, Interest, InterfaceEvent, Io, OpenSockets, Progress, Ready, Role,
    RoleEvent, Runner, Token,
};

use config::Settings;
use engine::{Action, Engine};
use flow::Flow;
use io::{Reading, warn_of_small_buffer};
use kernel::Kernel;

/// Timer that ends the gathering of notifications.
const LISTEN: u32 = 1;
/// Timer that continues the dump.
const GO_ON: u32 = 2;
/// Interval of checks of everything that causes no event, and the delay of their own timer, so that a timer of the
/// engine can serve for them.
const LOOK_NS: u64 = 1_000_000_000;
const SLACK_NS: u64 = 250_000_000;

/// The plugin: state of its kernel interfaces and of its host.
pub struct Conntrack {
    host: Host,
    settings: Settings,
    kernel: Kernel,
    reading: Reading,
    probes: Vec<Flow>,
    waiting: rows::Waiting,
    /// Time of the next check of everything that causes no event.
    look_at_ns: u64,
}

impl Io for Conntrack {
    type Settings = Settings;
    type Engine = Engine;

    fn read(config: &Config) -> Result<Settings, Error> {
        config::read(config).ok_or(Error::Config(Vec::new()))
    }

    fn start(host: Host, settings: &Settings) -> Result<(Self, Engine), Error> {
        let deaf = kernel::enable_events().err();
        let kernel = Kernel::open(settings.event_buffer)?;
        warn_of_small_buffer(kernel.event_buffer(), settings.event_buffer);
        host.watch_fd(kernel.notifications(), Interest::READ)?;
        host.watch_fd(kernel.address_changes(), Interest::READ)?;
        let mut engine = Engine::new(flow::random_key());
        engine.configure(host.now(), settings.clone());
        if let Some(why) = deaf {
            log::warn!("{why}");
            engine.handle_deaf(why);
        }
        let mut conntrack = Self {
            host,
            settings: settings.clone(),
            kernel,
            reading: Reading::Now,
            probes: Vec::new(),
            waiting: rows::Waiting::default(),
            look_at_ns: host.now().saturating_add(LOOK_NS),
        };
        conntrack.learn_addresses(&mut engine);
        conntrack.follow(&[])?;
        conntrack.look_for_proxies(&mut engine, host.now());
        Ok((conntrack, engine))
    }

    fn configure(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        old: &Settings,
        new: &Settings,
    ) -> Result<Applied, Error> {
        // The buffer belongs to the socket: a new socket would lose pending notifications.
        if new.event_buffer != old.event_buffer {
            return Ok(Applied::Restart);
        }
        self.settings = new.clone();
        self.follow(&old.dynamic_nat)?;
        engine.configure(now_ns, new.clone());
        Ok(Applied::Live)
    }

    fn stop(self, _engine: Engine) {
        self.host.unwatch_fd(self.kernel.notifications());
        self.host.unwatch_fd(self.kernel.address_changes());
        for timer in [LISTEN, GO_ON] {
            self.host.cancel_timer(timer);
        }
    }

    fn fd(&mut self, engine: &mut Engine, now_ns: u64, fd: RawFd, _ready: Ready) {
        if fd == self.kernel.notifications() {
            self.hear(engine, now_ns);
        } else {
            self.learn_addresses(engine);
        }
    }

    fn timer(&mut self, engine: &mut Engine, now_ns: u64, id: u32) {
        match id {
            LISTEN => self.listen(),
            GO_ON => self.read_dump(engine, now_ns),
            _ => {}
        }
    }

    fn handle_timeout(&mut self, engine: &mut Engine, now_ns: u64) {
        engine.handle_timeout(now_ns);
        if now_ns < self.look_at_ns {
            return;
        }
        self.look_at_ns = now_ns.saturating_add(LOOK_NS);
        self.keep_events(engine);
        self.look_for_egress(engine);
        // an earlier read may have failed when they changed
        self.learn_addresses(engine);
        self.look_for_proxies(engine, now_ns);
    }

    fn next_timeout(&self) -> Option<u64> {
        Some(self.look_at_ns.saturating_add(SLACK_NS))
    }

    fn role(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        event: &RoleEvent,
        _token: Token,
    ) -> Result<Progress, Error> {
        let active = event.role == Role::Active;
        if active {
            engine.handle_kernel_timeouts(kernel::timeouts());
        }
        self.learn_addresses(engine);
        engine.handle_role(now_ns, &event.group, active);
        if event.cause.kind == CauseKind::Withdrawn {
            engine.handle_group_gone(&event.group);
        }
        Ok(Progress::Done)
    }

    fn drain(&mut self, engine: &mut Engine, now_ns: u64, _deadline_ns: u64) {
        if !engine.drain(now_ns) {
            self.listen();
            self.hear(engine, now_ns);
        }
    }

    fn changed(
        &mut self,
        engine: &mut Engine,
        _now_ns: u64,
        event: &InterfaceEvent,
        _sockets: &OpenSockets<'_>,
    ) {
        let addresses = event.addresses.iter();
        let addresses = addresses.map(|(address, _)| kernel::bytes_of(*address));
        engine.handle_dynamic_addresses(&event.name, addresses.collect());
    }

    fn perform(&mut self, engine: &mut Engine, now_ns: u64, action: Action) -> Result<(), Error> {
        self.act(engine, now_ns, action)
    }

    fn poll(&mut self, engine: &mut Engine, now_ns: u64) -> bool {
        self.go_on(engine, now_ns)
    }
}

spared_sdk::plugin!(Runner<Conntrack> {
    name: "conntrack",
    summary: "every connection survives a failover",
    capabilities: [net_admin],
    calls: [SOCKETS],
    wire: (1, wire::VERSION),
    parts: [roles, transfer, query, interfaces, peer],
});
