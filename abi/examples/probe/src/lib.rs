//! Does what a test tells it by queries, and says what came of it in rows: for the tests of the worker, as
//! `host/process/tests/plugins/probe.c` is one in C.

mod words;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use spared_sdk::config::{self, Config};
use spared_sdk::{
    Answer, Applied, Directive, Documents, Error, Groups, Host, Identity, Interest, InterfaceEvent,
    Interfaces, OpenSockets, Peer, Plugin, Progress, Query, Ready, RoleEvent, Roles, Sockets,
    Token, Transfer, Verb,
};

/// Keys of the file.
pub struct Settings {
    state_dir: Option<String>,
    follow: Option<String>,
    slow_start_ms: Option<u64>,
    slow_stop_ms: Option<u64>,
    hangs_in_stop: bool,
    restarts: bool,
}

/// Calls that it has seen.
#[derive(Default)]
struct Seen {
    timers: u64,
    woken: u64,
    fds: u64,
    bytes: u64,
    changes: u64,
    directives: u64,
    event: String,
    directive: String,
    order: String,
    messages: u64,
    message_bytes: u64,
    faults: u64,
    settled_at: u64,
    writables: u64,
    peer: String,
    proof: String,
}

impl Seen {
    fn note(&mut self, what: &str) {
        if self.order.len() + what.len() < 254 {
            self.order.push_str(what);
            self.order.push(' ');
        }
    }
}

/// The plugin.
pub struct Probe {
    host: Host,
    settings: Option<Settings>,
    seen: Seen,
    slow: Option<Token>,
    pending_role: Option<Token>,
    pending_answer: Option<Answer>,
    to_send: u64,
    sent: u64,
    send_bytes: usize,
    nap: Duration,
    thread: Option<JoinHandle<()>>,
    pipe: Option<(OwnedFd, OwnedFd)>,
}

impl Plugin for Probe {
    type Settings = Settings;

    fn create(host: Host) -> Result<Self, Error> {
        Ok(Self {
            host,
            settings: None,
            seen: Seen::default(),
            slow: None,
            pending_role: None,
            pending_answer: None,
            to_send: 0,
            sent: 0,
            send_bytes: 0,
            nap: Duration::ZERO,
            thread: None,
            pipe: None,
        })
    }

    fn read(file: &Config) -> Result<Settings, Error> {
        let root = file.root();
        let number = |key: &str| root.integer(key, 0..=100_000);
        if number("wrong").is_some() {
            root.fault("wrong", "found a value, allowed none");
            root.fault("group.0.name", "missing");
        }
        if number("panic_in_read").is_some() {
            panic!("as it was told");
        }
        if number("hang_in_check").is_some() {
            loop {
                thread::park();
            }
        }
        if number("scope").is_some() {
            root.text(config::node("server_interface"));
            root.text(config::local("server_secret"));
        }
        Ok(Settings {
            state_dir: root.text("state_dir"),
            follow: root.text("follow"),
            slow_start_ms: number("slow_start"),
            slow_stop_ms: number("slow_stop"),
            hangs_in_stop: number("hang_in_stop").is_some(),
            restarts: number("restart").is_some(),
        })
    }

    fn configure(&mut self, settings: Settings) -> Result<Applied, Error> {
        if settings.restarts {
            return Ok(Applied::Restart);
        }
        let follow = settings.follow.clone();
        self.settings = Some(settings);
        if let Some(name) = follow {
            self.host.interfaces().follow(&name, Sockets::NONE)?;
        }
        Ok(Applied::Live)
    }

    fn start(&mut self, token: Token) -> Result<Progress, Error> {
        self.seen.note("start");
        let delay_ms = self.settings.as_ref().and_then(|it| it.slow_start_ms);
        self.later(delay_ms, token)
    }

    fn stop(&mut self, token: Token) -> Result<Progress, Error> {
        self.touch("stopped");
        let settings = self.settings.as_ref();
        if settings.is_some_and(|it| it.hangs_in_stop) {
            loop {
                thread::park();
            }
        }
        self.later(settings.and_then(|it| it.slow_stop_ms), token)
    }

    fn fd(&mut self, fd: RawFd, _ready: Ready) {
        self.seen.note("fd");
        self.seen.fds += 1;
        let mut buffer = [0; 64];
        // SAFETY: it is watched, and stays open while it is.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        match rustix::io::read(borrowed, &mut buffer) {
            Ok(0) | Err(_) => self.host.unwatch_fd(fd),
            Ok(length) => self.seen.bytes += length as u64,
        }
    }

    fn timer(&mut self, id: u32) {
        self.seen.note("timer");
        self.seen.timers += 1;
        match id {
            555 => {
                if let Some(token) = self.slow.take() {
                    self.host.done(token, Ok(()));
                }
            }
            667 => thread::sleep(Duration::from_millis(60)),
            999 => panic!("as it was told"),
            _ => {}
        }
    }

    fn woken(&mut self) {
        self.seen.note("woken");
        self.seen.woken += 1;
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.touch("destroyed");
    }
}

impl Roles for Probe {
    fn role(&mut self, event: &RoleEvent, token: Token) -> Result<Progress, Error> {
        match event.group.as_str() {
            "pend" => {
                self.pending_role = Some(token);
                return Ok(Progress::Pending);
            }
            "early" => {
                self.host.done(token, Ok(()));
                return Ok(Progress::Pending);
            }
            _ => {}
        }
        match event.role {
            spared_sdk::Role::Fault => Err(errno(5)),
            _ => Ok(Progress::Done),
        }
    }
}

impl Transfer for Probe {
    fn settle(&mut self, _token: Token, _deadline_ns: u64) -> Result<Progress, Error> {
        self.seen.note("settle");
        self.seen.settled_at = self.seen.messages;
        Ok(Progress::Done)
    }
}

impl Query for Probe {
    const VERBS: &'static [Verb] = &[
        Verb::asks(
            c"in-sync",
            c"YES WHY",
            c"reports that the peer is in sync, or not",
        ),
        Verb::asks(c"state", c"", c"shows what it has seen"),
    ];

    fn query(&mut self, argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        self.told(argv, answer)
    }
}

/// Flags as a number, the first as its lowest bit.
fn bits(flags: &[bool]) -> u32 {
    let bits = flags.iter().zip(0..).map(|(it, at)| u32::from(*it) << at);
    bits.sum()
}

impl Interfaces for Probe {
    fn changed(&mut self, event: &InterfaceEvent, sockets: &OpenSockets<'_>) {
        self.seen.note("changed");
        self.seen.changes += 1;
        self.seen.event = format!(
            "{} flags {} index {} mtu {} mac {:02x} addresses {} sockets {}",
            event.name,
            bits(&[event.present, event.up, event.carrier]),
            event.index,
            event.mtu,
            event.mac[5],
            event.addresses.len(),
            event.sockets.len()
        );
        if let Some(socket) = event.sockets.first().and_then(|it| sockets.get(*it)) {
            self.watch(socket);
        }
    }
}

impl Groups for Probe {
    fn directive(&mut self, directive: &Directive) {
        self.seen.directives += 1;
        let it = directive;
        let flags = bits(&[
            it.eligible,
            it.maintenance,
            it.resign,
            it.peer_quality.is_some(),
            it.joining,
            it.ready,
            it.frozen,
            it.release,
            it.prepared,
            it.held,
        ]);
        self.seen.directive = format!(
            "{} {flags} {} {} {} {}",
            it.group,
            it.quality,
            it.peer_quality.unwrap_or(0),
            it.forced.to_raw(),
            it.why
        );
    }
}

impl Peer for Probe {
    fn up(&mut self, wire: u32) {
        self.seen.note("up");
        self.seen.peer = format!("up {wire}");
    }

    fn down(&mut self) {
        self.seen.note("down");
        self.seen.peer = "down".to_owned();
    }

    // Each message of the test's begins with its number, counted from 0.
    fn message(&mut self, message: &[u8]) {
        match message.first_chunk() {
            Some(number) if u64::from_le_bytes(*number) != self.seen.messages => {
                self.seen.faults += 1;
            }
            None if !message.is_empty() => self.seen.note("short"),
            _ => {}
        }
        self.seen.messages += 1;
        self.seen.message_bytes += message.len() as u64;
        if !self.nap.is_zero() {
            thread::sleep(self.nap);
        }
    }

    fn writable(&mut self) {
        self.seen.writables += 1;
        let _ = self.send_more();
    }
}

impl Identity for Probe {
    fn signed(&mut self, ticket: u64, signature: &[u8]) {
        let first = signature.first().copied().unwrap_or_default();
        self.seen.proof = format!("signature {ticket}: {} bytes of {first}", signature.len());
    }

    fn verified(&mut self, ticket: u64, genuine: bool) {
        self.seen.proof = format!("verified {ticket}: {}", u32::from(genuine));
    }
}

impl Documents for Probe {
    fn document(&mut self, ticket: u64, document: Result<&str, Error>) {
        let status = match &document {
            Ok(_) => 0,
            Err(Error::Host { errno, .. }) => -*errno,
            Err(_) => -1,
        };
        let text = document.unwrap_or_default();
        let last = text.chars().last().map(String::from).unwrap_or_default();
        let length = text.len();
        log::info!("document {ticket}: status {status}, {length} bytes, the last {last}");
    }
}

impl Probe {
    /// With a delay, done() follows after so many ms; 0: never.
    fn later(&mut self, delay_ms: Option<u64>, token: Token) -> Result<Progress, Error> {
        let Some(delay_ms) = delay_ms else {
            return Ok(Progress::Done);
        };
        self.slow = Some(token);
        if delay_ms > 0 {
            self.host
                .timer(555, self.host.now() + delay_ms * 1_000_000)?;
        }
        Ok(Progress::Pending)
    }

    fn touch(&self, name: &str) {
        let folder = self.settings.as_ref().and_then(|it| it.state_dir.as_ref());
        if let Some(folder) = folder {
            let _ = std::fs::write(PathBuf::from(folder).join(name), "");
        }
    }

    fn watch(&self, socket: BorrowedFd<'_>) {
        let _ = self.host.watch_fd(socket.as_raw_fd(), Interest::READ);
    }

    /// A descriptor and a timer that are due at once.
    fn make_both_due(&mut self) -> Result<(), Error> {
        let (reader, writer) = rustix::pipe::pipe().map_err(Error::kernel("make a pipe"))?;
        rustix::io::write(&writer, b"x").map_err(Error::kernel("write"))?;
        self.host.timer(1, self.host.now())?;
        self.seen.order.clear();
        self.watch(reader.as_fd());
        self.pipe = Some((reader, writer));
        Ok(())
    }
}

/// An error with this number.
fn errno(errno: i32) -> Error {
    Error::Host {
        tried: "do as it was told".to_owned(),
        errno,
    }
}

spared_sdk::plugin!(Probe {
    name: "probe",
    summary: "does what it is told",
    vendor: "tests",
    capabilities: [net_bind_service],
    flags: REALTIME,
    wire: (1, 2),
    parts: [
        roles, transfer, query, interfaces, groups, peer, identity, documents
    ],
});
