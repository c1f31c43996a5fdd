//! One DHCP server of this node: its files and its control channel, in a thread of their own.
//!
//! `run` is the thread. `watch` receives inotify events, `tail` reads the file (`journal` or `rewritten`, by `opened`),
//! `clock` reads the time, `occupied` detects whether the server runs (`process`, if that is not possible).
//! `server_files` has the paths and replaces the lease file, `free_space` checks that there is room, `control`
//! communicates with a running server (`kea` or `dnsmasq`, by `call`), `hang` detects that the server does not work
//! (`port` that it cannot), and `echo` recognizes what the server then writes.

mod call;
mod clock;
mod control;
mod dbus;
mod dnsmasq;
mod echo;
mod free_space;
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
mod server_files;
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
use run::{Channel, Thread};

/// Number of events beyond which the thread waits for [`Server::poll`].
const EVENTS_MAX: usize = 1024;

/// Commands of the engine. Each is answered by [`Event::Done`] with its serial, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Reports at once what the file holds and was not reported yet.
    Read { serial: u64 },
    /// Checks that the disk has room for a file of this many leases.
    Probe { serial: u64, leases: usize },
    /// Replaces the file with this set, while the server does not run. What the file held and was not reported yet is
    /// reported first.
    Replace { serial: u64, set: Set },
    /// Applies changes by the control channel while the server runs. If it fails in the middle, all may be sent again.
    Apply { serial: u64, changes: Vec<Change> },
    /// Silences a server that runs on a backup (true), or lets it answer. If it does not run, this fails, and applies
    /// when it runs.
    Silence { serial: u64, silent: bool },
}

/// Reports to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Path of the lease file, after each search; None if the configuration does not name it.
    Place(Option<PathBuf>),
    /// Stamp of the file before the following contents were read, or after a write of this plugin.
    Stamp(Stamp),
    /// All leases: at first, and after another process replaced the file. With `broken`, leases may be missing: those
    /// are not deleted.
    Reading { set: Set, broken: Option<String> },
    /// Unreadable part of the file, if it changed.
    Unread(Unread),
    /// The server continues in a file that has lost its name (true), which is read: the file with the name lacks its
    /// leases. It has left that file (false).
    UnnamedFile(bool),
    /// Commits of the server, or of somebody who edits its leases; never the effects of a [`Command`].
    Changes(Vec<Change>),
    /// Identity of the server, if it changed.
    Identity(Vec<u8>),
    /// The server runs (has its lease file open for writing); it accepts changes while it runs.
    Runs { runs: bool, live: bool },
    /// Reason why the server does not work although it runs, with what to type; None if it works.
    Hangs(Option<String>),
    /// Reason why it cannot be determined whether it works; None if it can.
    Hidden(Option<String>),
    /// Reason why it does not serve, or would not if it ran, as another program has its port; None if it does. From
    /// [`Ports`].
    Port(Option<String>),
    /// Reason why it may not start with its present configuration, and its pools; None if they cannot be read.
    Setup {
        fault: Option<String>,
        pools: Option<Vec<String>>,
    },
    /// A fault that lasts (no such file, no permission), or its end.
    Fault(Option<String>),
    /// The time of day was set: times in a file now have other monotonic times.
    ClockSet,
    /// A command is done.
    Done {
        serial: u64,
        result: Result<(), String>,
        /// Result of `Apply`: refused leases, with the reasons.
        refused: Vec<(Key, String)>,
    },
}

/// Unreadable entries of a lease file, which were skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    pub count: u32,
    /// Text about the first of them.
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

/// Handle of one server's thread; dropping it ends and joins the thread.
pub struct Server {
    commands: Sender<Command>,
    /// Events of the thread; None only during drop.
    events: Option<Receiver<Event>>,
    bell: Arc<OwnedFd>,
    end: End,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts the thread. `wake` is called after each event, from the thread.
    ///
    /// # Errors
    /// inotify is not available, or the thread cannot be started.
    pub fn open(
        settings: config::Server,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self, std::io::Error> {
        let (commands, to_do) = channel();
        let (tell, events) = sync_channel(EVENTS_MAX);
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let end = End::new()?;
        let name = format!("dhcp {}", settings.name);
        let channel = Channel {
            commands: to_do,
            events: tell,
            wake: Box::new(wake),
            bell: Arc::clone(&bell),
            end: end.clone(),
            clock: clock::Steps::new()?,
        };
        let thread = Thread::new(settings, channel);
        Ok(Self {
            commands,
            events: Some(events),
            bell,
            end,
            thread: Some(thread::Builder::new().name(name).spawn(|| thread.run())?),
        })
    }

    pub fn command(&self, command: Command) {
        // its thread ends only with this object
        let _ = self.commands.send(command);
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    /// # Panics
    /// The thread has panicked: without it leases would be lost silently, and a worker that panics is restarted.
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
        // the thread may wait for room
        self.events = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Request to end the thread, for code that computes and for code that waits.
#[derive(Clone, Debug)]
struct End {
    said: Arc<AtomicBool>,
    /// Descriptor that is readable after the request.
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
