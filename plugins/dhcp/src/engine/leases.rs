//! Leases of one server of this node: what its files report, and what becomes of it.

use std::path::PathBuf;

use spared_replica::{Change as Changed, CopyState};

use super::book::{Book, is_living, is_same};
use super::conflict::Conflicts;
use super::copy::{CompleteCopy, CopyNote};
use super::following::Following;
use super::news::News;
use super::refusals::Refusals;
use super::save::Save;
use super::setup::Setup;
use crate::MS;
use crate::codec::{self, Format};
use crate::config::Server;
use crate::lease::{Change, Key, Lease, signed};
use crate::server::{Event, Stamp, Unread};
use crate::wire::{self, RecordKey};

#[derive(Debug)]
pub struct Leases {
    pub settings: Server,
    pub book: Book,
    pub save: Save,
    pub facts: ServerState,
    pub setup: Setup,
    /// The book has the leases of the file or of the peer, and not only changes since a fault.
    pub is_filled: bool,
    pub following: Following,
    pub copy: CopyNote,
    pub refusals: Refusals,
    pub conflicts: Conflicts,
    pub counters: Counters,
    pub news: News,
    /// Changes by this node's server that the replica has not received.
    changed: Vec<(RecordKey, Changed)>,
    /// Key of the peer's lease that is about to be put, since it is the later one.
    pub(super) preferred: Option<Key>,
}

/// Last report of the server's thread.
#[derive(Debug, Default)]
pub struct ServerState {
    /// Path of the lease file; None if unknown.
    pub file: Option<PathBuf>,
    /// Stamp of that file when it was last read or written here.
    pub stamp: Option<Stamp>,
    /// The server continues in a file that has lost its name.
    pub has_unnamed_file: bool,
    /// The server has closed that file, and the file with the name has not been read yet.
    pub had_unnamed_file: bool,
    /// Unreadable part of the file.
    pub unread: Unread,
    /// The contents of the file are known, or known to be unavailable.
    pub known: bool,
    pub runs: bool,
    pub live: bool,
    pub fault: Option<String>,
    /// Reason why the server does not work although it runs.
    pub hangs: Option<String>,
    /// Reason why it cannot be determined whether it works.
    pub hidden: Option<String>,
    /// Other program that has the server's port, so that the server cannot serve.
    pub port: Option<String>,
    /// Reason why the peer's plugin cannot replicate its server.
    pub at_peer: Option<String>,
    /// Reason why the last reading was incomplete.
    pub broken: Option<String>,
}

#[derive(Debug, Default)]
pub struct Counters {
    /// Number of commits by the server here.
    pub commits: u64,
    /// Number of leases that the peer sent.
    pub received: u64,
}

impl Leases {
    pub fn new(settings: Server, copy: Option<CompleteCopy>) -> Self {
        Self {
            settings,
            book: Book::default(),
            save: Save::default(),
            facts: ServerState::default(),
            setup: Setup::default(),
            is_filled: false,
            following: Following::default(),
            copy: CopyNote::new(copy),
            refusals: Refusals::default(),
            conflicts: Conflicts::default(),
            counters: Counters::default(),
            news: News::default(),
            changed: Vec::new(),
            preferred: None,
        }
    }

    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Handles reports of the server's thread, except results of commands. Returns true if what was noted about the
    /// peer does not apply to the file.
    pub fn handle_event(&mut self, now_ns: u64, event: Event) -> bool {
        match event {
            Event::Place(file) => self.facts.file = file,
            Event::Stamp(stamp) => self.facts.stamp = Some(stamp),
            Event::Unread(unread) => self.handle_unread(unread),
            Event::UnnamedFile(has_unnamed_file) => self.handle_unnamed_file(has_unnamed_file),
            Event::Reading { set, broken } => {
                // an earlier fault has begun the replica's table
                let is_begun = self.facts.known;
                let is_first = !std::mem::replace(&mut self.is_filled, true);
                self.handle_reading(now_ns, set, broken);
                return is_first && self.begin_table(is_begun);
            }
            Event::Changes(changes) => {
                for change in changes {
                    if self.following.is_of_peer() {
                        self.compare(now_ns, change)
                    } else {
                        self.commit(now_ns, change)
                    }
                }
            }
            Event::Identity(identity) => self.handle_identity(Some(identity)),
            Event::Runs { runs, live } => {
                (self.facts.runs, self.facts.live) = (runs, live);
                self.save.handle_runs(&mut self.book);
            }
            Event::Hangs(why) => self.facts.hangs = why,
            Event::Hidden(why) => self.facts.hidden = why,
            Event::Port(why) => self.facts.port = why,
            Event::Setup { fault, pools } => (self.setup.fault, self.setup.pools) = (fault, pools),
            Event::Fault(fault) => {
                self.facts.known |= fault.is_some();
                self.facts.fault = fault;
            }
            // files written here are wrong by the step; the server's own writing is its affair
            Event::ClockSet => {
                let is_copy = self.following.is_of_peer() && self.book.len() > 0;
                if is_copy && !self.facts.runs {
                    self.save.request_rewrite();
                }
            }
            Event::Done { .. } => {}
        }
        false
    }

    /// Begins the table with the first reading. The file's leases are older than the replica and are no changes. If
    /// this node was backup and nobody wrote the file meanwhile, they are the peer's. Returns true if somebody did.
    fn begin_table(&mut self, is_begun: bool) -> bool {
        let is_replaced = self.copy.handle_first_reading(self.facts.stamp);
        let follows = self.copy.is_complete();
        if follows || !is_begun {
            self.changed.clear();
        }
        if follows && !self.following.is_of_peer() {
            self.book.recall();
            self.following.handle_recalled();
            self.follow();
        }
        is_replaced
    }

    /// Handles the state of the copy of the active peer's leases; None: none is wanted, or nothing is here.
    pub(super) fn handle_copy(&mut self, copy: Option<CopyState>) {
        // until then, leases that this node's server granted are in transit to the peer
        if matches!(copy, Some(CopyState::Received | CopyState::Complete)) {
            self.follow();
        }
        if self.following.handle_copy(copy) {
            self.handle_whole();
        }
    }

    /// Returns the copy to note for the next process, if it is not noted yet and it is time.
    pub(super) fn take_note(&mut self, now_ns: u64) -> Option<CompleteCopy> {
        self.copy.take(now_ns, self.read_stamp(), self.facts.runs)
    }

    /// Returns the time of the next note.
    pub(super) fn note_due_ns(&self) -> u64 {
        self.copy.due_ns(self.read_stamp())
    }

    /// Stamp of the file; None before it was read, as it is unknown whether it is still the same.
    fn read_stamp(&self) -> Option<Stamp> {
        self.facts.stamp.filter(|_| self.is_filled)
    }

    /// Prepares the end of the process: pending notes are written at once, and so are leases.
    pub(super) fn handle_end(&mut self) {
        self.copy.handle_end();
        let is_due = self.has_unwritten() && !self.following.is_receiving();
        self.save.handle_end(is_due);
    }

    /// Marks the book as a copy of the peer's.
    fn follow(&mut self) {
        if self.following.handle_peer() {
            self.refusals.clear_granted();
        }
    }

    /// Returns the changes for the replica since the last call.
    pub(super) fn take_changed(&mut self) -> Vec<(RecordKey, Changed)> {
        std::mem::take(&mut self.changed)
    }

    /// Handles a commit that the server has just made: it counts as later than all known ones.
    fn commit(&mut self, now_ns: u64, change: Change) {
        self.counters.commits += 1;
        let key = change.key();
        let known_ns = self.book.get(&key).map(|it| it.committed_ns);
        let known_ns = known_ns.max(self.book.gone_ns(&key));
        // messages contain ms
        let after_ns = known_ns.map_or(i64::MIN, |it| it.saturating_add(signed(MS)));
        let now_ns = signed(now_ns);
        match change {
            Change::Put(mut lease) => {
                lease.committed_ns = lease.committed_ns.min(now_ns).max(after_ns);
                self.learn(lease);
            }
            // the time of the release is unknown: Kea writes when it granted the lease
            Change::Gone { .. } => self.lose(key, now_ns.max(after_ns)),
        }
    }

    pub(super) fn note_changed(&mut self, key: RecordKey, change: Changed) {
        self.changed.push((key, change));
    }

    pub(super) fn learn(&mut self, lease: Lease) {
        let key = lease.key;
        if !self.admits(&lease) {
            return self.refusals.note_granted(key);
        }
        self.refusals.end(&key);
        self.note_in_file(key);
        match self.book.get(&key) {
            Some(known) if is_same(known, &lease) => self.book.touch(&key, lease.committed_ns),
            _ => {
                self.book.put(lease, true);
                self.note_changed(RecordKey::Lease(key), Changed::Put);
            }
        }
    }

    pub(super) fn lose(&mut self, key: Key, gone_ns: i64) {
        self.refusals.end(&key);
        self.note_in_file(key);
        if self.book.get(&key).is_some() {
            self.book.remove(&key, gone_ns);
            self.note_changed(RecordKey::Lease(key), Changed::Deleted);
        }
    }

    /// Takes note that the server has the present lease; a file that is being replaced will lose it.
    fn note_in_file(&mut self, key: Key) {
        if self.save.is_replacing() {
            self.book.not_in_file.insert(key);
        } else {
            self.book.not_in_file.remove(&key);
        }
    }

    pub fn drop_lease(&mut self, key: &Key, gone_ns: i64) {
        if self.book.remove(key, gone_ns) {
            self.mark_not_in_file(*key);
        }
    }

    pub(super) fn mark_not_in_file(&mut self, key: Key) {
        self.save.handle_replaced(&key);
        self.book.not_in_file.insert(key);
    }

    /// Returns true if the lease is valid for the server and within the limit.
    pub fn admits(&mut self, lease: &Lease) -> bool {
        let why = match codec::fits(self.settings.format, lease) {
            Err(why) => format!("{}: {why}", lease.key.address),
            Ok(()) if !wire::is_short(lease) => format!("{}: it is too long", lease.key.address),
            Ok(()) if !self.book.has_room_for(&lease.key) => {
                format!("{}: there is no room for more leases", lease.key.address)
            }
            Ok(()) => return true,
        };
        self.refusals.note(why);
        false
    }

    pub(super) fn handle_identity(&mut self, identity: Option<Vec<u8>>) {
        let waits = self.book.identity_not_in_file && !self.facts.runs;
        if self.following.is_of_peer() || waits {
            self.book.identity_not_in_file = self.book.identity() != identity.as_ref();
        } else if self.book.set_identity(identity) {
            self.note_changed(RecordKey::Identity, Changed::Put);
            self.book.identity_not_in_file = false;
        } else {
            self.book.identity_not_in_file = false;
        }
    }

    /// Handles a commit of a server that should not make any, or an expiry.
    fn compare(&mut self, now_ns: u64, change: Change) {
        let key = change.key();
        let known = self.book.get(&key);
        let living = known.is_some_and(|known| is_living(now_ns, known));
        let differs = match &change {
            Change::Put(lease) => match known {
                Some(known) => !is_same(known, lease) && (living || is_living(now_ns, lease)),
                None => is_living(now_ns, lease),
            },
            Change::Gone { .. } => living,
        };
        if !differs {
            self.book.not_in_file.remove(&key);
        } else if self.facts.live {
            // writing at once would lead to an endless dispute with the server
            self.save.handle_other(key);
        } else {
            self.book.not_in_file.insert(key);
        }
    }

    /// Returns true if the file differs, or will only be right when a command is done.
    pub(super) fn is_not_in_file(&self, key: &Key) -> bool {
        self.book.not_in_file.contains(key) || self.save.is_writing(key)
    }

    /// Takes note that all leases of the active node are here.
    fn handle_whole(&mut self) {
        self.is_filled = true;
        // a server may refuse to start without its file
        if self.facts.fault.is_some() {
            self.save.request_rewrite();
        }
        self.save.handle_whole(self.has_unwritten());
    }

    /// Requests a missing file to be written: some servers refuse to start without it and no other program creates it,
    /// and a backup's copies belong in it.
    pub fn make_missing_file(&mut self) {
        let is_dhcpd = matches!(self.settings.format, Format::Dhcpd4 | Format::Dhcpd6);
        let is_wanted = is_dhcpd || self.following.is_of_peer() && self.book.len() > 0;
        let is_missing = self.facts.fault.is_some() && self.facts.file.is_some();
        let is_idle = !self.facts.runs && !self.save.is_replacing();
        if is_wanted && is_missing && is_idle {
            self.save.request_rewrite();
        }
    }
}
