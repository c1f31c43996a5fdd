//! Changes of systemd's units, as systemd reports them over the message bus, and changes of their files.
//!
//! systemctl queries if a unit runs; this module only says when a query is worthwhile. A ping with each poll proves
//! that systemd still reports. Without a bus there are no reports, and the engine queries with each poll.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::{JobsEvent, Reactor, stamp};
use crate::manager::bus::{Bus, BusEvent, MANAGER, object};
use crate::manager::{self, LoadedUnit};

const SOCKET: &str = "run/dbus/system_bus_socket";
/// Time limit in ns for answers of the bus.
const ANSWER_NS: u64 = 2_000_000_000;
/// Time in ns after which a bus that is missing, or has failed, is tried again.
const AGAIN_NS: u64 = 60_000_000_000;
/// Maximum number of reads in one turn, so that other descriptors get their turn.
const READS_MAX: usize = 16;

/// Watch on the units that were queried.
#[derive(Debug, Default)]
pub(super) struct Watch {
    connection: Option<Connection>,
    again_ns: u64,
    /// Files of the units, by the units' objects on the bus.
    units: BTreeMap<String, Files>,
    starters: KnownStarters,
}

/// Objects of units that start other units, but none of the queried ones. systemd names only those that it has loaded,
/// so that one that appears for the first time may start a queried unit.
#[derive(Debug, Default)]
struct KnownStarters(BTreeSet<String>);

impl KnownStarters {
    const MAX: usize = 1024;
    const KINDS: [&str; 4] = ["_2esocket", "_2etimer", "_2epath", "_2eautomount"];

    fn is_new(&mut self, object: &str) -> bool {
        if !Self::KINDS.iter().any(|kind| object.ends_with(kind)) || self.0.contains(object) {
            return false;
        }
        if self.0.len() >= Self::MAX {
            self.0.clear();
        }
        self.0.insert(object.to_owned())
    }

    /// Forgets all, because files of units were read again: any of these may now start others.
    fn forget(&mut self) -> bool {
        self.0.clear();
        true
    }
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    bus: Bus,
    is_watching: bool,
    /// Time by which an answer must have arrived.
    until_ns: Option<u64>,
}

/// Files of a unit, and their state.
#[derive(Debug)]
struct Files {
    paths: Vec<String>,
    stamp: u64,
}

impl Watch {
    /// Takes units as systemd has just described them. True if changes of one were not reported until now, so that its
    /// state may be outdated.
    pub(super) fn note_loaded(&mut self, root: &Path, loaded: Vec<LoadedUnit>) -> bool {
        let before = self.units.len();
        for LoadedUnit { unit, program } in loaded {
            let object = object(&unit);
            let paths: Vec<String> = [unit].into_iter().chain(program).collect();
            let is_known = self.units.get(&object).is_some_and(|it| it.paths == paths);
            if !is_known {
                let stamp = stamp::stamp(root, &paths);
                self.units.insert(object, Files { paths, stamp });
            }
        }
        let is_watching = self.connection.as_ref().is_some_and(|it| it.is_watching);
        is_watching && self.units.len() > before
    }

    /// Handles a poll: examines the files, and checks that systemd still reports changes.
    pub(super) fn poll(&mut self, reactor: &dyn Reactor, root: &Path) -> Option<JobsEvent> {
        let now_ns = reactor.now_ns();
        match &mut self.connection {
            None if now_ns >= self.again_ns && manager::is_systemd(root) => {
                self.again_ns = now_ns.saturating_add(AGAIN_NS);
                match Connection::begin(reactor, &root.join(SOCKET), now_ns) {
                    Ok(begun) => self.connection = Some(begun),
                    Err(why) => return Some(no_signals(why)),
                }
            }
            Some(connection) if connection.until_ns.is_none() => {
                if let Err(why) = connection.ping(now_ns) {
                    return self.fail(reactor, why);
                }
            }
            _ => {}
        }
        self.are_files_changed(root).then_some(JobsEvent::Changed)
    }

    /// Ends the watch.
    pub(super) fn end(&mut self, reactor: &dyn Reactor) {
        self.units.clear();
        self.starters.forget();
        self.again_ns = 0;
        if let Some(connection) = self.connection.take() {
            reactor.unwatch(connection.stream.as_raw_fd());
        }
    }

    pub(super) fn has(&self, fd: RawFd) -> bool {
        let connection = self.connection.as_ref();
        connection.is_some_and(|it| it.stream.as_raw_fd() == fd)
    }

    /// Handles the ready socket.
    pub(super) fn ready(&mut self, reactor: &dyn Reactor) -> Option<JobsEvent> {
        let (units, starters) = (&self.units, &mut self.starters);
        let is_ours = |object: &str| match object {
            MANAGER => starters.forget(),
            unit => units.contains_key(unit) || starters.is_new(unit),
        };
        match self.connection.as_mut()?.read(is_ours) {
            Ok(ended) => ended,
            Err(why) => self.fail(reactor, why),
        }
    }

    pub(super) fn next_timeout(&self) -> Option<u64> {
        self.connection.as_ref()?.until_ns
    }

    pub(super) fn handle_timeout(
        &mut self,
        reactor: &dyn Reactor,
        now_ns: u64,
    ) -> Option<JobsEvent> {
        let is_late = self.next_timeout().is_some_and(|at_ns| at_ns <= now_ns);
        is_late.then(|| self.fail(reactor, "it does not answer".to_owned()))?
    }

    fn fail(&mut self, reactor: &dyn Reactor, why: String) -> Option<JobsEvent> {
        let connection = self.connection.take()?;
        reactor.unwatch(connection.stream.as_raw_fd());
        self.again_ns = reactor.now_ns().saturating_add(AGAIN_NS);
        Some(no_signals(why))
    }

    fn are_files_changed(&mut self, root: &Path) -> bool {
        let mut changed = false;
        for files in self.units.values_mut() {
            let stamp = stamp::stamp(root, &files.paths);
            changed |= std::mem::replace(&mut files.stamp, stamp) != stamp;
        }
        changed
    }
}

impl Connection {
    fn begin(reactor: &dyn Reactor, path: &Path, now_ns: u64) -> Result<Self, String> {
        let mut stream = open(path).map_err(|error| error.to_string())?;
        let greeting = Bus::greeting(rustix::process::getuid().as_raw());
        send(&mut stream, &greeting)?;
        reactor.watch(stream.as_raw_fd())?;
        Ok(Self {
            stream,
            bus: Bus::default(),
            is_watching: false,
            until_ns: Some(now_ns.saturating_add(ANSWER_NS)),
        })
    }

    fn ping(&mut self, now_ns: u64) -> Result<(), String> {
        self.until_ns = Some(now_ns.saturating_add(ANSWER_NS));
        let ping = self.bus.ping();
        send(&mut self.stream, &ping)
    }

    fn read(&mut self, mut is_ours: impl FnMut(&str) -> bool) -> Result<Option<JobsEvent>, String> {
        let mut ended = None;
        let mut bytes = [0; 16 * 1024];
        for _ in 0..READS_MAX {
            let length = match self.stream.read(&mut bytes) {
                Ok(0) => return Err("it has closed the connection".to_owned()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            };
            let bytes = bytes.get(..length).unwrap_or_default();
            for heard in self.bus.handle_bytes(bytes, &mut is_ours)? {
                match heard {
                    BusEvent::Welcome(words) => send(&mut self.stream, &words)?,
                    BusEvent::Watching => {
                        (self.is_watching, self.until_ns) = (true, None);
                        ended = Some(JobsEvent::Watched(Ok(())));
                    }
                    BusEvent::Answered => self.until_ns = None,
                    BusEvent::Changed => ended = ended.or(Some(JobsEvent::Changed)),
                }
            }
        }
        Ok(ended)
    }
}

fn no_signals(why: String) -> JobsEvent {
    let why = format!("message bus: {why}");
    log::debug!("{why}");
    JobsEvent::Watched(Err(why))
}

/// Connects without waiting for a bus that is stopped.
fn open(path: &Path) -> rustix::io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

/// Sends bytes: a socket that does not take these few at once has failed.
fn send(stream: &mut UnixStream, bytes: &[u8]) -> Result<(), String> {
    stream.write_all(bytes).map_err(|error| error.to_string())
}
