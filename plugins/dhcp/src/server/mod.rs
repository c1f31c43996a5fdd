//! One DHCP server of this node: its files and its control channel, on a thread of their own.

use crate::config;
use crate::lease::{Change, Key, Set};

/// What the engine wants of it. Each is answered by [`Event::Done`] with its serial, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Tell at once what the file holds that was not told yet.
    Read { serial: u64 },
    /// The server does not run: its file is to hold this set.
    Replace { serial: u64, set: Set },
    /// The server runs, and takes these by its control channel.
    Apply { serial: u64, changes: Vec<Change> },
    /// It runs on a backup and must not answer (true), or is to answer again.
    Silence { serial: u64, silent: bool },
}

/// What it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Everything: at first, and where the file was replaced by somebody else. With `broken`
    /// leases may be missing: what it lacks is not gone.
    Reading { set: Set, broken: Option<String> },
    /// Commits of the server, or of somebody who edits its leases; never what [`Command`]s did.
    Changes(Vec<Change>),
    /// The server's identity, where it changed.
    Identity(Vec<u8>),
    /// Whether it runs (has its lease file open for writing), and takes changes while it does.
    Runs { runs: bool, live: bool },
    /// A fault that lasts (no such file, no permission), or its end.
    Fault(Option<String>),
    /// A command is done.
    Done {
        serial: u64,
        result: Result<(), String>,
        /// Of `Apply`: what the server did not take, and why.
        refused: Vec<(Key, String)>,
    },
}

/// The thread of one server; dropping it ends and joins the thread.
#[derive(Debug)]
pub struct Server {}

impl Server {
    /// `wake` is called after each event, from the thread.
    ///
    /// # Errors
    /// No inotify, no thread.
    pub fn open(
        settings: config::Server,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self, std::io::Error> {
        let _ = (settings, wake);
        todo!()
    }

    pub fn command(&self, command: Command) {
        let _ = command;
        todo!()
    }

    pub fn poll(&self) -> Option<Event> {
        todo!()
    }
}
