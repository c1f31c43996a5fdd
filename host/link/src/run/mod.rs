//! Runs `spared link`: one loop over the host's socket, the workers' channels and the paths.

mod host;
mod identity;
mod peering;
mod trust;
mod workers;

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use rustix::time::ClockId;
use spared_contract::LogLevel;
use spared_process::child;
use spared_process::child::SOCKET_FD;
use spared_records::ReceiveError;
use spared_records::monotonic::{nanoseconds, now_ns};

use crate::message::{FromLink, Setup, ToLink};
use crate::path::Source;
use crate::session::{Now, Wire};
use host::Host;
use peering::Peering;
use workers::Workers;

/// Interval of reports on the state of the link.
const STATE_NS: u64 = 1_000_000_000;
/// Wait of the loop while a timeout stays overdue, as on a path that accepts no data.
const LOOK_NS: u64 = 10_000_000;
/// Size of encrypted data that is read at once, in bytes.
const SCRATCH_BYTES: usize = 256 << 10;
/// Maximum number of messages of the host that are handled in one turn.
const HOST_BUDGET: usize = 64;

/// Exit code if the process was not started by the host: sysexits' EX_USAGE.
const EXIT_USAGE: u8 = 64;
/// Exit code if the host sends invalid messages or does not read: sysexits' EX_SOFTWARE.
const EXIT_BROKEN: u8 = 70;

/// Runs until the host ends. Its socket is descriptor 3.
pub fn run() -> ExitCode {
    let Some(socket) = child::inherited_socket() else {
        eprintln!("spared link is started by spared starter, not by hand");
        return ExitCode::from(EXIT_USAGE);
    };
    child::close_from(SOCKET_FD + 1);
    die_with_the_host();
    let missed = spared_process::worker::confine_without_plugin("link");
    // Dropping privileges clears the signal.
    die_with_the_host();
    let mut link = Link::new(socket);
    if !missed.is_empty() {
        let text = format!("the link is confined, but without: {}", missed.join(", "));
        link.host.log(LogLevel::Warn, text);
    }
    loop {
        match link.turn() {
            Ok(()) => {}
            Err(End::HostIsGone) => return ExitCode::SUCCESS,
            Err(End::Broken(why)) => {
                eprintln!("spared link: {why}");
                return ExitCode::from(EXIT_BROKEN);
            }
        }
    }
}

fn die_with_the_host() {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
}

/// Reason why the process ends.
#[derive(Debug)]
enum End {
    HostIsGone,
    Broken(String),
}

#[derive(Debug)]
struct Link {
    host: Host,
    /// None until the host has sent the configuration.
    peering: Option<Peering>,
    workers: Workers,
    scratch: Box<[u8]>,
    state_at_ns: u64,
    /// Paths that were silent when the state was last reported.
    silent: Vec<usize>,
    /// Value of the last report: true if the peer's machine answers a ping.
    answers_ping: Option<bool>,
    /// True if a path has more data to send than one turn handled.
    hurried: bool,
}

/// Result of one poll of the descriptors.
enum Ready {
    Host,
    Worker(String, bool, bool),
    /// The worker has closed its end.
    WorkerGone(String),
    Path(usize, (Source, bool, bool)),
}

fn now() -> Now {
    Now {
        ns: now_ns(),
        wall_us: nanoseconds(ClockId::Realtime) / 1000,
    }
}

impl Link {
    fn new(socket: OwnedFd) -> Self {
        Self {
            host: Host::new(socket),
            peering: None,
            workers: Workers::default(),
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            state_at_ns: 0,
            silent: Vec::new(),
            answers_ping: None,
            hurried: false,
        }
    }

    fn turn(&mut self) -> Result<(), End> {
        let ready = self.wait()?;
        let now = now();
        let mut is_alone = false;
        for what in ready {
            match self.handle_ready(now, what) {
                // the host's last words are still to be sent
                Err(End::HostIsGone) => is_alone = true,
                handled => handled?,
            }
        }
        self.hurried = false;
        if let Some(peering) = &mut self.peering {
            peering.handle_timeout(now);
            let events = peering.drain_events(&mut self.host, now);
            self.workers.deliver(&mut peering.session, now);
            self.hurried = peering.transmit(now);
            let changed = peering.drain_events(&mut self.host, now) || events;
            let silent = peering.session.silent_paths(now);
            let answers_ping = peering.answers_ping(now);
            let changed = changed || silent != self.silent || answers_ping != self.answers_ping;
            if changed || now.ns >= self.state_at_ns {
                (self.silent, self.answers_ping) = (silent, answers_ping);
                self.state_at_ns = now.ns + STATE_NS;
                self.host.tell_state(peering.state(now));
            }
        }
        if is_alone {
            return Err(End::HostIsGone);
        }
        self.host.flush()
    }

    fn handle_ready(&mut self, now: Now, what: Ready) -> Result<(), End> {
        match (what, &mut self.peering) {
            (Ready::Host, _) => return self.read_host(now),
            (Ready::Worker(name, reads, writes), Some(peering)) => {
                self.workers
                    .handle_ready(peering, now, &name, reads, writes);
            }
            (Ready::WorkerGone(name), Some(peering)) => {
                self.workers.read_all(peering, now, &name);
            }
            (Ready::Path(index, ready), Some(peering)) => {
                peering.handle_ready(now, &mut self.scratch, index, ready);
            }
            (_, None) => {}
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<Vec<Ready>, End> {
        let mut keys = vec![Ready::Host];
        let host_flags = |writes| {
            if writes {
                PollFlags::IN | PollFlags::OUT
            } else {
                PollFlags::IN
            }
        };
        let mut fds = vec![PollFd::from_borrowed_fd(
            self.host.as_fd(),
            host_flags(self.host.is_blocked()),
        )];
        let mut watch = |key, fd, reads: bool, writes: bool| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, reads);
            flags.set(PollFlags::OUT, writes);
            keys.push(key);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        };
        let mut next_ns = None;
        if let Some(peering) = &self.peering {
            for (name, fd, writes) in self.workers.sources() {
                let reads = peering.session.wants(name);
                watch(
                    Ready::Worker(name.to_owned(), false, false),
                    fd,
                    reads,
                    writes,
                );
            }
            let hears = !self.host.is_behind();
            for (index, path) in peering.paths.iter().enumerate() {
                // Sources are in reverse order, because handling one may move those after it.
                for (source, fd, reads, writes) in path.sources().into_iter().rev() {
                    watch(
                        Ready::Path(index, (source, false, false)),
                        fd,
                        reads && hears,
                        writes,
                    );
                }
            }
            next_ns = Some(peering.next_timeout(now()).min(self.state_at_ns));
        }
        let timeout = if self.hurried {
            Some(0)
        } else {
            next_ns.map(wait_ns)
        };
        let timeout = timeout.and_then(|ns| Timespec::try_from(Duration::from_nanos(ns)).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(End::Broken(format!("cannot wait: {errno}"))),
        }
        let found: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        Ok(keys
            .into_iter()
            .zip(found)
            .filter(|(_, found)| !found.is_empty())
            .map(|(key, found)| key.with(found))
            .collect())
    }

    // ---- the host

    fn read_host(&mut self, now: Now) -> Result<(), End> {
        for _ in 0..HOST_BUDGET {
            let (message, descriptors) = match self.host.receive() {
                Ok(Some(received)) => received,
                Ok(None) => return Ok(()),
                Err(ReceiveError::Closed) => return Err(End::HostIsGone),
                Err(error) => return Err(End::Broken(error.to_string())),
            };
            self.handle_message(now, message, descriptors.into_iter().next())?;
        }
        Ok(())
    }

    fn handle_message(
        &mut self,
        now: Now,
        message: ToLink,
        descriptor: Option<OwnedFd>,
    ) -> Result<(), End> {
        if let ToLink::Ping { number } = message {
            self.host.tell(&FromLink::Pong { number });
            return Ok(());
        }
        if let ToLink::Configure(setup) = message {
            return self.configure(now, *setup);
        }
        let Some(peering) = &mut self.peering else {
            return Err(End::Broken(
                "the daemon did not send the configuration first".to_owned(),
            ));
        };
        match message {
            ToLink::Path { index, usable, mtu } => {
                if let Some(path) = peering.paths.get_mut(index) {
                    path.set_usable(&mut peering.session, now, usable, mtu, descriptor);
                }
            }
            ToLink::Channel {
                plugin,
                speaks,
                wire_min,
                wire_max,
            } => {
                if let Some(socket) = descriptor {
                    let wire = Wire {
                        min: wire_min,
                        max: wire_max,
                    };
                    if speaks {
                        peering.session.set_channel(&plugin, wire);
                    }
                    self.workers.insert(plugin, socket);
                }
            }
            ToLink::NoChannel { plugin } => {
                self.workers.remove(&plugin);
                peering.session.remove_channel(&plugin);
            }
            ToLink::Say(word) => peering.session.say(&word),
            ToLink::Mark { id, channels } => {
                for plugin in channels {
                    self.workers.read_all(peering, now, &plugin);
                    peering.session.mark(id, &plugin);
                }
            }
            ToLink::Configure(_) | ToLink::Ping { .. } => {}
        }
        Ok(())
    }

    fn configure(&mut self, now: Now, setup: Setup) -> Result<(), End> {
        let broken = |why: String| End::Broken(why);
        match &mut self.peering {
            Some(peering) if peering.is_of(&setup) => peering.apply(now, setup).map_err(broken),
            _ => {
                if let Some(old) = self.peering.take() {
                    if old.session.is_up() {
                        let why = "the configuration names another peer".to_owned();
                        self.host.tell(&FromLink::Down { why });
                    }
                    self.workers = Workers::default();
                }
                self.peering = Some(Peering::new(setup).map_err(broken)?);
                Ok(())
            }
        }
    }
}

impl Ready {
    fn with(self, found: PollFlags) -> Self {
        // An error or a hang-up is found by reading, or by writing if that was requested.
        let reads = found.intersects(PollFlags::IN | PollFlags::ERR | PollFlags::HUP);
        let writes = found.intersects(PollFlags::OUT | PollFlags::ERR | PollFlags::HUP);
        match self {
            Self::Host | Self::WorkerGone(_) => self,
            Self::Worker(name, ..) if found.contains(PollFlags::HUP) => Self::WorkerGone(name),
            Self::Worker(name, ..) => Self::Worker(name, reads, writes),
            Self::Path(index, (source, ..)) => Self::Path(index, (source, reads, writes)),
        }
    }
}

fn wait_ns(at_ns: u64) -> u64 {
    let now_ns = now_ns();
    if at_ns > now_ns {
        at_ns - now_ns
    } else {
        LOOK_NS
    }
}
