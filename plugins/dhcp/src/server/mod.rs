//! One DHCP server of this node: its files and its control channel, on a thread of their own.
//!
//! `run` is the thread; `watch` tells it that something happened, `tail` what the file says
//! (`journal` or `rewritten`, by `opened`), `clock` what time it is, `occupied` whether the server
//! runs (`process`, where that cannot be told). `file` writes, `control` speaks with a running
//! server (`kea` or `dnsmasq`, by `call`), `hang` tells whether that works (`port` whether it can), and `echo` knows again what that then writes.

mod call;
mod clock;
mod control;
mod dbus;
mod dnsmasq;
mod echo;
mod file;
mod hang;
mod journal;
mod kea;
mod occupied;
mod opened;
mod port;
mod process;
mod rewritten;
mod run;
#[cfg(test)]
pub(crate) mod scratch;
mod site;
mod tail;
mod watch;

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel, sync_channel};
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, eventfd};

use crate::codec::Found;
use crate::config;
use crate::lease::{Change, Key, Set};

pub use opened::Stamp;
pub use port::Ports;
use run::Thread;

/// Beyond them the thread waits for [`Server::poll`].
const EVENTS_MAX: usize = 1024;

/// Commands of the engine. Each is answered by [`Event::Done`] with its serial, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Tell at once what the file holds that was not told yet.
    Read { serial: u64 },
    /// Whether the disk has room for a file of so many leases.
    Probe { serial: u64, leases: usize },
    /// The server does not run: its file is to hold this set. What the file held that was not told
    /// yet is told first.
    Replace { serial: u64, set: Set },
    /// The server runs, and takes these by its control channel. Where that fails in the middle, all
    /// may be given again.
    Apply { serial: u64, changes: Vec<Change> },
    /// It runs on a backup and must not answer (true), or is to answer again. Where it does not run
    /// this fails, and holds for when it does.
    Silence { serial: u64, silent: bool },
}

/// Reports to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Path of its lease file, after each search; None: its configuration does not name it.
    Place(Option<PathBuf>),
    /// The file as it is before what follows was read, or after a writing of this plugin.
    Stamp(Stamp),
    /// Everything: at first, and where the file was replaced by somebody else. With `broken`
    /// leases may be missing: what it lacks is not gone.
    Reading { set: Set, broken: Option<String> },
    /// Unreadable part of the file, if that changed.
    Unread(Unread),
    /// The server goes on in a file that has lost its name (true), which is followed: what the name
    /// leads to is not what it knows. It has left that file (false).
    Astray(bool),
    /// Commits of the server, or of somebody who edits its leases; never what [`Command`]s did.
    Changes(Vec<Change>),
    /// The server's identity, where it changed.
    Identity(Vec<u8>),
    /// Whether it runs (has its lease file open for writing), and takes changes while it does.
    Runs { runs: bool, live: bool },
    /// Why it does not do its work though it runs, with what to type, or that it does.
    Hangs(Option<String>),
    /// Why nobody can see whether it does its work, or that somebody can.
    Hidden(Option<String>),
    /// Why it does not serve, or would not if it ran, as another program has its port; None: it does. Of [`Ports`].
    Port(Option<String>),
    /// Why it may not start with its present configuration, and its pools; None: they cannot be read.
    Setup {
        fault: Option<String>,
        pools: Option<Vec<String>>,
    },
    /// A fault that lasts (no such file, no permission), or its end.
    Fault(Option<String>),
    /// Somebody set the time of day: what a file says is now another time.
    ClockSet,
    /// A command is done.
    Done {
        serial: u64,
        result: Result<(), String>,
        /// Result of `Apply`: refused leases, with the reasons.
        refused: Vec<(Key, String)>,
    },
}

/// Entries of a lease file that could not be read, and were passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    pub count: u32,
    /// The first of them, in a sentence.
    pub why: Option<String>,
}

impl Unread {
    fn note(&mut self, path: &Path, found: &Found) {
        self.count = self.count.saturating_add(found.skipped);
        if let (None, Some(why)) = (&self.why, &found.why) {
            self.why = Some(format!("{}: {why}", path.display()));
        }
    }
}

/// The thread of one server; dropping it ends and joins the thread.
pub struct Server {
    commands: Sender<Command>,
    /// None only while it is dropped.
    events: Option<Receiver<Event>>,
    bell: Arc<OwnedFd>,
    end: End,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// `wake` is called after each event, from the thread.
    ///
    /// # Errors
    /// No inotify, no thread.
    pub fn open(
        settings: config::Server,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self, std::io::Error> {
        let (commands, to_do) = channel();
        let (tell, events) = sync_channel(EVENTS_MAX);
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let end = End::new()?;
        let clock = clock::Steps::new()?;
        let name = format!("dhcp {}", settings.name);
        let thread = Thread::new(settings, to_do, tell, &bell, &end, clock, Box::new(wake));
        Ok(Self {
            commands,
            events: Some(events),
            bell,
            end,
            thread: Some(thread::Builder::new().name(name).spawn(|| thread.run())?),
        })
    }

    pub fn command(&self, command: Command) {
        // its thread ends only with this
        let _ = self.commands.send(command);
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    /// # Panics
    /// The thread did: without it leases would be lost in silence, and a worker that panics is
    /// started again.
    pub fn poll(&self) -> Option<Event> {
        match self.events.as_ref()?.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => panic!("the thread of a server has ended"),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end.say();
        // it may wait for room
        self.events = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// That the thread is to end, for those who compute and for those who wait.
#[derive(Clone, Debug)]
struct End {
    said: Arc<AtomicBool>,
    /// Readable from then on.
    descriptor: Arc<OwnedFd>,
}

impl End {
    fn new() -> Result<Self, std::io::Error> {
        Ok(Self {
            said: Arc::new(AtomicBool::new(false)),
            descriptor: Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?),
        })
    }

    fn say(&self) {
        self.said.store(true, Ordering::Relaxed);
        let _ = rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes());
    }

    fn is_said(&self) -> bool {
        self.said.load(Ordering::Relaxed)
    }
}
