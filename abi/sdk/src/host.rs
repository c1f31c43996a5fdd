//! Functions of the host that a plugin may call.

use std::ffi::{CStr, CString, c_char, c_void};
use std::os::fd::RawFd;
use std::path::PathBuf;

use spared_abi as abi;
use spared_contract::{LogLevel, Scope};

use crate::check::Checks;
use crate::error::check;
use crate::group::{Additions, GroupHandle};
use crate::identity::IdentityHandle;
use crate::interface::InterfaceHandle;
use crate::local::LocalHandle;
use crate::peer::PeerHandle;
use crate::ready::Interest;
use crate::run::{Core, Outbound};
use crate::status::WatchHandle;
use crate::{Error, Token, Value};

/// The host. Copying it is free; it is for the plugin's thread only.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// NULL for a plugin that runs in the SDK's own loop.
    raw: *const abi::Host,
    /// That loop.
    core: Option<&'static Core>,
}

impl Host {
    /// # Safety
    /// `raw` points to a host table that outlives every copy of the result.
    pub(crate) unsafe fn from_raw(raw: *const abi::Host) -> Self {
        Self { raw, core: None }
    }

    pub(crate) fn of_loop(core: &'static Core) -> Self {
        Self {
            raw: std::ptr::null(),
            core: Some(core),
        }
    }

    /// The SDK's own loop, if the plugin runs in it; else a function is one of the C table.
    pub(crate) fn core(&self) -> Option<&'static Core> {
        self.core
    }

    /// Records an event for `sparectl events`: something that an administrator wants to find a week
    /// later.
    pub fn event(&self, text: &str) {
        self.log(LogLevel::Event, text);
    }

    /// Records an elector's event that another router is active too, or no longer is. `text` begins
    /// with the group: `"office: 10.1.0.3 is active too"`.
    pub fn conflict(&self, text: &str) {
        self.log(LogLevel::Conflict, text);
    }

    /// A handle by which other threads request a call of [`Plugin::woken`](crate::Plugin::woken).
    pub fn waker(&self) -> Waker {
        Waker {
            raw: self.raw,
            outbound: self.core.map(|core| &core.outbound),
        }
    }

    /// Makes the host call [`Plugin::fd`](crate::Plugin::fd) whenever `fd` is ready for `interest`,
    /// until [`unwatch_fd`](Self::unwatch_fd). Unwatch a descriptor before you close it.
    ///
    /// # Errors
    /// The descriptor cannot be watched, or more than 4096 are.
    pub fn watch_fd(&self, fd: RawFd, interest: Interest) -> Result<(), Error> {
        let status = match self.core {
            Some(core) => core.watch_fd(fd, interest.0),
            // SAFETY: the table outlives self, and this is the plugin's thread as Host is not Send.
            None => unsafe { call!(self.raw, watch_fd, fd, interest.0) },
        };
        check("watch a descriptor", status)
    }

    /// Stops watching a descriptor; one that is not watched is no error.
    pub fn unwatch_fd(&self, fd: RawFd) {
        let _ = match self.core {
            Some(core) => core.watch_fd(fd, 0),
            // SAFETY: as above.
            None => unsafe { call!(self.raw, watch_fd, fd, 0) },
        };
    }

    /// Makes the host call [`Plugin::timer`](crate::Plugin::timer) once at a monotonic time; a second
    /// call with the same `id` replaces the first. Allocates nothing if `id` was used before.
    ///
    /// # Errors
    /// More than 4096 timers.
    pub fn timer(&self, id: u32, at_ns: u64) -> Result<(), Error> {
        let status = match self.core {
            Some(core) => core.timer(id, at_ns),
            // 0 would cancel; 1 is in the past as well.
            // SAFETY: as above.
            None => unsafe { call!(self.raw, timer, id, at_ns.max(1)) },
        };
        check("set a timer", status)
    }

    /// Cancels a timer; one that is not set is no error.
    pub fn cancel_timer(&self, id: u32) {
        match self.core {
            Some(core) => core.cancel_timer(id),
            // SAFETY: as above.
            None => drop(unsafe { call!(self.raw, timer, id, 0) }),
        }
    }

    /// `CLOCK_MONOTONIC` in ns.
    pub fn now(&self) -> u64 {
        match self.core {
            Some(_) => spared_records::monotonic::now_ns(),
            // SAFETY: as above.
            None => unsafe { (*self.raw).now.map_or(0, |now| now((*self.raw).ctx)) },
        }
    }

    /// Completes a callback that returned [`Progress::Pending`](crate::Progress::Pending), or is about
    /// to. A stale token is ignored.
    pub fn done(&self, token: Token, result: Result<(), Error>) {
        let status = match result {
            Ok(()) => 0,
            Err(error) => self.report(&error),
        };
        self.end(token.0, status);
    }

    pub(crate) fn end(&self, token: u64, status: abi::Status) {
        match self.core {
            Some(core) => core.done(token, status),
            // SAFETY: as above.
            None => drop(unsafe { call!(self.raw, done, token, status) }),
        }
    }

    /// Interfaces and sockets on them; None if this host does not have the extension.
    pub fn interfaces(&self) -> Option<InterfaceHandle> {
        let table = self.table(abi::INTERFACE)?;
        Some(InterfaceHandle {
            host: *self,
            table: table.cast(),
        })
    }

    /// Groups, for the elector; None if this host does not have the extension.
    pub fn groups(&self) -> Option<GroupHandle> {
        let table = self.table(abi::GROUP)?;
        Some(GroupHandle {
            host: *self,
            table: table.cast(),
        })
    }

    /// Addresses and routes for a group, for a plugin that does not elect; None if this host does not
    /// have the extension.
    pub fn additions(&self) -> Option<Additions> {
        let table = self.table(abi::CLAIM)?;
        Some(Additions {
            host: *self,
            table: table.cast(),
        })
    }

    /// Messages to the peer plugin; None if this host does not have the extension.
    pub fn peer(&self) -> Option<PeerHandle> {
        let table = self.table(abi::PEER)?;
        Some(PeerHandle {
            host: *self,
            table: table.cast(),
        })
    }

    /// Messages to partners, other plugins of this node; None if this host does not have the extension.
    pub fn local(&self) -> Option<LocalHandle> {
        let table = self.table(abi::LOCAL)?;
        Some(LocalHandle {
            host: *self,
            table: table.cast(),
        })
    }

    /// Statements signed with this node's key and verified with the peer's; None on an older host.
    pub fn identity(&self) -> Option<IdentityHandle> {
        let table = self.table(abi::IDENTITY)?;
        Some(IdentityHandle {
            host: *self,
            table: table.cast(),
        })
    }

    /// State of the pair and its events; None if this host does not have the extension.
    pub fn status(&self) -> Option<WatchHandle> {
        let table = self.table(abi::STATUS)?;
        Some(WatchHandle {
            host: *self,
            table: table.cast(),
        })
    }

    /// Checks, which make up this node's quality; None if this host does not have the extension.
    pub fn checks(&self) -> Option<Checks> {
        let table = self.table(abi::CHECK)?;
        Some(Checks {
            host: *self,
            table: table.cast(),
        })
    }

    /// This node's name, once configured. It differs from the peer's and survives restarts.
    pub fn node(&self) -> Option<String> {
        let node = match self.core {
            Some(core) => Some(core.surroundings().node),
            None => self.config_get(c"@node"),
        };
        node.filter(|name| !name.is_empty())
    }

    /// Interfaces of the links to the peer, once configured; empty without a link.
    pub fn links(&self) -> Vec<String> {
        match self.core {
            Some(core) => core.surroundings().links,
            None => self.texts("@links"),
        }
    }

    /// The peer's name, once configured, if both nodes' keys or a passphrase are: then
    /// [`identity`](Self::identity) can verify its statements. None on an older host.
    pub fn peer_with_keys(&self) -> Option<String> {
        let peer = match self.core {
            Some(core) => core.surroundings().peer,
            None => self.config_get(c"@peer"),
        };
        peer.filter(|name| !name.is_empty())
    }

    /// The plugin's own directory, once configured; None in a check, or on an older host.
    pub fn state_folder(&self) -> Option<PathBuf> {
        let folder = match self.core {
            Some(core) => core.surroundings().state,
            None => self.config_get(c"@state"),
        };
        folder.map(PathBuf::from)
    }

    /// The host's minor version.
    pub fn minor(&self) -> u32 {
        match self.core {
            Some(_) => abi::MINOR,
            // SAFETY: as above.
            None => unsafe { (*self.raw).minor },
        }
    }

    pub(crate) fn ctx(&self) -> *mut c_void {
        // SAFETY: as above.
        unsafe { (*self.raw).ctx }
    }

    pub(crate) fn log(&self, level: LogLevel, text: &str) {
        self.waker().log(level, text);
    }

    pub(crate) fn put_text(&self, token: u64, key: &str, value: &str) -> Result<(), Error> {
        if let Some(core) = self.core {
            return check(
                "answer",
                core.put(token, key, Value::Text(value.to_owned())),
            );
        }
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
        if let Some(core) = self.core {
            return check("answer", core.put(token, key, Value::of_raw(kind, value)));
        }
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
        if let Some(core) = self.core {
            return check(
                "answer",
                core.put(token, key, Value::of_raw_signed(kind, value)),
            );
        }
        let key = c_text(key)?;
        // SAFETY: as above; key lives through the call.
        let status = unsafe { call!(self.raw, put_i64, token, key.as_ptr(), kind, value) };
        check("answer", status)
    }

    /// Reports to the host why a callback fails, and returns the status for it.
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
        if let Some(core) = self.core {
            return core.note_failure(key, why);
        }
        let key = c_text(key).unwrap_or_default();
        let key: *const c_char = if key.is_empty() {
            std::ptr::null()
        } else {
            key.as_ptr()
        };
        // SAFETY: as above; key and why live through the call.
        let _ = unsafe { call!(self.raw, fail, key, abi::Str::of(why)) };
    }

    /// Value of a key of the host, if it is there.
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

    /// Values of an array of the host.
    pub(crate) fn texts(&self, array: &str) -> Vec<String> {
        let Ok(length_key) = c_text(array) else {
            return Vec::new();
        };
        (0..self.config_len(&length_key))
            .filter_map(|position| self.config_get(&c_text(&format!("{array}.{position}")).ok()?))
            .collect()
    }

    /// Declares the scope of a key, if this host has the extension.
    pub(crate) fn declare_scope(&self, key: &str, scope: Scope) {
        let (Some(table), Ok(key)) = (self.extension(abi::SCOPE), c_text(key)) else {
            return;
        };
        // SAFETY: the table is valid as long as the instance; key lives through the call.
        unsafe {
            if let Some(declare) = (*table.cast::<abi::Scope>()).declare {
                declare(self.ctx(), key.as_ptr(), scope.to_raw());
            }
        }
    }

    /// The table of an extension; NULL in the SDK's own loop, where its handle uses none.
    fn table(&self, id: &CStr) -> Option<*const c_void> {
        match self.core {
            Some(_) => Some(std::ptr::null()),
            None => self.extension(id),
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

/// Calls a function of the host's table; -ENOSYS if the table does not have it.
macro_rules! call {
    ($raw:expr, $function:ident $(, $argument:expr)*) => {
        match (*$raw).$function {
            Some(function) => function((*$raw).ctx $(, $argument)*),
            None => -crate::error::ENOSYS,
        }
    };
}
use call;

/// Requests a call of `woken` on the plugin's thread; usable from any thread.
#[derive(Clone, Copy, Debug)]
pub struct Waker {
    raw: *const abi::Host,
    outbound: Option<&'static Outbound>,
}

// SAFETY: only log and wake are called through it, both of which are for any thread.
unsafe impl Send for Waker {}
// SAFETY: as above.
unsafe impl Sync for Waker {}

impl Waker {
    /// Makes the host call [`Plugin::woken`](crate::Plugin::woken), once for any number of calls.
    pub fn wake(&self) {
        if let Some(outbound) = self.outbound {
            return outbound.wake();
        }
        // SAFETY: the table outlives the instance, whose threads end in stop.
        unsafe {
            if let Some(wake) = (*self.raw).wake {
                wake((*self.raw).ctx);
            }
        }
    }

    pub(crate) fn log(&self, level: LogLevel, text: &str) {
        if let Some(outbound) = self.outbound {
            return outbound.log(level, text);
        }
        // SAFETY: as above; text lives through the call.
        unsafe {
            if let Some(log) = (*self.raw).log {
                log((*self.raw).ctx, level.to_raw(), abi::Str::of(text));
            }
        }
    }
}
