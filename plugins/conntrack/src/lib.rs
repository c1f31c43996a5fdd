//! Keeps the kernel's connections equal on both nodes, so that a failover commits nothing.
//!
//! This file and `kernel` are all the I/O; `engine` holds what decides, `wire` the bytes between
//! the peers, `ctnetlink` those of the kernel, `config` the file. `README.md` is the manual.
#![forbid(unsafe_code)]

mod act;
pub mod config;
pub mod ctnetlink;
pub mod engine;
pub mod error;
pub mod filter;
pub mod flow;
mod kernel;
mod rows;
pub mod wire;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::RawFd;

use spared_sdk::config::Config;
use spared_sdk::{
    Alarm, Answer, Applied, Error, Host, Interest, InterfaceEvent, Interfaces, Peer, PeerHandle,
    Plugin, Progress, Query, Ready, Role, RoleEvent, Roles, Sockets, Token, Transfer,
};

use config::Settings;
use engine::Engine;
use flow::Flow;
use kernel::Kernel;

const TIMER: u32 = 1;
/// Notifications are gathered until then.
const LISTEN: u32 = 2;
/// The dump goes on.
const GO_ON: u32 = 3;

/// Transparent proxies are looked for.
const PROXIES: u32 = 4;
const PROXIES_EVERY_NS: u64 = 1_000_000_000;
/// A dump is read for so long at one go.
const SLICE_NS: u64 = 2_000_000;

const CAP_NET_ADMIN: u64 = 12;

/// The plugin's one instance.
pub struct Conntrack {
    host: Host,
    peer: PeerHandle,
    settings: Settings,
    /// None until `start`.
    running: Option<Running>,
    draining: Option<Token>,
    comparing: Option<Answer>,
}

/// What exists between `start` and `stop`.
struct Running {
    engine: Engine,
    kernel: Kernel,
    listening: Listening,
    alarm: Alarm,
    probes: Vec<Flow>,
}

/// Whether notifications are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listening {
    Now,
    /// They gather until a timer.
    Later,
    /// They wait in the kernel until the channel takes more.
    Congested,
}

impl Plugin for Conntrack {
    type Settings = Settings;

    fn create(host: Host) -> Result<Self, Error> {
        let peer = host.peer().ok_or_else(|| {
            Error::Plugin("this host has no spared.peer/1: nobody to keep equal with".to_owned())
        })?;
        Ok(Self {
            host,
            peer,
            settings: Settings::default(),
            running: None,
            draining: None,
            comparing: None,
        })
    }

    fn read(config: &Config) -> Result<Settings, Error> {
        config::read(config).ok_or(Error::Config(Vec::new()))
    }

    fn configure(&mut self, settings: Settings) -> Result<Applied, Error> {
        // The kernel's buffer belongs to a socket whose notifications would be lost.
        if self.running.is_some() && settings.event_buffer != self.settings.event_buffer {
            return Ok(Applied::Restart);
        }
        let old = std::mem::replace(&mut self.settings, settings);
        if self.running.is_some() {
            self.follow(&old.dynamic_nat)?;
            let now_ns = self.host.now();
            if let Some(running) = &mut self.running {
                running.engine.configure(now_ns, self.settings.clone());
            }
            self.act();
        }
        Ok(Applied::Live)
    }

    fn start(&mut self) -> Result<(), Error> {
        if let Err(why) = kernel::enable_events() {
            log::warn!("{why}");
        }
        let kernel = Kernel::open(self.settings.event_buffer)?;
        warn_of_small_buffer(kernel.event_buffer(), self.settings.event_buffer);
        let mut engine = Engine::new(random_key());
        engine.configure(self.host.now(), self.settings.clone());
        self.host.watch_fd(kernel.notifications(), Interest::READ)?;
        self.host
            .watch_fd(kernel.address_changes(), Interest::READ)?;
        self.running = Some(Running {
            engine,
            kernel,
            listening: Listening::Now,
            alarm: Alarm::new(self.host, TIMER),
            probes: Vec::new(),
        });
        self.learn_addresses();
        self.follow(&[])?;
        self.look_for_proxies();
        self.act();
        Ok(())
    }

    fn stop(&mut self) -> Result<(), Error> {
        if let Some(running) = self.running.take() {
            self.host.unwatch_fd(running.kernel.notifications());
            self.host.unwatch_fd(running.kernel.address_changes());
        }
        for timer in [TIMER, LISTEN, GO_ON, PROXIES] {
            self.host.cancel_timer(timer);
        }
        Ok(())
    }

    fn fd(&mut self, fd: RawFd, _ready: Ready) {
        match &self.running {
            Some(running) if fd == running.kernel.notifications() => self.hear(),
            Some(_) => self.learn_addresses(),
            None => self.host.unwatch_fd(fd),
        }
        self.act();
    }

    fn timer(&mut self, id: u32) {
        let now_ns = self.host.now();
        if let Some(running) = &mut self.running {
            match id {
                LISTEN | PROXIES => {}
                GO_ON => running.read_dump(self.host, now_ns + SLICE_NS),
                _ => {
                    running.alarm.fired();
                    running.engine.handle_timeout(now_ns);
                }
            }
        }
        match id {
            LISTEN => self.listen(),
            PROXIES => self.look_for_proxies(),
            _ => {}
        }
        self.act();
    }
}

impl Peer for Conntrack {
    fn up(&mut self, _wire: u32) {
        self.with_engine(Engine::handle_up);
    }

    fn down(&mut self) {
        self.with_engine(Engine::handle_down);
    }

    fn message(&mut self, message: &[u8]) {
        self.with_engine(|engine, now_ns| engine.handle_message(now_ns, message));
    }

    fn writable(&mut self) {
        self.act();
    }
}

impl Transfer for Conntrack {
    fn drain(&mut self, token: Token, _deadline_ns: u64) -> Result<Progress, Error> {
        let now_ns = self.host.now();
        let Some(running) = &mut self.running else {
            return Ok(Progress::Done);
        };
        if running.engine.drain(now_ns) {
            return Ok(Progress::Done);
        }
        self.draining = Some(token);
        self.listen();
        self.hear();
        self.act();
        Ok(Progress::Pending)
    }

    fn settle(&mut self, _token: Token, _deadline_ns: u64) -> Result<Progress, Error> {
        // Each message is in the kernel before the next one is taken.
        Ok(Progress::Done)
    }
}

impl Roles for Conntrack {
    fn role(&mut self, event: &RoleEvent<'_>, _token: Token) -> Result<Progress, Error> {
        let active = event.role == Role::Active;
        if let Some(running) = self.running.as_mut().filter(|_| active) {
            running.engine.handle_timeouts(kernel::timeouts());
        }
        self.learn_addresses();
        self.with_engine(|engine, now_ns| engine.handle_role(now_ns, event.group, active));
        Ok(Progress::Done)
    }
}

impl Interfaces for Conntrack {
    fn changed(&mut self, event: &InterfaceEvent<'_>) {
        let addresses = event.addresses.iter();
        let addresses = addresses
            .map(|(address, _)| kernel::bytes_of(*address))
            .collect();
        self.with_engine(|engine, _| engine.handle_dynamic_addresses(&event.name, addresses));
    }
}

impl Query for Conntrack {
    fn query(&mut self, argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        let now_ns = self.host.now();
        let Some(running) = &mut self.running else {
            return Ok(Progress::Done);
        };
        let counts = running.kernel.counts();
        if let Some((flows, limit)) = counts {
            running.engine.counters.kernel_flows = Some(flows);
            running.engine.counters.kernel_limit = limit;
        }
        match argv {
            ["status"] => answer.text("summary", &running.engine.summary())?,
            [] => {
                running.engine.counters.measure(now_ns);
                answer.rows(running.engine.rows(now_ns))?;
            }
            ["resync"] => {
                running.engine.request_resync(now_ns);
                running.engine.handle_timeout(now_ns);
                self.act();
            }
            ["diff"] => {
                let begun = running.engine.compare(now_ns);
                begun.map_err(|why| Error::Plugin(why.to_owned()))?;
                self.comparing = Some(answer.later());
                self.act();
                return Ok(Progress::Pending);
            }
            _ => return Err(Error::Usage(rows::USAGE.to_owned())),
        }
        Ok(Progress::Done)
    }
}

impl Running {
    fn may_listen_again(&self) -> bool {
        self.listening == Listening::Congested && !self.engine.is_congested()
    }

    fn read_dump(&mut self, host: Host, until_ns: u64) {
        let (kernel, engine) = (&mut self.kernel, &mut self.engine);
        let mut now_ns = host.now();
        while kernel.is_dumping() && engine.wants_more() && now_ns < until_ns {
            kernel.read_dump(now_ns, engine);
            now_ns = host.now();
        }
    }
}

impl Conntrack {
    fn with_engine(&mut self, input: impl FnOnce(&mut Engine, u64)) {
        let now_ns = self.host.now();
        if let Some(running) = &mut self.running {
            input(&mut running.engine, now_ns);
        }
        self.act();
    }

    /// Follows the interfaces of `dynamic_nat`, and no longer those that were.
    fn follow(&self, before: &[String]) -> Result<(), Error> {
        let Some(interfaces) = self.host.interfaces() else {
            return Ok(());
        };
        let wanted = &self.settings.dynamic_nat;
        for name in before.iter().filter(|name| !wanted.contains(name)) {
            interfaces.unfollow(name)?;
        }
        for name in wanted.iter().filter(|name| !before.contains(name)) {
            interfaces.follow(name, Sockets::NONE)?;
        }
        Ok(())
    }

    fn learn_addresses(&mut self) {
        if let Some(running) = &mut self.running {
            if let Some(own) = running.kernel.own_addresses() {
                running.engine.handle_own_addresses(own);
            }
        }
    }

    fn look_for_proxies(&mut self) {
        let now_ns = self.host.now();
        let proxied = self.settings.filter.proxied;
        if let Some(running) = self
            .running
            .as_mut()
            .filter(|it| !proxied && it.engine.listens())
        {
            if let Some(taken) = running.kernel.taken() {
                running.engine.handle_taken(now_ns, taken);
            }
        }
        let _ = self.host.timer(PROXIES, now_ns + PROXIES_EVERY_NS);
    }
}

/// So that nobody outside can make flows whose hashes meet.
fn random_key() -> flow::Key {
    let random = || RandomState::new().build_hasher().finish();
    [random(), random()]
}

fn warn_of_small_buffer(got: usize, wanted: usize) {
    // the kernel doubles what it is asked for, and says so
    if got / 2 < wanted {
        log::warn!(
            "the kernel's buffer for events is {} KiB of {}: without CAP_NET_ADMIN it is \
             net.core.rmem_max; bursts cost a resync",
            got / 2048,
            wanted / 1024
        );
    }
}

spared_sdk::export!(Conntrack {
    name: "conntrack",
    summary: "every connection survives a failover",
    capabilities: [CAP_NET_ADMIN],
    wire: (1, 1),
    parts: [roles, transfer, query, interfaces, peer],
});
