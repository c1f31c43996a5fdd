//! What a plugin may ask of the host.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ops::BitOr;
use std::os::fd::RawFd;
use std::path::PathBuf;

use spared_abi as abi;

use crate::check::Checks;
use crate::error::check;
use crate::group::GroupHandle;
use crate::identity::IdentityHandle;
use crate::interface::InterfaceHandle;
use crate::peer::PeerHandle;
use crate::{Error, Token};

/// The host, as this instance sees it. Copying it is free; it stays on the plugin's thread.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    raw: *const abi::Host,
}

impl Host {
    /// # Safety
    /// `raw` leads to a host table that outlives every copy of the result.
    pub(crate) unsafe fn from_raw(raw: *const abi::Host) -> Self {
        Self { raw }
    }

    /// An event for `sparectl events`: what an administrator wants to find a week later.
    pub fn event(&self, text: &str) {
        self.log(abi::LOG_EVENT, text);
    }

    /// A handle that other threads may use to have [`Plugin::woken`](crate::Plugin::woken) called.
    pub fn waker(&self) -> Waker {
        Waker { raw: self.raw }
    }

    /// Has [`Plugin::fd`](crate::Plugin::fd) called whenever `fd` is ready for `interest`, until
    /// [`unwatch_fd`](Self::unwatch_fd). Unwatch a descriptor before you close it.
    ///
    /// # Errors
    /// The descriptor cannot be watched, or there are too many.
    pub fn watch_fd(&self, fd: RawFd, interest: Interest) -> Result<(), Error> {
        // SAFETY: the table outlives self, and this is the plugin's thread as Host is not Send.
        let status = unsafe { call!(self.raw, watch_fd, fd, interest.0) };
        check("watch a descriptor", status)
    }

    /// Ends that; a descriptor that is not watched is no error.
    pub fn unwatch_fd(&self, fd: RawFd) {
        // SAFETY: as above.
        let _ = unsafe { call!(self.raw, watch_fd, fd, 0) };
    }

    /// Has [`Plugin::timer`](crate::Plugin::timer) called once at a monotonic time; a second call
    /// with the same `id` replaces the first. Allocates nothing once `id` was used before.
    ///
    /// # Errors
    /// More than 4096 timers.
    pub fn timer(&self, id: u32, at_ns: u64) -> Result<(), Error> {
        // 0 would cancel, and the past is the past.
        // SAFETY: as above.
        let status = unsafe { call!(self.raw, timer, id, at_ns.max(1)) };
        check("set a timer", status)
    }

    /// Cancels a timer; one that is not set is no error.
    pub fn cancel_timer(&self, id: u32) {
        // SAFETY: as above.
        let _ = unsafe { call!(self.raw, timer, id, 0) };
    }

    /// `CLOCK_MONOTONIC` in ns.
    pub fn now(&self) -> u64 {
        // SAFETY: as above.
        unsafe { (*self.raw).now.map_or(0, |now| now((*self.raw).ctx)) }
    }

    /// Ends what returns [`Progress::Pending`](crate::Progress::Pending), also before it has returned.
    /// A stale token is ignored.
    pub fn done(&self, token: Token, result: Result<(), Error>) {
        let status = match result {
            Ok(()) => 0,
            Err(error) => self.report(&error),
        };
        self.end(token.0, status);
    }

    pub(crate) fn end(&self, token: u64, status: abi::Status) {
        // SAFETY: as above.
        let _ = unsafe { call!(self.raw, done, token, status) };
    }

    /// Interfaces and sockets on them; None where this host has none.
    pub fn interfaces(&self) -> Option<InterfaceHandle> {
        let table = self.extension(abi::INTERFACE)?;
        Some(InterfaceHandle {
            host: *self,
            table: table.cast(),
        })
    }

    /// For the plugin that decides who is active; None where this host has it not.
    pub fn groups(&self) -> Option<GroupHandle> {
        let table = self.extension(abi::GROUP)?;
        Some(GroupHandle {
            host: *self,
            table: table.cast(),
        })
    }

    /// Messages to the peer on the other node; None where this host has no link.
    pub fn peer(&self) -> Option<PeerHandle> {
        let table = self.extension(abi::PEER)?;
        Some(PeerHandle {
            host: *self,
            table: table.cast(),
        })
    }

    /// Statements signed with this node's key, and checked with the peer's; None on an older host.
    pub fn identity(&self) -> Option<IdentityHandle> {
        let table = self.extension(abi::IDENTITY)?;
        Some(IdentityHandle {
            host: *self,
            table: table.cast(),
        })
    }

    /// Facts that make this node more or less fit; None where this host takes none.
    pub fn checks(&self) -> Option<Checks> {
        let table = self.extension(abi::CHECK)?;
        Some(Checks {
            host: *self,
            table: table.cast(),
        })
    }

    /// This node's name, once configured; it differs from the peer's, and stays over restarts.
    pub fn node(&self) -> Option<String> {
        self.config_get(c"@node").filter(|name| !name.is_empty())
    }

    /// The interfaces of the links to the peer, once configured; none without a link.
    pub fn links(&self) -> Vec<String> {
        self.texts("@links")
    }

    /// The peer's name, once configured, where both nodes' keys (or a passphrase) are configured: then
    /// [`identity`](Self::identity) can tell its statements from others'. None on an older host.
    pub fn peer_with_keys(&self) -> Option<String> {
        self.config_get(c"@peer").filter(|name| !name.is_empty())
    }

    /// The directory that is the plugin's own, once configured; none in a check, or on an older host.
    pub fn state_folder(&self) -> Option<PathBuf> {
        self.config_get(c"@state").map(PathBuf::from)
    }

    /// The host's minor version.
    pub fn minor(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.raw).minor }
    }

    pub(crate) fn ctx(&self) -> *mut c_void {
        // SAFETY: as above.
        unsafe { (*self.raw).ctx }
    }

    pub(crate) fn log(&self, level: u32, text: &str) {
        self.waker().log(level, text);
    }

    pub(crate) fn put_text(&self, token: u64, key: &str, value: &str) -> Result<(), Error> {
        let key = c_text(key)?;
        // SAFETY: as above; key and value live through the call.
        let status = unsafe { call!(self.raw, put_text, token, key.as_ptr(), abi::Str::of(value)) };
        check("answer", status)
    }

    pub(crate) fn put_u64(
        &self,
        token: u64,
        key: &str,
        kind: u32,
        value: u64,
    ) -> Result<(), Error> {
        let key = c_text(key)?;
        // SAFETY: as above; key lives through the call.
        let status = unsafe { call!(self.raw, put_u64, token, key.as_ptr(), kind, value) };
        check("answer", status)
    }

    pub(crate) fn put_i64(
        &self,
        token: u64,
        key: &str,
        kind: u32,
        value: i64,
    ) -> Result<(), Error> {
        let key = c_text(key)?;
        // SAFETY: as above; key lives through the call.
        let status = unsafe { call!(self.raw, put_i64, token, key.as_ptr(), kind, value) };
        check("answer", status)
    }

    /// Tells the host why a callback fails, and returns the status for it.
    pub(crate) fn report(&self, error: &Error) -> abi::Status {
        match error {
            Error::Config(faults) => {
                for fault in faults {
                    self.fail(&fault.key, &fault.why);
                }
            }
            other => self.fail("", &other.to_string()),
        }
        error.status()
    }

    pub(crate) fn fail(&self, key: &str, why: &str) {
        let key = c_text(key).unwrap_or_default();
        let key: *const c_char = if key.is_empty() {
            std::ptr::null()
        } else {
            key.as_ptr()
        };
        // SAFETY: as above; key and why live through the call.
        let _ = unsafe { call!(self.raw, fail, key, abi::Str::of(why)) };
    }

    /// A scalar of the host's keys; None where it is absent.
    pub(crate) fn config_get(&self, key: &CStr) -> Option<String> {
        let mut out = abi::Str::EMPTY;
        // SAFETY: as above; the text is read before this callback returns.
        unsafe {
            let status = call!(self.raw, config_get, key.as_ptr(), &raw mut out);
            (status == 0).then(|| crate::text::read(out).into_owned())
        }
    }

    pub(crate) fn config_len(&self, key: &CStr) -> u32 {
        let mut length = 0;
        // SAFETY: as above.
        let status = unsafe { call!(self.raw, config_len, key.as_ptr(), &raw mut length) };
        if status == 0 { length } else { 0 }
    }

    /// An array of the host's keys.
    pub(crate) fn texts(&self, array: &str) -> Vec<String> {
        let Ok(length_key) = c_text(array) else {
            return Vec::new();
        };
        (0..self.config_len(&length_key))
            .filter_map(|position| self.config_get(&c_text(&format!("{array}.{position}")).ok()?))
            .collect()
    }

    /// Declares how a key compares between the nodes, where this host compares.
    pub(crate) fn declare_scope(&self, key: &str, scope: u32) {
        let (Some(table), Ok(key)) = (self.extension(abi::SCOPE), c_text(key)) else {
            return;
        };
        // SAFETY: the table is valid as long as the instance; key lives through the call.
        unsafe {
            if let Some(declare) = (*table.cast::<abi::Scope>()).declare {
                declare(self.ctx(), key.as_ptr(), scope);
            }
        }
    }

    fn extension(&self, id: &CStr) -> Option<*const c_void> {
        // SAFETY: as above.
        let table = unsafe {
            let extension = (*self.raw).extension?;
            extension((*self.raw).ctx, id.as_ptr())
        };
        (!table.is_null()).then_some(table)
    }
}

pub(crate) fn c_text(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::Plugin(format!("{text:?} holds a NUL")))
}

/// Calls a function of a table, or is -ENOSYS where the table has it not.
macro_rules! call {
    ($raw:expr, $function:ident $(, $argument:expr)*) => {
        match (*$raw).$function {
            Some(function) => function((*$raw).ctx $(, $argument)*),
            None => -crate::error::ENOSYS,
        }
    };
}
use call;

/// Has `woken` called on the plugin's thread; for any thread.
#[derive(Clone, Copy, Debug)]
pub struct Waker {
    raw: *const abi::Host,
}

// SAFETY: only log and wake are called through it, which the host allows from any thread.
unsafe impl Send for Waker {}
// SAFETY: as above.
unsafe impl Sync for Waker {}

impl Waker {
    /// Makes [`Plugin::woken`](crate::Plugin::woken) follow, once for any number of calls.
    pub fn wake(&self) {
        // SAFETY: the table outlives the instance, whose threads end in stop.
        unsafe {
            if let Some(wake) = (*self.raw).wake {
                wake((*self.raw).ctx);
            }
        }
    }

    pub(crate) fn log(&self, level: u32, text: &str) {
        // SAFETY: as above; text lives through the call.
        unsafe {
            if let Some(log) = (*self.raw).log {
                log((*self.raw).ctx, level, abi::Str::of(text));
            }
        }
    }
}

/// What to watch a descriptor for; hang-ups and errors are always told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest(u32);

impl Interest {
    /// It has something to read.
    pub const READ: Self = Self(abi::FD_READ);
    /// It takes something to write.
    pub const WRITE: Self = Self(abi::FD_WRITE);
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a descriptor is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready(pub(crate) u32);

impl Ready {
    /// Reading does not block.
    pub fn readable(self) -> bool {
        self.0 & abi::FD_READ != 0
    }

    /// Writing does not block.
    pub fn writable(self) -> bool {
        self.0 & abi::FD_WRITE != 0
    }

    /// An error is to be fetched.
    pub fn error(self) -> bool {
        self.0 & abi::FD_ERROR != 0
    }

    /// The other end is gone.
    pub fn hangup(self) -> bool {
        self.0 & abi::FD_HANGUP != 0
    }
}
