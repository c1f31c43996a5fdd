//! The trait that every plugin implements, and parts that a plugin may add.

use std::ffi::CStr;
use std::os::fd::RawFd;

use crate::config::Config;
use crate::host::Host;
use crate::ready::Ready;
use crate::{Error, RoleEvent, Value};

/// A plugin. Only `create` and `read` are required.
pub trait Plugin: Sized {
    /// Configuration as the plugin uses it; `()` if it has none.
    type Settings;

    /// Allocates an instance. No I/O, no threads.
    ///
    /// # Errors
    /// The reason why there can be no instance. The plugin is refused until the next reload, like a plugin with a wrong
    /// configuration.
    fn create(host: Host) -> Result<Self, Error>;

    /// Reads the plugin's file, without any side effect: a check of the configuration calls only this method.
    ///
    /// Ask `config` for every key, also after a fault, so that all faults are found at once. The SDK reports them, and
    /// refuses keys that were never asked for.
    ///
    /// # Errors
    /// `Error::Config(vec![])` if the reader has the faults, [`Error::Config`] with a fault of the plugin's own (the
    /// error of `config.deserialize()` fits `?`), or another error.
    fn read(config: &Config) -> Result<Self::Settings, Error>;

    /// Applies settings that are free of faults: before `start`, and again at each reload while the plugin runs. Apply
    /// only the difference, or return [`Applied::Restart`].
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

    /// Ends the work, within 1 s, or 3 s if it is pending; only the drop follows. Join your threads here.
    ///
    /// # Errors
    /// Errors are logged.
    fn stop(&mut self, token: Token) -> Result<Progress, Error> {
        let _ = token;
        Ok(Progress::Done)
    }

    /// Handles that a descriptor given to [`Host::watch_fd`] is ready.
    fn fd(&mut self, fd: RawFd, ready: Ready) {
        let _ = (fd, ready);
    }

    /// Handles that a timer given to [`Host::timer`] expired.
    fn timer(&mut self, id: u32) {
        let _ = id;
    }

    /// Handles that a [`Waker`](crate::Waker) was used, once or more.
    fn woken(&mut self) {}
}

/// The part `roles`: gets the roles of groups, after addresses were added or removed.
pub trait Roles: Plugin {
    /// Handles a group's role; the newest one counts. Called once for each group after `start`, then at each change.
    ///
    /// # Errors
    /// The plugin counts as degraded; the failover continues.
    fn role(&mut self, event: &RoleEvent, token: Token) -> Result<Progress, Error>;
}

/// The part `transfer`: replicates state, and completes the transfer before a change of role.
pub trait Transfer: Plugin {
    /// Sends the peer all that the plugin has. Called on the active node before a switchover.
    ///
    /// # Errors
    /// The switchover is cancelled, unless it continues anyway (`--anyway`, or this node stops).
    fn drain(&mut self, token: Token, deadline_ns: u64) -> Result<Progress, Error> {
        let _ = (token, deadline_ns);
        Ok(Progress::Done)
    }

    /// Applies all that was received. Called before the addresses of a failover, and as the barrier of a switchover.
    /// The host does not wait beyond the deadline, in ns of the monotonic clock.
    ///
    /// # Errors
    /// Errors are ignored; the failover or switchover continues.
    fn settle(&mut self, token: Token, deadline_ns: u64) -> Result<Progress, Error> {
        let _ = (token, deadline_ns);
        Ok(Progress::Done)
    }
}

/// The part `query`: answers `sparectl NAME ARGV...`; argv is `["status"]` for `sparectl status`.
pub trait Query: Plugin {
    /// Words that the plugin answers. It gets no other words.
    const VERBS: &'static [Verb] = &[Verb::ROWS, Verb::STATUS];

    /// Adds rows to the answer. A query that takes longer keeps [`Answer::later`] and returns [`Progress::Pending`].
    /// The host waits 12 s, for `["status"]` 1 s.
    ///
    /// # Errors
    /// [`Error::Usage`] for arguments that do not fit.
    fn query(&mut self, argv: &[&str], answer: &mut Answer) -> Result<Progress, Error>;
}

/// Word of [`Query`], from which permissions, help and completion follow.
#[derive(Clone, Copy, Debug)]
pub struct Verb {
    pub(crate) changes: bool,
    pub(crate) word: &'static str,
    pub(crate) usage: &'static str,
    pub(crate) summary: &'static str,
}

impl Verb {
    /// The word of `sparectl NAME` alone, which is empty.
    pub const ROWS: Self = Self::asks(c"", c"", c"shows its state and counters");

    /// Word that `sparectl status` sends.
    pub const STATUS: Self = Self::asks(c"status", c"", c"shows the same as sparectl status");

    /// Rows for the daemon's snapshot, of which `sparectl metrics` makes metrics. It is asked at most once a second. A
    /// row with the key `more` and a text says that `metrics TEXT` has further rows.
    pub const METRICS: Self =
        Self::asks(c"metrics", c"", c"lists the rows behind sparectl metrics");

    /// Creates a word that changes nothing, open to users who may only read. `word` is empty for `sparectl NAME` alone;
    /// `usage` describes its arguments, such as "NAME ADDRESS".
    pub const fn asks(word: &'static CStr, usage: &'static CStr, summary: &'static CStr) -> Self {
        Self {
            changes: false,
            word: text(word),
            usage: text(usage),
            summary: text(summary),
        }
    }

    /// Creates a word that changes something, for root on this node.
    pub const fn changes(
        word: &'static CStr,
        usage: &'static CStr,
        summary: &'static CStr,
    ) -> Self {
        Self {
            changes: true,
            ..Self::asks(word, usage, summary)
        }
    }

    /// Creates the error for words that match none of these verbs. It contains the usage of the plugin `name`, such as
    /// `usage: sparectl service [status | retry [NAME]]`.
    pub fn usage(name: &str, verbs: &[Self]) -> Error {
        let mut words: Vec<String> = verbs.iter().map(Self::words).collect();
        let count = words.len();
        words.retain(|it| !it.is_empty());
        let listed = words.join(" | ");
        Error::Usage(match words.len() {
            0 => format!("usage: sparectl {name}"),
            named if named < count => format!("usage: sparectl {name} [{listed}]"),
            _ => format!("usage: sparectl {name} {listed}"),
        })
    }

    /// Word with its arguments.
    fn words(&self) -> String {
        format!("{} {}", self.word, self.usage).trim().to_owned()
    }
}

/// Text of the descriptor.
pub(crate) const fn text(text: &'static CStr) -> &'static str {
    match text.to_str() {
        Ok(text) => text,
        Err(_) => panic!("a text of the descriptor is not UTF-8"),
    }
}

/// Result of `configure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The settings are in force.
    Live,
    /// The settings are valid, but only a new worker can use them.
    Restart,
}

/// Progress of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The callback is complete.
    Done,
    /// [`Host::done`] follows with the same token, or was called before the callback returned; for a query
    /// [`Answer::done`].
    Pending,
}

/// Number of a callback, by which [`Host::done`] completes the callback. Engines, which know no host, may keep it as a
/// number.
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

/// Answer to a query, written row by row. After the query was given up, each row returns an error.
#[derive(Debug)]
pub struct Answer {
    pub(crate) host: Host,
    pub(crate) token: u64,
    pub(crate) attention: bool,
}

impl Answer {
    /// Adds a row with a text. Keys have the form "virtual_router.lan2.state".
    ///
    /// # Errors
    /// The answer is full (64 KiB).
    pub fn text(&mut self, key: &str, value: &str) -> Result<(), Error> {
        self.host
            .put(self.token, key, Value::Text(value.to_owned()))
    }

    /// Adds a row with a number.
    ///
    /// # Errors
    /// The answer is full (64 KiB).
    pub fn number(&mut self, key: &str, value: u64) -> Result<(), Error> {
        self.host.put(self.token, key, Value::Number(value))
    }

    /// Adds a row of any kind.
    ///
    /// # Errors
    /// The answer is full (64 KiB). The user is told that rows are missing.
    pub fn row(&mut self, key: &str, value: &Value) -> Result<(), Error> {
        self.host.put(self.token, key, value.clone())
    }

    /// Adds rows in their order.
    ///
    /// # Errors
    /// The answer is full (64 KiB). The rows before the one that failed are added.
    pub fn rows<K: AsRef<str>>(
        &mut self,
        rows: impl IntoIterator<Item = (K, Value)>,
    ) -> Result<(), Error> {
        rows.into_iter()
            .try_for_each(|(key, value)| self.row(key.as_ref(), &value))
    }

    /// Adds rows in their order, as many as fit, because some of hundreds are better than none. The user is told that
    /// rows are missing.
    pub fn rows_that_fit<K: AsRef<str>>(&mut self, rows: impl IntoIterator<Item = (K, Value)>) {
        if let Err(error) = self.rows(rows) {
            log::debug!("{error}");
        }
    }

    /// Marks that the rows report something that needs attention: `sparectl` shows the rows and exits with 1.
    pub fn attention(&mut self) {
        self.attention = true;
    }

    /// Returns the same answer, to keep it beyond the callback: `query` returns [`Progress::Pending`], and
    /// [`done`](Self::done) completes the answer.
    pub fn later(&self) -> Self {
        Self {
            host: self.host,
            token: self.token,
            attention: self.attention,
        }
    }

    /// Completes an answer that was kept. It is ignored if the query was given up meanwhile.
    pub fn done(self, result: Result<(), Error>) {
        let status = match result {
            Ok(()) => self.status(),
            Err(error) => self.host.report(&error),
        };
        self.host.end(self.token, status);
    }

    /// Status of an answer without an error.
    pub(crate) fn status(&self) -> spared_abi::Status {
        if self.attention {
            spared_abi::ATTENTION
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(verbs: &[Verb]) -> String {
        Verb::usage("thing", verbs).to_string()
    }

    #[test]
    fn usage_names_each_verb_with_its_arguments() {
        let retry = Verb::changes(c"retry", c"[NAME]", c"");
        let verbs = [Verb::ROWS, Verb::STATUS, retry];
        assert_eq!(
            usage(&verbs),
            "usage: sparectl thing [status | retry [NAME]]"
        );
    }

    #[test]
    fn usage_requires_a_verb_where_the_name_alone_is_none() {
        let probe = Verb::asks(c"probe", c"NAME", c"");
        let verbs = [Verb::STATUS, probe];
        assert_eq!(usage(&verbs), "usage: sparectl thing status | probe NAME");
    }

    #[test]
    fn usage_without_verbs_is_the_name() {
        assert_eq!(usage(&[Verb::ROWS]), "usage: sparectl thing");
        assert_eq!(usage(&[]), "usage: sparectl thing");
    }
}
