//! Writes leases to the server: its whole file if it does not run, the control channel if it runs and supports that.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Book;
use super::leases::Leases;
use super::status::counted;
use crate::SECOND;
use crate::codec::Format;
use crate::lease::{Change, Key};
use crate::server::Command;

/// Intervals between retries of a write: on the active node, on a backup.
const RETRY_ACTIVE_NS: u64 = SECOND;
const RETRY_BACKUP_NS: u64 = 10 * SECOND;
/// Longest interval, doubled each time, between retries of the command to answer: Kea reads its configuration and all
/// of its leases for each.
const RETRY_ANSWER_NS: u64 = 60 * SECOND;
/// Time after which refused leases, and leases with other values in the server, are retried.
const RETRY_DEFERRED_NS: u64 = 60 * SECOND;
/// Interval between checks of free disk space, on an active node and on a backup that has something to write.
const PROBE_NS: u64 = SECOND;
/// Largest number of changes in one command.
const CHANGES_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub struct Save {
    serial: u64,
    doing: Option<(u64, Doing)>,
    reads: BTreeSet<u64>,
    /// The whole file has to be written.
    pub rewrite: bool,
    /// A backup writes now instead of later.
    pub write_now: bool,
    /// The node is not in sync before that is written.
    pub blocks_sync: bool,
    pub failed: Option<String>,
    /// Reason why waiting leases could not be written.
    pub no_room: Option<String>,
    probed_ns: Option<u64>,
    said: Option<String>,
    /// Reason why the command to answer or to be silent could not be given.
    pub unsilenced: Option<String>,
    saved_ns: Option<u64>,
    retry_ns: u64,
    silence_retry_ns: u64,
    /// Number of failed commands to answer in a row.
    silence_failures: u32,
    /// Last command to the server: true to be silent.
    silent: Option<bool>,
    /// The tail of the file was read for the next write.
    looked: bool,
    /// Leases that the server refused, with the reason, or has with other values (None).
    pub deferred: BTreeMap<Key, Option<String>>,
    deferred_ns: u64,
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

/// Circumstances of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose {
    pub active: bool,
    /// The server should answer clients.
    pub answers: bool,
    /// The node has just become active: its server waits for the file.
    pub entering: bool,
    /// A role was received: before its first role a restarted node may be the active one.
    pub told: bool,
    pub interval_ns: u64,
}

impl Save {
    /// Handles the start or stop of a server: it has received no command, and may accept refused leases.
    pub fn handle_runs(&mut self, book: &mut Book) {
        (self.silent, self.unsilenced) = (None, None);
        self.looked = false;
        self.try_now();
        book.not_in_file
            .extend(std::mem::take(&mut self.deferred).into_keys());
    }

    pub fn try_now(&mut self) {
        (self.retry_ns, self.silence_retry_ns, self.silence_failures) = (0, 0, 0);
    }

    /// Returns the wait until the next retry of the command to answer.
    fn next_wait_ns(&mut self) -> u64 {
        let factor = 1_u64.checked_shl(self.silence_failures).unwrap_or(u64::MAX);
        self.silence_failures = self.silence_failures.saturating_add(1);
        RETRY_ACTIVE_NS.saturating_mul(factor).min(RETRY_ANSWER_NS)
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

    /// Returns a failure that was not reported yet.
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
        !self.book.not_in_file.is_empty() || self.book.identity_not_in_file || self.save.rewrite
    }

    /// Returns the number of leases that wait for the server to stop or to accept them.
    pub fn waiting(&self) -> usize {
        self.book.not_in_file.len() + self.save.deferred.len() + self.save.in_flight()
    }

    /// Returns the time of the next work.
    pub fn due_ns(&self, purpose: Purpose) -> u64 {
        let probe_ns = if self.is_probed(purpose) && self.save.doing.is_none() {
            self.probe_ns()
        } else {
            u64::MAX
        };
        self.save_ns(purpose).min(probe_ns)
    }

    /// Returns true if free disk space matters: to a backup that is to write its file, and to a server that answers
    /// clients. Without space, one kind of server grants leases that it cannot write, another grants none, and neither
    /// reports it.
    fn is_probed(&self, purpose: Purpose) -> bool {
        let is_found = self.facts.known && self.facts.file.is_some();
        is_found
            && if purpose.active {
                self.facts.runs
            } else {
                !self.facts.runs && self.has_unwritten()
            }
    }

    /// Returns the reason why leases that the active server granted are in no file. Only dnsmasq grants such leases.
    pub fn unwritten_by_server(&self) -> Option<&String> {
        let is_dnsmasq = self.settings.format == Format::Dnsmasq;
        self.save.no_room.as_ref().filter(|_| is_dnsmasq)
    }

    fn probe_ns(&self) -> u64 {
        let probed_ns = self.save.probed_ns;
        probed_ns.map_or(0, |it| it.saturating_add(PROBE_NS))
    }

    /// Returns the time of the next possible write.
    pub fn save_ns(&self, purpose: Purpose) -> u64 {
        let write_ns = if self.has_unwritten() && self.save.doing.is_none() {
            self.write_ns(purpose).unwrap_or(u64::MAX)
        } else {
            u64::MAX
        };
        let silence_ns = if self.silence(purpose).is_some() && self.save.doing.is_none() {
            self.save.silence_retry_ns
        } else {
            u64::MAX
        };
        let deferred_ns = if !self.save.deferred.is_empty() && self.save.doing.is_none() {
            self.save.deferred_ns.saturating_add(RETRY_DEFERRED_NS)
        } else {
            u64::MAX
        };
        write_ns.min(silence_ns).min(deferred_ns)
    }

    /// Returns the time of the next write; None if it is not possible in the present state.
    fn write_ns(&self, purpose: Purpose) -> Option<u64> {
        if !self.facts.known || self.is_nowhere() {
            return None;
        }
        if self.facts.runs {
            let takes = self.facts.live && (purpose.active || self.settings.warm);
            return (takes && !self.book.not_in_file.is_empty()).then_some(self.save.retry_ns);
        }
        if purpose.active || self.save.write_now {
            return Some(self.save.retry_ns);
        }
        if self.is_receiving {
            return None;
        }
        let next_ns = |saved_ns: u64| saved_ns.saturating_add(purpose.interval_ns);
        let due_ns = self.save.saved_ns.map_or(0, next_ns);
        Some(due_ns.max(self.save.retry_ns))
    }

    /// Returns true if the location of the leases is unknown.
    pub fn is_nowhere(&self) -> bool {
        self.facts.fault.is_some() && self.facts.file.is_none()
    }

    /// Returns the next command to the server: true to be silent, false to answer.
    fn silence(&self, purpose: Purpose) -> Option<bool> {
        let wanted = !purpose.answers;
        let told = self.save.silent == Some(wanted);
        let is_kea = matches!(self.settings.format, Format::Kea4 | Format::Kea6);
        let hears = is_kea && self.settings.warm && self.facts.runs && self.facts.live;
        (hears && !told && purpose.told).then_some(wanted)
    }

    /// Returns true if the server has received the command, or cannot receive one.
    pub fn has_heard(&self, purpose: Purpose) -> bool {
        let hears_now = matches!(self.save.doing, Some((_, Doing::Silencing(_))));
        !hears_now && self.silence(purpose).is_none()
    }

    /// Returns true if nothing more can be done before the server may answer.
    pub fn is_settled(&self, now_ns: u64, purpose: Purpose) -> bool {
        self.facts.known && !self.is_busy(now_ns, purpose)
    }

    /// Returns true if a command is pending or due. A check of the disk does not count, since it may hang.
    pub fn is_busy(&self, now_ns: u64, purpose: Purpose) -> bool {
        let doing = self.save.doing.as_ref();
        let does = doing.is_some_and(|(_, doing)| !matches!(doing, Doing::Probing));
        does || self.save.is_reading() || self.save_ns(purpose) <= now_ns
    }

    pub fn next_command(&mut self, now_ns: u64, purpose: Purpose) -> Option<Command> {
        if self.save.doing.is_some() {
            return None;
        }
        if self.book.not_in_file.is_empty() && (self.facts.runs || !self.has_unwritten()) {
            self.save.blocks_sync = false;
            self.save.failed = None;
        }
        let is_probed = self.is_probed(purpose);
        if !is_probed {
            self.save.no_room = None;
        }
        if !self.save.deferred.is_empty()
            && now_ns >= self.save.deferred_ns.saturating_add(RETRY_DEFERRED_NS)
        {
            self.save.deferred_ns = now_ns;
            let deferred = std::mem::take(&mut self.save.deferred);
            self.book.not_in_file.extend(deferred.into_keys());
        }
        let silence = self.silence(purpose);
        let silence = silence.filter(|_| now_ns >= self.save.silence_retry_ns);
        // on a backup before everything else, on the active node once it has all leases
        if silence == Some(true) {
            return Some(self.say_silence(true));
        }
        let writes = self.has_unwritten() && self.write_ns(purpose).is_some_and(|it| now_ns >= it);
        match writes {
            true if self.facts.runs => Some(self.apply()),
            true => Some(self.replace(purpose)),
            // a client waits for the server, and nothing waits for the disk check
            false if silence.is_some() => silence.map(|silent| self.say_silence(silent)),
            false => (is_probed && now_ns >= self.probe_ns()).then(|| self.probe(now_ns)),
        }
    }

    fn say_silence(&mut self, silent: bool) -> Command {
        let serial = self.save.command(Doing::Silencing(silent));
        Command::Silence { serial, silent }
    }

    fn probe(&mut self, now_ns: u64) -> Command {
        self.save.probed_ns = Some(now_ns);
        let serial = self.save.command(Doing::Probing);
        let leases = self.book.len();
        Command::Probe { serial, leases }
    }

    fn apply(&mut self) -> Command {
        let mut keys = std::mem::take(&mut self.book.not_in_file);
        if let Some(rest) = keys.iter().nth(CHANGES_MAX).copied() {
            self.book.not_in_file = keys.split_off(&rest);
        }
        let changes = keys.iter().map(|key| match self.book.get(key) {
            Some(lease) => Change::Put(lease.clone()),
            None => Change::Gone {
                key: *key,
                committed_ns: self.book.gone_ns(key).unwrap_or(0),
            },
        });
        let changes = changes.collect();
        let serial = self.save.command(Doing::Applying(keys));
        Command::Apply { serial, changes }
    }

    fn replace(&mut self, purpose: Purpose) -> Command {
        // the server may have granted a lease just before it stopped
        let look = purpose.active && !purpose.entering && !self.save.looked;
        if look {
            let serial = self.save.command(Doing::Looking);
            return Command::Read { serial };
        }
        self.save.looked = false;
        self.save.write_now = false;
        let rewrite = std::mem::take(&mut self.save.rewrite);
        let keys = std::mem::take(&mut self.book.not_in_file);
        let identity = std::mem::take(&mut self.book.identity_not_in_file);
        let serial = self.save.command(Doing::Replacing {
            keys,
            identity,
            rewrite,
            leases: self.book.len(),
        });
        let set = self.book.set();
        Command::Replace { serial, set }
    }

    /// Handles the result of a command.
    pub fn handle_done(
        &mut self,
        now_ns: u64,
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
        let retry_ns = now_ns.saturating_add(if active {
            RETRY_ACTIVE_NS
        } else {
            RETRY_BACKUP_NS
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
                self.save.silence_failures = 0;
            }
            (Doing::Silencing(silent), Err(why)) => {
                // the server may have obeyed, and its answer was lost
                self.save.silent = None;
                self.save.unsilenced = Some(why);
                self.save.silence_retry_ns = if silent {
                    retry_ns
                } else {
                    now_ns.saturating_add(self.save.next_wait_ns())
                };
            }
            (Doing::Applying(_), Ok(())) => {
                self.save.failed = None;
                self.save.blocks_sync &= !self.book.not_in_file.is_empty();
                self.put_aside(now_ns, refused);
            }
            (Doing::Applying(keys), Err(why)) => {
                self.book.not_in_file.extend(keys);
                self.save.failed = Some(why);
                self.save.retry_ns = retry_ns;
            }
            (Doing::Replacing { leases, .. }, Ok(())) => {
                self.save.failed = None;
                self.save.blocks_sync = false;
                self.save.saved_ns = Some(now_ns);
                self.save.deferred.clear();
                self.rejected.clear();
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
                self.book.not_in_file.extend(keys);
                self.book.identity_not_in_file |= identity;
                self.save.rewrite |= rewrite;
                self.save.failed = Some(why);
                self.save.retry_ns = retry_ns;
            }
        }
    }

    fn put_aside(&mut self, now_ns: u64, refused: Vec<(Key, String)>) {
        if self.save.deferred.is_empty() {
            self.save.deferred_ns = now_ns;
        }
        for (key, why) in refused {
            // a newer change of it may wait already
            if !self.book.not_in_file.contains(&key) {
                self.save.deferred.insert(key, Some(why));
            }
        }
    }
}
