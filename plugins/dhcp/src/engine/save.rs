//! Writes leases to the server: its whole file if it does not run, the control channel if it runs and supports that.

use super::book::Book;
use super::commands::{Commands, Doing};
use super::deferred::Deferred;
use super::disk::Disk;
use super::leases::Leases;
use super::silence::Silence;
use super::status::counted;
use crate::SECOND;
use crate::codec::Format;
use crate::lease::{Change, Key};
use crate::server::Command;

/// Intervals between retries of a write: on the active node, on a backup.
const RETRY_ACTIVE_NS: u64 = SECOND;
const RETRY_BACKUP_NS: u64 = 10 * SECOND;
/// Largest number of changes in one command.
const CHANGES_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub struct Save {
    commands: Commands,
    silence: Silence,
    disk: Disk,
    deferred: Deferred,
    /// The whole file has to be written.
    rewrite: bool,
    /// A backup writes now instead of later.
    write_now: bool,
    /// The node is not in sync before that is written.
    blocks_sync: bool,
    /// The tail of the file was read for the next write.
    looked: bool,
    /// Reason why the last write failed.
    failed: Option<String>,
    /// Failure that was last reported.
    said: Option<String>,
    saved_ns: Option<u64>,
    retry_ns: u64,
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
        self.silence = Silence::default();
        self.looked = false;
        self.try_now();
        book.not_in_file.extend(self.deferred.take());
    }

    pub fn try_now(&mut self) {
        self.retry_ns = 0;
        self.silence.try_now();
    }

    /// Requests the whole file to be written.
    pub fn request_rewrite(&mut self) {
        self.rewrite = true;
    }

    /// Handles that all leases of the active node are here, or that this node is backup again: a backup with something
    /// to write writes at once, and is not in sync before.
    pub fn handle_whole(&mut self, has_unwritten: bool) {
        (self.write_now, self.blocks_sync) = (has_unwritten, has_unwritten);
    }

    /// Handles the end of the process: a backup with something to write writes at once.
    pub fn handle_end(&mut self, has_unwritten: bool) {
        self.write_now = has_unwritten;
    }

    /// Handles a lease that the running server has with other values.
    pub fn handle_other(&mut self, key: Key) {
        self.deferred.handle_other(key);
    }

    /// Handles a lease of the peer: what the server refused is replaced.
    pub fn handle_replaced(&mut self, key: &Key) {
        self.deferred.remove(key);
    }

    pub fn is_writing(&self, key: &Key) -> bool {
        let keys = self.commands.keys();
        keys.is_some_and(|keys| keys.contains(key))
    }

    #[cfg(test)]
    pub fn serial(&self) -> u64 {
        self.commands.serial()
    }

    pub fn is_replacing(&self) -> bool {
        self.commands.is_replacing()
    }

    pub fn is_reading(&self) -> bool {
        self.commands.is_reading()
    }

    pub fn forget_reads(&mut self) {
        self.commands.forget_readings();
    }

    pub fn is_silent(&self) -> bool {
        self.silence.silent() == Some(true)
    }

    /// True if the node is not in sync before it has written.
    pub fn blocks_sync(&self) -> bool {
        self.blocks_sync
    }

    pub fn in_flight(&self) -> usize {
        self.commands.keys().map_or(0, |keys| keys.len())
    }

    /// Number of leases that the server refused.
    pub fn refused(&self) -> usize {
        self.deferred.refused()
    }

    pub fn read(&mut self) -> Command {
        let serial = self.commands.begin_reading();
        Command::Read { serial }
    }

    /// Reason why leases cannot be written.
    pub fn fault(&self) -> Option<&String> {
        self.failed.as_ref().or(self.disk.fault())
    }

    /// Reason why the command to answer or to be silent could not be given.
    pub fn silence_fault(&self) -> Option<&String> {
        self.silence.fault()
    }

    /// The first refusal of a lease, as a sentence.
    pub fn refusal(&self) -> Option<String> {
        self.deferred.refusal()
    }

    /// Returns a failure that was not reported yet.
    pub fn take_failure(&mut self) -> Option<String> {
        let failure = self.failed.as_ref().or(self.disk.fault());
        if failure == self.said.as_ref() {
            return None;
        }
        self.said = failure.cloned();
        self.said.clone()
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
        let probe_ns = if self.is_probed(purpose) && self.save.commands.is_idle() {
            self.save.disk.due_ns()
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
        self.save.disk.fault().filter(|_| is_dnsmasq)
    }

    /// Returns the time of the next possible write.
    pub fn save_ns(&self, purpose: Purpose) -> u64 {
        if !self.save.commands.is_idle() {
            return u64::MAX;
        }
        let write_ns = self.has_unwritten().then(|| self.write_ns(purpose));
        let silence = self.silence(purpose);
        let silence_ns = silence.map(|_| self.save.silence.retry_ns());
        let deferred_ns = self.save.deferred.due_ns();
        let due = [write_ns.flatten(), silence_ns, deferred_ns];
        due.into_iter().flatten().min().unwrap_or(u64::MAX)
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
        if self.following.is_receiving() {
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
        let told = self.save.silence.silent() == Some(wanted);
        let is_kea = matches!(self.settings.format, Format::Kea4 | Format::Kea6);
        let hears = is_kea && self.settings.warm && self.facts.runs && self.facts.live;
        (hears && !told && purpose.told).then_some(wanted)
    }

    /// Returns true if the server has received the command, or cannot receive one.
    pub fn has_heard(&self, purpose: Purpose) -> bool {
        !self.save.commands.is_silencing() && self.silence(purpose).is_none()
    }

    /// Returns true if nothing more can be done before the server may answer.
    pub fn is_settled(&self, now_ns: u64, purpose: Purpose) -> bool {
        self.facts.known && !self.is_busy(now_ns, purpose)
    }

    /// Returns true if a command is pending or due. A check of the disk does not count, since it may hang.
    pub fn is_busy(&self, now_ns: u64, purpose: Purpose) -> bool {
        let doing = self.save.commands.doing();
        let does = doing.is_some_and(|doing| !matches!(doing, Doing::Probing));
        does || self.save.is_reading() || self.save_ns(purpose) <= now_ns
    }

    pub fn next_command(&mut self, now_ns: u64, purpose: Purpose) -> Option<Command> {
        if !self.save.commands.is_idle() {
            return None;
        }
        if self.book.not_in_file.is_empty() && (self.facts.runs || !self.has_unwritten()) {
            self.save.blocks_sync = false;
            self.save.failed = None;
        }
        let is_probed = self.is_probed(purpose);
        if !is_probed {
            self.save.disk.handle_unneeded();
        }
        let retried = self.save.deferred.take_due(now_ns);
        self.book.not_in_file.extend(retried);
        let silence = self.silence(purpose);
        let silence = silence.filter(|_| now_ns >= self.save.silence.retry_ns());
        // on a backup before everything else, on the active node once it has all leases
        if silence == Some(true) {
            return Some(self.say_silence(true));
        }
        let writes = self.has_unwritten() && self.write_ns(purpose).is_some_and(|it| now_ns >= it);
        if writes && self.facts.runs {
            return Some(self.apply());
        }
        if writes {
            return Some(self.replace(purpose));
        }
        // a client waits for the server, and nothing waits for the disk check
        if let Some(silent) = silence {
            return Some(self.say_silence(silent));
        }
        let is_due = is_probed && now_ns >= self.save.disk.due_ns();
        is_due.then(|| self.probe(now_ns))
    }

    fn say_silence(&mut self, silent: bool) -> Command {
        let serial = self.save.commands.begin(Doing::Silencing(silent));
        Command::Silence { serial, silent }
    }

    fn probe(&mut self, now_ns: u64) -> Command {
        self.save.disk.handle_begun(now_ns);
        let serial = self.save.commands.begin(Doing::Probing);
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
        let serial = self.save.commands.begin(Doing::Applying(keys));
        Command::Apply { serial, changes }
    }

    fn replace(&mut self, purpose: Purpose) -> Command {
        // the server may have granted a lease just before it stopped
        let look = purpose.active && !purpose.entering && !self.save.looked;
        if look {
            let serial = self.save.commands.begin(Doing::Looking);
            return Command::Read { serial };
        }
        self.save.looked = false;
        self.save.write_now = false;
        let rewrite = std::mem::take(&mut self.save.rewrite);
        let keys = std::mem::take(&mut self.book.not_in_file);
        let identity = std::mem::take(&mut self.book.identity_not_in_file);
        let serial = self.save.commands.begin(Doing::Replacing {
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
        let Some(doing) = self.save.commands.end(serial) else {
            return;
        };
        let retry_ns = now_ns.saturating_add(if active {
            RETRY_ACTIVE_NS
        } else {
            RETRY_BACKUP_NS
        });
        match (doing, result) {
            (Doing::Looking, _) => self.save.looked = true,
            (Doing::Probing, result) => {
                if self.save.disk.handle_checked(result) {
                    self.save.try_now();
                }
            }
            (Doing::Silencing(silent), Ok(())) => self.save.silence.handle_done(silent),
            // a server that has stopped is told when it starts again
            (Doing::Silencing(_), Err(_)) if !self.facts.runs => {}
            (Doing::Silencing(silent), Err(why)) => {
                let silence = &mut self.save.silence;
                silence.handle_failure(now_ns, silent, why, retry_ns);
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
                self.refusals.clear_granted();
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
        // a newer change of it may wait already
        let waits = |key: &Key| self.book.not_in_file.contains(key);
        let refused = refused.into_iter().filter(|(key, _)| !waits(key));
        self.save.deferred.handle_refused(now_ns, refused);
    }
}
