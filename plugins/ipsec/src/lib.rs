//! IPsec tunnels that a failover does not break.
//!
//! This file, `kernel/` and the thread of `vici/` are all the I/O; `engine` holds what decides, `wire.rs`
//! what the peers say, `xfrm/` what the kernel says. *spared-ipsec*(5) is the manual of every key.
#![forbid(unsafe_code)]

mod body;
pub mod config;
pub mod engine;
pub mod error;
pub mod kernel;
pub mod sa;
pub mod vici;
pub mod wire;
pub mod xfrm;

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use spared_sdk::config::Config;
use spared_sdk::{
    Alarm, Answer, Applied, Error, Host, Interest, Outlet, Peer, PeerHandle, Plugin, Progress,
    Query, Ready, Role, RoleEvent, Roles, Token, Transfer,
};

use config::Settings;
use engine::{Action, Engine, XfrmEvent};
use kernel::{Addresses, Found, Kernel};
use vici::{Daemon, ViciEvent};

const TIMER: u32 = 1;
/// The loop has other things to do, too.
const SLICE: Duration = Duration::from_millis(10);
const MS: u64 = 1_000_000;
const USAGE: &str = "usage: sparectl ipsec [status]";
/// CAP_NET_ADMIN for the kernel's tables, CAP_DAC_OVERRIDE for the IKE daemon's socket, which is root's.
const CAP_DAC_OVERRIDE: u32 = 1;
const CAP_NET_ADMIN: u32 = 12;

/// The plugin's one instance.
pub struct Ipsec {
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
    addresses: Addresses,
    daemon: Daemon,
    outlet: Outlet,
    draining: Option<Token>,
    settling: Option<Token>,
    alarm: Alarm,
}

impl Plugin for Ipsec {
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
            if settings.adopt != self.settings.adopt {
                return Ok(Applied::Restart);
            }
            running.engine.configure(now_ms, settings.clone());
        }
        self.settings = settings;
        self.act();
        Ok(Applied::Live)
    }

    fn start(&mut self) -> Result<(), Error> {
        let opened = Error::kernel("open netlink sockets");
        let mut kernel = match Kernel::open() {
            Err(error) if is_absent(&error) => {
                log::warn!("this kernel has no IPsec: no tunnels follow");
                self.say_in_sync();
                return Ok(());
            }
            kernel => kernel.map_err(opened)?,
        };
        if !kernel.has_esp() {
            log::warn!("this kernel has no ESP: no tunnels follow to it");
        }
        let addresses = Addresses::open().map_err(Error::kernel("watch addresses"))?;
        let waker = self.host.waker();
        let socket = self.settings.adopt.socket.clone();
        let daemon = Daemon::start(socket, move || waker.wake());
        for fd in [kernel.fd(), addresses.fd()] {
            self.host.watch_fd(fd, Interest::READ)?;
        }
        self.running = Some(Running {
            engine: Engine::new(self.now_ms(), self.settings.clone()),
            kernel,
            addresses,
            daemon: daemon.map_err(Error::kernel("start a thread"))?,
            outlet: Outlet::new(self.peer),
            draining: None,
            settling: None,
            alarm: Alarm::new(self.host, TIMER),
        });
        self.look_around();
        self.act();
        Ok(())
    }

    fn stop(&mut self) -> Result<(), Error> {
        self.host.cancel_timer(TIMER);
        if let Some(running) = self.running.take() {
            for fd in [running.kernel.fd(), running.addresses.fd()] {
                self.host.unwatch_fd(fd);
            }
            running.daemon.stop();
        }
        Ok(())
    }

    fn fd(&mut self, fd: RawFd, _ready: Ready) {
        let now_ms = self.now_ms();
        let Some(running) = &mut self.running else {
            return self.host.unwatch_fd(fd);
        };
        if fd == running.addresses.fd() {
            self.look_around();
        } else if let Err(error) = running.hear(now_ms) {
            log::error!("cannot hear of changes, reading goes on: {error}");
            self.host.unwatch_fd(fd);
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
        let now_ms = self.now_ms();
        if let Some(running) = &mut self.running {
            running.hear_daemon(now_ms);
        }
        self.act();
    }
}

impl Roles for Ipsec {
    fn role(&mut self, event: &RoleEvent<'_>, _token: Token) -> Result<Progress, Error> {
        let now_ms = self.now_ms();
        self.look_around();
        if let Some(running) = &mut self.running {
            let active = event.role == Role::Active;
            running.engine.handle_role(now_ms, event.group, active);
        }
        self.act();
        Ok(Progress::Done)
    }
}

impl Transfer for Ipsec {
    fn drain(&mut self, token: Token, deadline_ns: u64) -> Result<Progress, Error> {
        let now_ms = self.now_ms();
        if let Some(running) = &mut self.running {
            running.engine.handle_drain(now_ms, deadline_ns / MS);
        }
        self.act();
        match &mut self.running {
            Some(running) if !running.is_drained() => {
                running.draining = Some(token);
                Ok(Progress::Pending)
            }
            _ => Ok(Progress::Done),
        }
    }

    fn settle(&mut self, token: Token, _deadline_ns: u64) -> Result<Progress, Error> {
        let now_ms = self.now_ms();
        if let Some(running) = &mut self.running {
            // of its own deletions, before the same is put there again
            if let Err(error) = running.hear(now_ms) {
                log::warn!("cannot hear of changes: {error}");
            }
            running.engine.handle_settle(now_ms);
        }
        self.act();
        match &mut self.running {
            Some(running) if !running.engine.is_settled(now_ms) => {
                running.settling = Some(token);
                Ok(Progress::Pending)
            }
            _ => Ok(Progress::Done),
        }
    }
}

impl Peer for Ipsec {
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

impl Query for Ipsec {
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

impl Ipsec {
    fn now_ms(&self) -> u64 {
        self.host.now() / MS
    }

    /// Nothing can follow, so nothing is missing.
    fn say_in_sync(&self) {
        if let Err(error) = self.peer.in_sync(true, "") {
            log::warn!("{error}");
        }
    }

    /// Which addresses are spared's.
    fn look_around(&mut self) {
        let now_ms = self.now_ms();
        if let Some(running) = &mut self.running {
            if let Some(addresses) = running.addresses.read() {
                running.engine.handle_endpoints(now_ms, addresses);
            }
        }
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
        running.answer(host, host.now() / MS);
        let at_ns = match busy {
            true => host.now(),
            false => running.engine.next_timeout().saturating_mul(MS),
        };
        running.alarm.set(Some(at_ns));
    }
}

impl Running {
    /// One action; false where there is none.
    fn perform(&mut self, host: Host, peer: PeerHandle, now_ms: u64) -> bool {
        let Some(action) = self.engine.poll_action() else {
            return false;
        };
        match action {
            Action::Read => self.begin_reading(now_ms),
            Action::Apply(changes) => {
                let refused = self.kernel.apply(&changes);
                self.engine.handle_applied(now_ms, &changes, &refused);
            }
            Action::InSync { yes, why } => {
                if let Err(error) = peer.in_sync(yes, &why) {
                    log::warn!("{error}");
                }
            }
            Action::Warn(text) => log::warn!("{text}"),
            Action::Event(text) => host.event(&text),
            Action::Adopt(names, known) => self.daemon.adopt(names, known),
            Action::Forget => self.daemon.forget(),
            Action::Greet => self.daemon.greet(),
        }
        true
    }

    fn begin_reading(&mut self, now_ms: u64) {
        if let Err(error) = self.kernel.read() {
            log::warn!("cannot read the kernel's tunnels: {error}");
            self.engine.handle_read(now_ms, false);
        }
    }

    /// One piece of a reading; false where none goes on.
    fn read(&mut self, now_ms: u64) -> bool {
        match self.kernel.poll() {
            Some(Found::Entries(entries)) => self.see(now_ms, entries),
            Some(Found::End(complete)) => self.engine.handle_read(now_ms, complete),
            None => return false,
        }
        true
    }

    fn hear(&mut self, now_ms: u64) -> std::io::Result<()> {
        let seen = self.kernel.events()?;
        self.see(now_ms, seen);
        Ok(())
    }

    fn see(&mut self, now_ms: u64, seen: Vec<XfrmEvent>) {
        for seen in seen {
            self.engine.handle_seen(now_ms, seen);
        }
    }

    fn hear_daemon(&mut self, now_ms: u64) {
        while let Some(said) = self.daemon.poll() {
            match said {
                ViciEvent::Names(names) => self.engine.handle_names(now_ms, names),
                ViciEvent::Adopted(name, result) => {
                    self.engine.handle_adopted(now_ms, &name, result);
                }
                ViciEvent::Daemon(word) => self.engine.handle_daemon(now_ms, word),
                ViciEvent::Note(text) => log::info!("{text}"),
            }
        }
    }

    /// Ends what waited.
    fn answer(&mut self, host: Host, now_ms: u64) {
        if self.is_drained() {
            if let Some(token) = self.draining.take() {
                host.done(token, Ok(()));
            }
        }
        if self.engine.is_settled(now_ms) {
            if let Some(token) = self.settling.take() {
                host.done(token, Ok(()));
            }
        }
    }

    fn is_drained(&self) -> bool {
        self.outlet.is_empty() && self.engine.is_drained()
    }
}

/// The kernel has no netlink of IPsec.
fn is_absent(error: &std::io::Error) -> bool {
    const EPROTONOSUPPORT: i32 = 93;
    error.raw_os_error() == Some(EPROTONOSUPPORT)
}

spared_sdk::export!(Ipsec {
    name: "ipsec",
    summary: "IPsec tunnels that a failover does not break",
    capabilities: [CAP_DAC_OVERRIDE, CAP_NET_ADMIN],
    wire: (1, 1),
    parts: [roles, transfer, query, peer],
});
