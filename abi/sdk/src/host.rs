//! Functions of the daemon that a plugin may call.

use std::os::fd::RawFd;
use std::path::PathBuf;

use spared_abi as abi;
use spared_contract::LogLevel;

use crate::check::Checks;
use crate::documents::DocumentHandle;
use crate::error::check;
use crate::group::{Additions, GroupHandle};
use crate::identity::IdentityHandle;
use crate::interface::InterfaceHandle;
use crate::local::LocalHandle;
use crate::peer::PeerHandle;
use crate::ready::Interest;
use crate::run::{Core, Outbound, clock};
use crate::status::WatchHandle;
use crate::{Error, Token, Value};

/// Handle of the daemon. It is cheap to copy, and is for the plugin's thread only.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    core: &'static Core,
}

impl Host {
    pub(crate) fn new(core: &'static Core) -> Self {
        Self { core }
    }

    pub(crate) fn core(&self) -> &'static Core {
        self.core
    }

    /// Records an event for `sparectl events`: something that an administrator wants to find a week later.
    pub fn event(&self, text: &str) {
        self.log(LogLevel::Event, text);
    }

    /// Records an elector's event that another router is active as well, or no longer is. `text` begins with the group:
    /// `"office: 10.1.0.3 is active too"`.
    pub fn conflict(&self, text: &str) {
        self.log(LogLevel::Conflict, text);
    }

    /// Returns a handle by which other threads request a call of [`Plugin::woken`](crate::Plugin::woken).
    pub fn waker(&self) -> Waker {
        Waker {
            outbound: &self.core.outbound,
        }
    }

    /// Makes the loop call [`Plugin::fd`](crate::Plugin::fd) whenever `fd` is ready for `interest`,
    /// until [`unwatch_fd`](Self::unwatch_fd). Unwatch a descriptor before you close it.
    ///
    /// # Errors
    /// The descriptor cannot be watched, or 4096 are watched already.
    pub fn watch_fd(&self, fd: RawFd, interest: Interest) -> Result<(), Error> {
        check("watch a descriptor", self.core.watch_fd(fd, interest.0))
    }

    /// Stops watching a descriptor. If it is not watched, nothing happens.
    pub fn unwatch_fd(&self, fd: RawFd) {
        let _ = self.core.watch_fd(fd, 0);
    }

    /// Makes the loop call [`Plugin::timer`](crate::Plugin::timer) once at a monotonic time in ns. A second call with
    /// the same `id` replaces the first. Allocates nothing if `id` was used before.
    ///
    /// # Errors
    /// There are 4096 timers already.
    pub fn timer(&self, id: u32, at_ns: u64) -> Result<(), Error> {
        check("set a timer", self.core.timer(id, at_ns))
    }

    /// Cancels a timer. If it is not set, nothing happens.
    pub fn cancel_timer(&self, id: u32) {
        self.core.cancel_timer(id);
    }

    /// Present time of `CLOCK_MONOTONIC` in ns.
    pub fn now(&self) -> u64 {
        clock::now_ns()
    }

    /// Completes a callback that returned [`Progress::Pending`](crate::Progress::Pending), or is about to return it. A
    /// stale token is ignored.
    pub fn done(&self, token: Token, result: Result<(), Error>) {
        let status = match result {
            Ok(()) => 0,
            Err(error) => self.report(&error),
        };
        self.end(token.0, status);
    }

    pub(crate) fn end(&self, token: u64, status: abi::Status) {
        self.core.done(token, status);
    }

    /// Handle for interfaces and sockets on them.
    pub fn interfaces(&self) -> InterfaceHandle {
        InterfaceHandle(*self)
    }

    /// Handle for groups, for the elector.
    pub fn groups(&self) -> GroupHandle {
        GroupHandle(*self)
    }

    /// Handle for addresses and routes in a group, for a plugin that does not elect.
    pub fn additions(&self) -> Additions {
        Additions(*self)
    }

    /// Handle for messages to the peer plugin.
    pub fn peer(&self) -> PeerHandle {
        PeerHandle(*self)
    }

    /// Handle for messages to partners, which are other plugins of this node.
    pub fn local(&self) -> LocalHandle {
        LocalHandle(*self)
    }

    /// Handle for statements that are signed with this node's key and verified with the peer's.
    pub fn identity(&self) -> IdentityHandle {
        IdentityHandle(*self)
    }

    /// Handle for the state of the pair and its events.
    pub fn status(&self) -> WatchHandle {
        WatchHandle(*self)
    }

    /// Handle for documents of the daemon.
    pub fn documents(&self) -> DocumentHandle {
        DocumentHandle(*self)
    }

    /// Handle for checks, which make up this node's quality.
    pub fn checks(&self) -> Checks {
        Checks(*self)
    }

    /// Name of this node, once configured. It differs from the peer's name and survives restarts.
    pub fn node(&self) -> Option<String> {
        let node = self.core.surroundings().node;
        Some(node).filter(|name| !name.is_empty())
    }

    /// Interfaces of the links to the peer, once configured; empty without a link.
    pub fn links(&self) -> Vec<String> {
        self.core.surroundings().links
    }

    /// Name of the peer, once configured, if the keys of both nodes or a passphrase are. Then
    /// [`identity`](Self::identity) can verify the peer's statements.
    pub fn peer_with_keys(&self) -> Option<String> {
        let peer = self.core.surroundings().peer;
        peer.filter(|name| !name.is_empty())
    }

    /// Folder of the plugin's own, once configured; None in a check.
    pub fn state_folder(&self) -> Option<PathBuf> {
        self.core.surroundings().state.map(PathBuf::from)
    }

    pub(crate) fn log(&self, level: LogLevel, text: &str) {
        self.core.outbound.log(level, text);
    }

    pub(crate) fn put(&self, token: u64, key: &str, value: Value) -> Result<(), Error> {
        check("answer", self.core.put(token, key, value))
    }

    /// Reports the reason of a failed callback to the daemon, and returns the callback's status.
    pub(crate) fn report(&self, error: &Error) -> abi::Status {
        match error {
            Error::Config(faults) => {
                for fault in faults {
                    self.core.note_failure(&fault.key, &fault.why);
                }
            }
            other => self.core.note_failure("", &other.to_string()),
        }
        error.status()
    }
}

/// Handle that requests a call of `woken` on the plugin's thread; usable from any thread.
#[derive(Clone, Copy, Debug)]
pub struct Waker {
    outbound: &'static Outbound,
}

impl Waker {
    /// Makes the loop call [`Plugin::woken`](crate::Plugin::woken), once for any number of calls of this function.
    pub fn wake(&self) {
        self.outbound.wake();
    }

    pub(crate) fn log(&self, level: LogLevel, text: &str) {
        self.outbound.log(level, text);
    }
}
