//! Dynamic nftables sets that follow from the active node to the other.
//!
//! This file and `kernel.rs` are all the I/O; `engine` holds what decides, `wire.rs` what the peers
//! say, `nft.rs` what the kernel says. *spared-sets*(5) is the manual of every key.
#![forbid(unsafe_code)]

pub mod config;
pub mod element;
pub mod engine;
pub mod error;
pub mod kernel;
pub mod nft;
pub mod wire;

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use spared_sdk::config::Config;
use spared_sdk::{
    Alarm, Answer, Applied, Error, Host, Interest, Outlet, Peer, PeerHandle, Plugin, Progress,
    Query, Ready, Role, RoleEvent, Roles, Token, Transfer,
};

use config::Settings;
use engine::{Action, Engine};
use kernel::{Event, Found, Kernel};

const TIMER: u32 = 1;
/// The loop has other things to do, too.
const SLICE: Duration = Duration::from_millis(10);
const MS: u64 = 1_000_000;
const USAGE: &str = "usage: sets";

/// The plugin's one instance.
pub struct Sets {
    host: Host,
    peer: PeerHandle,
    settings: Settings,
    /// None until `start`.
    running: Option<Running>,
}

/// What exists between `start` and `stop`.
struct Running {
    engine: Engine,
    kernel: Kernel,
    outlet: Outlet,
    draining: Option<Token>,
    alarm: Alarm,
}

impl Plugin for Sets {
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
            if settings.sets != self.settings.sets {
                return Ok(Applied::Restart);
            }
            running.engine.configure(now_ms, settings.clone());
        }
        self.settings = settings;
        self.act();
        Ok(Applied::Live)
    }

    fn start(&mut self) -> Result<(), Error> {
        let waker = self.host.waker();
        let kernel = Kernel::open(self.settings.sets.clone(), move || waker.wake());
        let kernel = kernel.map_err(Error::kernel("open netlink sockets"))?;
        self.host.watch_fd(kernel.fd(), Interest::READ)?;
        self.running = Some(Running {
            engine: Engine::new(self.now_ms(), self.settings.clone()),
            kernel,
            outlet: Outlet::new(self.peer),
            draining: None,
            alarm: Alarm::new(self.host, TIMER),
        });
        self.act();
        Ok(())
    }

    fn stop(&mut self) -> Result<(), Error> {
        self.host.cancel_timer(TIMER);
        if let Some(running) = self.running.take() {
            self.host.unwatch_fd(running.kernel.fd());
        }
        Ok(())
    }

    fn fd(&mut self, fd: RawFd, _ready: Ready) {
        let now_ms = self.now_ms();
        let Some(running) = &mut self.running else {
            return self.host.unwatch_fd(fd);
        };
        match running.kernel.events() {
            Ok(events) => running.handle_events(now_ms, events),
            Err(error) => {
                log::error!("cannot hear of changes, reading goes on: {error}");
                self.host.unwatch_fd(fd);
            }
        }
        self.act();
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

impl Roles for Sets {
    fn role(&mut self, event: &RoleEvent<'_>, _token: Token) -> Result<Progress, Error> {
        let now_ms = self.now_ms();
        if let Some(running) = &mut self.running {
            let active = event.role == Role::Active;
            running.engine.handle_role(now_ms, event.group, active);
        }
        self.act();
        Ok(Progress::Done)
    }
}

impl Transfer for Sets {
    fn drain(&mut self, token: Token, deadline_ns: u64) -> Result<Progress, Error> {
        let now_ms = self.now_ms();
        let Some(running) = &mut self.running else {
            return Ok(Progress::Done);
        };
        running.engine.handle_drain(now_ms, deadline_ns / MS);
        self.act();
        match &mut self.running {
            Some(running) if !running.is_drained() => {
                running.draining = Some(token);
                Ok(Progress::Pending)
            }
            _ => Ok(Progress::Done),
        }
    }

    // settle: whatever was received is in the kernel already.
}

impl Peer for Sets {
    fn up(&mut self, _wire: u32) {
        if let Some(running) = &mut self.running {
            running.outlet.up();
            running.engine.handle_up();
        }
        self.act();
    }

    fn down(&mut self) {
        if let Some(running) = &mut self.running {
            running.outlet.down();
            running.engine.handle_down();
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

impl Query for Sets {
    fn query(&mut self, argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        let now_ms = self.now_ms();
        let Some(running) = &self.running else {
            return Ok(Progress::Done);
        };
        match argv {
            [] => {}
            ["status"] => answer.text("summary", &running.engine.summary())?,
            _ => return Err(Error::Usage(USAGE.to_owned())),
        }
        answer.rows(running.engine.rows(now_ms))?;
        Ok(Progress::Done)
    }
}

impl Sets {
    fn now_ms(&self) -> u64 {
        self.host.now() / MS
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
            let now_ms = host.now() / MS;
            busy = running.perform(host, peer, now_ms);
            busy |= running.read(now_ms);
            busy |= running.outlet.send(|| running.engine.poll_message(now_ms));
        }
        if running.is_drained() {
            if let Some(token) = running.draining.take() {
                host.done(token, Ok(()));
            }
        }
        let at_ns = match busy {
            true => host.now(),
            false => running.engine.next_timeout().saturating_mul(MS),
        };
        running.alarm.set(Some(at_ns));
    }
}

impl Running {
    fn handle_events(&mut self, now_ms: u64, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Added(set, elements) => self.engine.handle_added(now_ms, set, elements),
                Event::Deleted(set, keys) => self.engine.handle_deleted(now_ms, set, keys),
                Event::Touched(set) => self.engine.handle_touched(now_ms, set),
            }
        }
    }

    /// One action; false where there is none.
    fn perform(&mut self, host: Host, peer: PeerHandle, now_ms: u64) -> bool {
        let Some(action) = self.engine.poll_action() else {
            return false;
        };
        match action {
            Action::Read { set } => self.kernel.read(set),
            Action::Write { set, changes } => {
                let refused = self.kernel.write(set, changes);
                if !refused.is_empty() {
                    self.engine.handle_refused(now_ms, set, refused);
                }
            }
            Action::InSync { yes, why } => {
                if let Err(error) = peer.in_sync(yes, &why) {
                    log::warn!("{error}");
                }
            }
            Action::Warn(text) => log::warn!("{text}"),
            Action::Event(text) => host.event(&text),
        }
        true
    }

    /// One piece of a reading; false where none has come.
    fn read(&mut self, now_ms: u64) -> bool {
        match self.kernel.poll() {
            Some(Found::Shape(set, facts)) => {
                let shape = facts.map(|facts| facts.shape);
                self.engine.handle_shape(now_ms, set, shape);
            }
            Some(Found::Elements(set, elements)) => {
                self.engine.handle_elements(now_ms, set, elements);
            }
            Some(Found::End(set, reading)) => self.engine.handle_read(now_ms, set, reading),
            None => return false,
        }
        true
    }

    fn is_drained(&self) -> bool {
        self.outlet.is_empty() && self.engine.is_drained()
    }
}

spared_sdk::export!(Sets {
    name: "sets",
    summary: "nftables sets that follow to the other node",
    capabilities: [12],
    wire: (1, 1),
    parts: [roles, transfer, query, peer],
});
