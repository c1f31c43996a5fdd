//! Writing leases to the server: its whole file if it does not run, by its control channel if it
//! runs and supports that.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Book;
use super::leases::Leases;
use super::status::counted;
use crate::codec::Format;
use crate::lease::{Change, Key};
use crate::server::Command;

/// Retry interval of writes: on the active node, on a backup.
const RETRY_ACTIVE_MS: i64 = 1_000;
const RETRY_BACKUP_MS: i64 = 10_000;
/// Leases that the server refused, or has with other values.
const ASIDE_MS: i64 = 60_000;
/// Between looks at the room on the disk, of an active node, and of a backup that has something to write.
const PROBE_MS: i64 = 1_000;
/// Changes of one command.
const CHANGES_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub struct Save {
    serial: u64,
    doing: Option<(u64, Doing)>,
    reads: BTreeSet<u64>,
    /// The file is not what it was read as.
    pub rewrite: bool,
    /// A backup writes now, not in a while.
    pub hurry: bool,
    /// The node is not in sync before that is written.
    pub owed: bool,
    pub failed: Option<String>,
    /// Reason why waiting leases could not be written.
    pub no_room: Option<String>,
    probed_ms: Option<i64>,
    said: Option<String>,
    /// Reason why the server could not be told whether to answer.
    pub unsilenced: Option<String>,
    saved_ms: Option<i64>,
    retry_ms: i64,
    silence_retry_ms: i64,
    /// Last order to the server.
    silent: Option<bool>,
    /// The tail of the file was read for the next writing.
    looked: bool,
    /// Leases that the server refused, with the reason, or has with other values.
    pub aside: BTreeMap<Key, Option<String>>,
    aside_ms: i64,
}

#[derive(Debug)]
enum Doing {
    Looking,
    Probing,
    Replacing {
        keys: BTreeSet<Key>,
        identity: bool,
        rewrite: bool,
        leases: usize,
    },
    Applying(BTreeSet<Key>),
    Silencing(bool),
}

/// For what a writing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose {
    pub active: bool,
    /// Whether its server should answer clients.
    pub answers: bool,
    /// The node has just become active: its server waits for the file.
    pub entering: bool,
    /// Before its first role a node that was started again may be the active one.
    pub told: bool,
    pub interval_ms: i64,
}

impl Save {
    /// A server that was started or stopped was told nothing, and may take everything.
    pub fn handle_runs(&mut self, book: &mut Book) {
        (self.silent, self.unsilenced) = (None, None);
        self.looked = false;
        self.try_now();
        book.unfiled
            .extend(std::mem::take(&mut self.aside).into_keys());
    }

    pub fn try_now(&mut self) {
        (self.retry_ms, self.silence_retry_ms) = (i64::MIN, i64::MIN);
    }

    pub fn is_writing(&self, key: &Key) -> bool {
        match &self.doing {
            Some((_, Doing::Replacing { keys, .. } | Doing::Applying(keys))) => keys.contains(key),
            _ => false,
        }
    }

    #[cfg(test)]
    pub fn serial(&self) -> u64 {
        self.serial
    }

    pub fn is_replacing(&self) -> bool {
        matches!(self.doing, Some((_, Doing::Replacing { .. })))
    }

    pub fn is_reading(&self) -> bool {
        !self.reads.is_empty()
    }

    pub fn forget_reads(&mut self) {
        self.reads.clear();
    }

    pub fn is_silent(&self) -> bool {
        self.silent == Some(true)
    }

    pub fn in_flight(&self) -> usize {
        match &self.doing {
            Some((_, Doing::Replacing { keys, .. } | Doing::Applying(keys))) => keys.len(),
            _ => 0,
        }
    }

    pub fn read(&mut self) -> Command {
        self.serial += 1;
        self.reads.insert(self.serial);
        Command::Read {
            serial: self.serial,
        }
    }

    /// A failure that was not told yet.
    pub fn take_failure(&mut self) -> Option<String> {
        let failure = self.failed.as_ref().or(self.no_room.as_ref());
        let news = failure.filter(|_| failure != self.said.as_ref()).cloned();
        self.said = failure.cloned();
        news
    }

    fn command(&mut self, doing: Doing) -> u64 {
        self.serial += 1;
        self.doing = Some((self.serial, doing));
        self.serial
    }
}

impl Leases {
    pub fn has_unwritten(&self) -> bool {
        !self.book.unfiled.is_empty() || self.book.identity_unfiled || self.save.rewrite
    }

    /// Leases that wait for the server to stop, or to take them.
    pub fn waiting(&self) -> usize {
        self.book.unfiled.len() + self.save.aside.len() + self.save.in_flight()
    }

    /// Time of the next work.
    pub fn due_ms(&self, purpose: Purpose) -> i64 {
        let probe_ms = match self.is_probed(purpose) && self.save.doing.is_none() {
            true => self.probe_ms(),
            false => i64::MAX,
        };
        self.save_ms(purpose).min(probe_ms)
    }

    /// Whether the room on the disk matters: to a backup that is to write its file, and to a server
    /// that answers clients. Without room one gives leases that it cannot write, another gives none,
    /// and neither tells anybody.
    fn is_probed(&self, purpose: Purpose) -> bool {
        let is_found = self.facts.known && self.facts.file.is_some();
        is_found
            && match purpose.active {
                true => self.facts.runs,
                false => !self.facts.runs && self.has_unwritten(),
            }
    }

    /// Leases that the active server gave and could not write: nobody can read them. Only dnsmasq gives
    /// such.
    pub fn unwritten_by_server(&self) -> Option<&String> {
        let is_dnsmasq = self.settings.format == Format::Dnsmasq;
        self.save.no_room.as_ref().filter(|_| is_dnsmasq)
    }

    fn probe_ms(&self) -> i64 {
        let probed_ms = self.save.probed_ms;
        probed_ms.map_or(i64::MIN, |it| it.saturating_add(PROBE_MS))
    }

    /// Time of the next possible write.
    pub fn save_ms(&self, purpose: Purpose) -> i64 {
        let write_ms = match self.has_unwritten() && self.save.doing.is_none() {
            true => self.write_ms(purpose).unwrap_or(i64::MAX),
            false => i64::MAX,
        };
        let silence_ms = match self.silence(purpose).is_some() && self.save.doing.is_none() {
            true => self.save.silence_retry_ms,
            false => i64::MAX,
        };
        let aside_ms = match self.save.aside.is_empty() {
            true => i64::MAX,
            false => self.save.aside_ms.saturating_add(ASIDE_MS),
        };
        write_ms.min(silence_ms).min(aside_ms)
    }

    /// None: not as things are.
    fn write_ms(&self, purpose: Purpose) -> Option<i64> {
        if !self.facts.known || self.is_nowhere() {
            return None;
        }
        if self.facts.runs {
            let takes = self.facts.live && (purpose.active || self.settings.warm);
            return (takes && !self.book.unfiled.is_empty()).then_some(self.save.retry_ms);
        }
        if purpose.active || self.save.hurry {
            return Some(self.save.retry_ms);
        }
        if self.is_receiving {
            return None;
        }
        let next_ms = |saved_ms: i64| saved_ms.saturating_add(purpose.interval_ms);
        let due_ms = self.save.saved_ms.map_or(i64::MIN, next_ms);
        Some(due_ms.max(self.save.retry_ms))
    }

    /// Nobody knows where its leases are.
    pub fn is_nowhere(&self) -> bool {
        self.facts.fault.is_some() && self.facts.file.is_none()
    }

    /// The next order to the server about answering.
    fn silence(&self, purpose: Purpose) -> Option<bool> {
        let wanted = !purpose.answers;
        let told = self.save.silent == Some(wanted);
        let is_kea = matches!(self.settings.format, Format::Kea4 | Format::Kea6);
        let hears = is_kea && self.settings.warm && self.facts.runs && self.facts.live;
        (hears && !told && purpose.told).then_some(wanted)
    }

    /// The server knows whether to answer, or cannot be told.
    pub fn has_heard(&self, purpose: Purpose) -> bool {
        let hears_now = matches!(self.save.doing, Some((_, Doing::Silencing(_))));
        !hears_now && self.silence(purpose).is_none()
    }

    /// Nothing more can be done before the server may answer.
    pub fn is_settled(&self, now_ms: i64, purpose: Purpose) -> bool {
        self.facts.known && !self.is_busy(now_ms, purpose)
    }

    /// A command is to end, or to be given. Nobody waits for a look at the disk, which may hang.
    pub fn is_busy(&self, now_ms: i64, purpose: Purpose) -> bool {
        let doing = self.save.doing.as_ref();
        let does = doing.is_some_and(|(_, doing)| !matches!(doing, Doing::Probing));
        does || self.save.is_reading() || self.save_ms(purpose) <= now_ms
    }

    pub fn next_command(&mut self, now_ms: i64, purpose: Purpose) -> Option<Command> {
        if self.save.doing.is_some() {
            return None;
        }
        if self.book.unfiled.is_empty() && (self.facts.runs || !self.has_unwritten()) {
            self.save.owed = false;
            self.save.failed = None;
        }
        let is_probed = self.is_probed(purpose);
        if !is_probed {
            self.save.no_room = None;
        }
        if !self.save.aside.is_empty() && now_ms >= self.save.aside_ms.saturating_add(ASIDE_MS) {
            self.save.aside_ms = now_ms;
            let aside = std::mem::take(&mut self.save.aside);
            self.book.unfiled.extend(aside.into_keys());
        }
        let silence = self.silence(purpose);
        let silence = silence.filter(|_| now_ms >= self.save.silence_retry_ms);
        // on a backup before anything else, on the active node when it has all leases
        if silence == Some(true) {
            return Some(self.say_silence(true));
        }
        let writes = self.has_unwritten() && self.write_ms(purpose).is_some_and(|it| now_ms >= it);
        match writes {
            true if self.facts.runs => Some(self.apply()),
            true => Some(self.replace(purpose)),
            // a client waits for the server, and nobody for the disk
            false if silence.is_some() => silence.map(|silent| self.say_silence(silent)),
            false => (is_probed && now_ms >= self.probe_ms()).then(|| self.probe(now_ms)),
        }
    }

    fn say_silence(&mut self, silent: bool) -> Command {
        let serial = self.save.command(Doing::Silencing(silent));
        Command::Silence { serial, silent }
    }

    fn probe(&mut self, now_ms: i64) -> Command {
        self.save.probed_ms = Some(now_ms);
        let serial = self.save.command(Doing::Probing);
        let leases = self.book.len();
        Command::Probe { serial, leases }
    }

    fn apply(&mut self) -> Command {
        let mut keys = std::mem::take(&mut self.book.unfiled);
        if let Some(rest) = keys.iter().nth(CHANGES_MAX).copied() {
            self.book.unfiled = keys.split_off(&rest);
        }
        let changes = keys.iter().map(|key| match self.book.get(key) {
            Some(lease) => Change::Put(lease.clone()),
            None => Change::Gone {
                key: *key,
                committed_ms: self.book.gone_ms(key).unwrap_or(0),
            },
        });
        let changes = changes.collect();
        let serial = self.save.command(Doing::Applying(keys));
        Command::Apply { serial, changes }
    }

    fn replace(&mut self, purpose: Purpose) -> Command {
        // the server may have given something right before it stopped
        let look = purpose.active && !purpose.entering && !self.save.looked;
        if look {
            let serial = self.save.command(Doing::Looking);
            return Command::Read { serial };
        }
        self.save.looked = false;
        self.save.hurry = false;
        let rewrite = std::mem::take(&mut self.save.rewrite);
        let keys = std::mem::take(&mut self.book.unfiled);
        let identity = std::mem::take(&mut self.book.identity_unfiled);
        let serial = self.save.command(Doing::Replacing {
            keys,
            identity,
            rewrite,
            leases: self.book.len(),
        });
        let set = self.book.set();
        Command::Replace { serial, set }
    }

    /// The end of a command.
    pub fn handle_done(
        &mut self,
        now_ms: i64,
        serial: u64,
        result: Result<(), String>,
        refused: Vec<(Key, String)>,
        active: bool,
    ) {
        if self.save.reads.remove(&serial) {
            return;
        }
        let Some((_, doing)) = self.save.doing.take_if(|(doing, _)| *doing == serial) else {
            return;
        };
        let retry_ms = now_ms.saturating_add(match active {
            true => RETRY_ACTIVE_MS,
            false => RETRY_BACKUP_MS,
        });
        match (doing, result) {
            (Doing::Looking, _) => self.save.looked = true,
            (Doing::Probing, Ok(())) => {
                if self.save.no_room.take().is_some() {
                    self.save.try_now();
                }
            }
            (Doing::Probing, Err(why)) => self.save.no_room = Some(why),
            (Doing::Silencing(silent), Ok(())) => {
                self.save.silent = Some(silent);
                self.save.unsilenced = None;
            }
            (Doing::Silencing(_), Err(why)) => {
                // it may have done so, with its answer lost
                self.save.silent = None;
                self.save.unsilenced = Some(why);
                self.save.silence_retry_ms = retry_ms;
            }
            (Doing::Applying(_), Ok(())) => {
                self.save.failed = None;
                self.save.owed &= !self.book.unfiled.is_empty();
                self.put_aside(now_ms, refused);
            }
            (Doing::Applying(keys), Err(why)) => {
                self.book.unfiled.extend(keys);
                self.save.failed = Some(why);
                self.save.retry_ms = retry_ms;
            }
            (Doing::Replacing { leases, .. }, Ok(())) => {
                self.save.failed = None;
                self.save.owed = false;
                self.save.saved_ms = Some(now_ms);
                self.save.aside.clear();
                self.facts.broken = None;
                if active {
                    let leases = counted(leases, "lease");
                    self.news
                        .push(format!("{}: {leases} written", self.settings.name));
                }
            }
            (
                Doing::Replacing {
                    keys,
                    identity,
                    rewrite,
                    ..
                },
                Err(why),
            ) => {
                self.book.unfiled.extend(keys);
                self.book.identity_unfiled |= identity;
                self.save.rewrite |= rewrite;
                self.save.failed = Some(why);
                self.save.retry_ms = retry_ms;
            }
        }
    }

    fn put_aside(&mut self, now_ms: i64, refused: Vec<(Key, String)>) {
        if self.save.aside.is_empty() {
            self.save.aside_ms = now_ms;
        }
        for (key, why) in refused {
            // newer words about it may wait already
            if !self.book.unfiled.contains(&key) {
                self.save.aside.insert(key, Some(why));
            }
        }
    }
}
