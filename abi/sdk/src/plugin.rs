//! The trait that every plugin implements, and the parts that any plugin may add.

use std::ffi::CStr;
use std::fmt;
use std::os::fd::RawFd;
use std::time::Duration;

use spared_abi as abi;

use crate::config::Config;
use crate::host::{Host, Ready};
use crate::{Cause, Error};

/// A plugin. Only `create` and `read` are required.
pub trait Plugin: Sized {
    /// The configuration as the plugin uses it; `()` where it has none.
    type Settings;

    /// Allocates an instance. No I/O, no threads.
    ///
    /// # Errors
    /// Whatever makes the instance impossible; the worker ends, and is restarted later.
    fn create(host: Host) -> Result<Self, Error>;

    /// Reads the plugin's file, without any side effect: `sparectl check` calls this alone.
    ///
    /// Ask `config` for every key, also after a fault, so that all faults are found at once; the
    /// SDK reports them, and refuses keys never asked for.
    ///
    /// # Errors
    /// `Error::Config(vec![])` where the faults are with the reader, [`Error::Config`] with a
    /// fault of the plugin's own (what `config.deserialize()` returns fits `?`), or another.
    fn read(config: &Config) -> Result<Self::Settings, Error>;

    /// Takes settings that are free of faults: before `start`, and at each reload while running,
    /// where only the difference is applied, or [`Applied::Restart`] returned.
    ///
    /// # Errors
    /// The old settings stay in force.
    fn configure(&mut self, settings: Self::Settings) -> Result<Applied, Error> {
        let _ = settings;
        Ok(Applied::Live)
    }

    /// Begins the work. It may be pending for 90 s; meanwhile nobody waits for this plugin.
    ///
    /// # Errors
    /// The worker is restarted later.
    fn start(&mut self, token: Token) -> Result<Progress, Error> {
        let _ = token;
        Ok(Progress::Done)
    }

    /// Ends the work, within 1 s, or 3 s if it is pending; only the drop follows. Threads must be
    /// joined here.
    ///
    /// # Errors
    /// Are logged.
    fn stop(&mut self, token: Token) -> Result<Progress, Error> {
        let _ = token;
        Ok(Progress::Done)
    }

    /// A descriptor given to [`Host::watch_fd`] is ready.
    fn fd(&mut self, fd: RawFd, ready: Ready) {
        let _ = (fd, ready);
    }

    /// A timer given to [`Host::timer`] ran out.
    fn timer(&mut self, id: u32) {
        let _ = id;
    }

    /// A [`Waker`](crate::Waker) was used, once or more.
    fn woken(&mut self) {}
}

/// The part `roles`: learns the roles of groups, after the addresses came or went.
pub trait Roles: Plugin {
    /// A group's role; the newest wins. Once for each group after `start`, then at each change.
    ///
    /// # Errors
    /// The plugin counts as degraded; the failover goes on.
    fn role(&mut self, event: &RoleEvent<'_>, token: Token) -> Result<Progress, Error>;
}

/// The part `transfer`: state that follows the role.
pub trait Transfer: Plugin {
    /// Before a planned switchover, on the active node: send the peer all that you have.
    ///
    /// # Errors
    /// The plugin counts as degraded; the switchover goes on.
    fn drain(&mut self, token: Token, deadline_ns: u64) -> Result<Progress, Error> {
        let _ = (token, deadline_ns);
        Ok(Progress::Done)
    }

    /// Before the addresses of a failover, and as barrier of a switchover: apply all that you
    /// received. The deadline is never a veto.
    ///
    /// # Errors
    /// The plugin counts as degraded; the failover goes on.
    fn settle(&mut self, token: Token, deadline_ns: u64) -> Result<Progress, Error> {
        let _ = (token, deadline_ns);
        Ok(Progress::Done)
    }
}

/// The part `query`: answers `sparectl NAME ARGV...`, and argv `["status"]` for `sparectl status`.
pub trait Query: Plugin {
    /// The words that it knows: no other arrives.
    const VERBS: &'static [Verb] = &[Verb::ROWS, Verb::STATUS];

    /// Puts rows into the answer. What takes longer keeps [`Answer::later`], and is
    /// [`Progress::Pending`]; the host waits 12 s for it, and 1 s for `["status"]`.
    ///
    /// # Errors
    /// [`Error::Usage`] for words that it does not know.
    fn query(&mut self, argv: &[&str], answer: &mut Answer) -> Result<Progress, Error>;
}

/// A word of [`Query`]: permissions, help and completion follow from it.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Verb(abi::Verb);

impl Verb {
    /// `sparectl NAME` alone.
    pub const ROWS: Self = Self::asks(c"", c"", c"shows what it has and does");

    /// What `sparectl status` asks.
    pub const STATUS: Self = Self::asks(c"status", c"", c"shows the same as sparectl status");

    /// One that changes nothing: who may only read may say it. `word` is empty for `sparectl NAME`
    /// alone; `usage` is what follows it, like "NAME ADDRESS".
    pub const fn asks(word: &'static CStr, usage: &'static CStr, summary: &'static CStr) -> Self {
        Self::new(abi::VERB_ASKS, word, usage, summary)
    }

    /// One for root, on this node.
    pub const fn changes(
        word: &'static CStr,
        usage: &'static CStr,
        summary: &'static CStr,
    ) -> Self {
        Self::new(abi::VERB_CHANGES, word, usage, summary)
    }

    const fn new(
        effect: u32,
        word: &'static CStr,
        usage: &'static CStr,
        summary: &'static CStr,
    ) -> Self {
        Self(abi::Verb {
            size: size_of::<abi::Verb>() as u32,
            effect,
            word: word.as_ptr(),
            usage: usage.as_ptr(),
            summary: summary.as_ptr(),
        })
    }
}

/// How `configure` took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// At once.
    Live,
    /// Valid, but only a restart of the worker makes it so.
    Restart,
}

/// Whether a callback is through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is.
    Done,
    /// [`Host::done`] will follow with the same token, or did before the callback returned;
    /// [`Answer::done`] where it is a query.
    Pending,
}

/// Ties [`Host::done`] to the callback that returned [`Progress::Pending`]. Engines that know no host
/// may keep it as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub(crate) u64);

impl From<Token> for u64 {
    fn from(token: Token) -> Self {
        token.0
    }
}

impl From<u64> for Token {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

/// What a group is on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Stands by; also any role that this SDK does not know yet.
    Backup,
    /// Carries the addresses.
    Active,
    /// Stands by, and is unable to become active.
    Fault,
}

impl Role {
    pub(crate) fn from_raw(role: u32) -> Self {
        match role {
            spared_abi::ROLE_ACTIVE => Self::Active,
            spared_abi::ROLE_FAULT => Self::Fault,
            _ => Self::Backup,
        }
    }

    pub(crate) fn to_raw(self) -> u32 {
        match self {
            Self::Backup => spared_abi::ROLE_BACKUP,
            Self::Active => spared_abi::ROLE_ACTIVE,
            Self::Fault => spared_abi::ROLE_FAULT,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backup => "backup",
            Self::Active => "active",
            Self::Fault => "fault",
        })
    }
}

/// A group's role as a follower learns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleEvent<'a> {
    /// The configured name.
    pub group: &'a str,
    /// What it is now.
    pub role: Role,
    /// The sentence of `sparectl why`.
    pub why: &'a str,
    /// Monotonic; afterwards the host goes on without the plugin.
    pub deadline_ns: u64,
    /// An administrator works on this node; the same role comes again when that begins or ends.
    pub maintenance: bool,
    /// It moved by a switchover, not by a fault.
    pub planned: bool,
    /// What this plugin was told last of the group.
    pub before: Option<Role>,
    /// Of two roles of one group, the newer has the greater.
    pub epoch: u64,
    /// What `why` says, as data.
    pub cause: Cause,
}

/// What a row of an [`Answer`] says, for engines that know no host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// For people.
    Text(String),
    /// For programs as well; its unit is in the key.
    Number(u64),
    /// One that only rises while the worker lives.
    Counter(u64),
    /// A number that may be negative.
    Signed(i64),
    /// Yes or no.
    Flag(bool),
    /// A time.
    Time(Duration),
    /// Memory, or a size.
    Bytes(u64),
    /// Traffic: bytes, only rising.
    ByteCounter(u64),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// The answer to a query, written row by row; rows of one that was given up are errors.
#[derive(Debug)]
pub struct Answer {
    pub(crate) host: Host,
    pub(crate) token: u64,
    pub(crate) attention: bool,
}

impl Answer {
    /// A text row; keys are like "virtual_router.lan2.state".
    ///
    /// # Errors
    /// The answer is full (64 KiB), or `key` holds a NUL.
    pub fn text(&mut self, key: &str, value: &str) -> Result<(), Error> {
        self.host.put_text(self.token, key, value)
    }

    /// A number row.
    ///
    /// # Errors
    /// The answer is full (64 KiB), or `key` holds a NUL.
    pub fn number(&mut self, key: &str, value: u64) -> Result<(), Error> {
        self.host.put_u64(self.token, key, abi::ROW_NUMBER, value)
    }

    /// A row of any kind.
    ///
    /// # Errors
    /// The answer is full (64 KiB): who asked is told that rows are missing. Or `key` holds a NUL.
    pub fn row(&mut self, key: &str, value: &Value) -> Result<(), Error> {
        let (kind, number) = match value {
            Value::Text(text) => return self.text(key, text),
            Value::Signed(number) => {
                return self.host.put_i64(self.token, key, abi::ROW_NUMBER, *number);
            }
            Value::Number(number) => (abi::ROW_NUMBER, *number),
            Value::Counter(number) => (abi::ROW_COUNTER, *number),
            Value::Flag(flag) => (abi::ROW_BOOL, u64::from(*flag)),
            Value::Time(time) => (
                abi::ROW_NS,
                u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
            ),
            Value::Bytes(number) => (abi::ROW_BYTES, *number),
            Value::ByteCounter(number) => (abi::ROW_BYTES | abi::ROW_COUNTER, *number),
        };
        self.host.put_u64(self.token, key, kind, number)
    }

    /// Rows in their order.
    ///
    /// # Errors
    /// The answer is full (64 KiB) before one of them, or its key holds a NUL; those before it are
    /// there.
    pub fn rows<K: AsRef<str>>(
        &mut self,
        rows: impl IntoIterator<Item = (K, Value)>,
    ) -> Result<(), Error> {
        rows.into_iter()
            .try_for_each(|(key, value)| self.row(key.as_ref(), &value))
    }

    /// What the rows say wants attention: `sparectl` shows them, and exits with 1.
    pub fn attention(&mut self) {
        self.attention = true;
    }

    /// The same answer for a time after the callback: to be kept, written on and ended by
    /// [`done`](Self::done) when `query` returns [`Progress::Pending`].
    pub fn later(&self) -> Self {
        Self {
            host: self.host,
            token: self.token,
            attention: self.attention,
        }
    }

    /// Ends an answer that was kept. One that was given up meanwhile is ignored.
    pub fn done(self, result: Result<(), Error>) {
        let status = match result {
            Ok(()) => self.status(),
            Err(error) => self.host.report(&error),
        };
        self.host.end(self.token, status);
    }

    /// Of an answer without an error.
    pub(crate) fn status(&self) -> spared_abi::Status {
        if self.attention {
            spared_abi::ATTENTION
        } else {
            0
        }
    }
}
