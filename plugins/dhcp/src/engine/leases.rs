//! One server of this node: what its files say, and what became of that.

use std::collections::BTreeSet;
use std::path::PathBuf;

use spared_replica::Change as Changed;

use super::book::{Book, LEASES_MAX, is_living, is_same};
use super::conflict::Conflicts;
use super::save::Save;
use super::setup::Setup;
use crate::codec::{self, Format};
use crate::config::Server;
use crate::lease::{Change, Key, Lease, signed};
use crate::server::{Event, Stamp, Unread};
use crate::wire::{self, RecordKey};
use crate::{MS, SECOND};

/// Least time between two notes of a file that its server writes on a backup, too.
const NOTE_NS: u64 = SECOND;

/// The active node whose leases are all here, and the file that had them, or will have them when it
/// is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// Incarnation of the active node's leases.
    pub life: u64,
    pub stamp: Stamp,
}

#[derive(Debug)]
pub struct Leases {
    pub settings: Server,
    pub book: Book,
    pub save: Save,
    pub facts: ServerState,
    pub setup: Setup,
    /// The book has what the file or the peer had, and not only what came since a fault.
    pub is_filled: bool,
    /// The book has the peer's leases, not those of the server here.
    pub of_peer: bool,
    /// Incarnation of the active peer's leases of which all were here, since when this node was not
    /// active.
    pub lineage: Option<u64>,
    /// What was last noted of that for the next process, and when more may be.
    noted: Option<Lineage>,
    note_ns: u64,
    /// The process ends.
    is_ending: bool,
    /// The file is not the one that was noted: what was recalled of the peer does not hold for it.
    pub is_disowned: bool,
    /// What the file had at the start is taken for what both nodes have, and no peer has confirmed it.
    pub is_recalled: bool,
    /// Everything that the active peer has is here.
    pub is_whole: bool,
    /// It was sent in part.
    pub is_receiving: bool,
    /// Leases that the server here gave, and that fit no such server or found no room.
    pub untaken: BTreeSet<Key>,
    /// Changed by this node's server, and not told the replica.
    pub changed: Vec<(RecordKey, Changed)>,
    pub conflicts: Conflicts,
    pub counters: Counters,
    /// Sentences for people, until they are said.
    pub news: Vec<String>,
    /// The same, one for each address that was given twice.
    pub twice: Vec<String>,
    /// A lease of the peer's that is about to be put, since it is the later one.
    pub(super) preferred: Option<Key>,
}

/// The last report of the server's thread.
#[derive(Debug, Default)]
pub struct ServerState {
    /// Path of its lease file; None: unknown.
    pub file: Option<PathBuf>,
    /// That file, as it was last read or written here.
    pub stamp: Option<Stamp>,
    /// The server goes on in a file that has lost that name.
    pub is_astray: bool,
    /// It has closed that file, and the file of that name is not read yet.
    pub was_astray: bool,
    /// Unreadable part of the file.
    pub unread: Unread,
    /// It is known what the file holds, or that nobody can know.
    pub known: bool,
    pub runs: bool,
    pub live: bool,
    pub fault: Option<String>,
    /// Why it does not do its work though it runs.
    pub hangs: Option<String>,
    /// Why nobody can see whether it does.
    pub hidden: Option<String>,
    /// Which other program has its port, so that it does not serve or would not.
    pub port: Option<String>,
    /// The peer's plugin cannot follow its server.
    pub at_peer: Option<String>,
    /// The last reading was not whole.
    pub broken: Option<String>,
}

#[derive(Debug, Default)]
pub struct Counters {
    /// The last lease that fitted no such server, or found no room, with the reason.
    pub last_refused: Option<String>,
    pub commits: u64,
    pub received: u64,
}

impl Leases {
    pub fn new(settings: Server, lineage: Option<Lineage>) -> Self {
        Self {
            settings,
            book: Book::default(),
            save: Save::default(),
            facts: ServerState::default(),
            setup: Setup::default(),
            is_filled: false,
            of_peer: false,
            lineage: lineage.map(|it| it.life),
            noted: lineage,
            note_ns: 0,
            is_ending: false,
            is_disowned: false,
            is_recalled: false,
            is_whole: false,
            is_receiving: false,
            untaken: BTreeSet::new(),
            changed: Vec::new(),
            conflicts: Conflicts::default(),
            counters: Counters::default(),
            news: Vec::new(),
            twice: Vec::new(),
            preferred: None,
        }
    }

    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Handles reports of the server's thread, except results of commands.
    pub fn handle_event(&mut self, now_ns: u64, event: Event) {
        match event {
            Event::Place(file) => self.facts.file = file,
            Event::Stamp(stamp) => self.facts.stamp = Some(stamp),
            Event::Unread(unread) => self.handle_unread(unread),
            Event::Astray(is_astray) => self.handle_astray(is_astray),
            Event::Reading { set, broken } => {
                // a fault of before has begun the replica's table
                let is_begun = self.facts.known;
                let is_first = !std::mem::replace(&mut self.is_filled, true);
                self.handle_reading(now_ns, set, broken);
                if is_first {
                    self.begin_life(is_begun);
                }
            }
            Event::Changes(changes) => {
                for change in changes {
                    match self.of_peer {
                        true => self.compare(now_ns, change),
                        false => self.commit(now_ns, change),
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
            // what was written here is wrong by as much; what its server wrote is its own affair
            Event::ClockSet => {
                self.save.rewrite |= self.of_peer && !self.facts.runs && self.book.len() > 0;
            }
            Event::Done { .. } => {}
        }
    }

    /// What the file has when the plugin starts was there before the replica: no change. Where this
    /// node only followed, and nobody wrote it meanwhile, it is the peer's.
    fn begin_life(&mut self, is_begun: bool) {
        let is_same_file = self.noted.map(|it| it.stamp) == self.facts.stamp;
        if self.lineage.is_some() && !is_same_file {
            (self.lineage, self.noted, self.is_disowned) = (None, None, true);
        }
        let follows = self.lineage.is_some();
        if follows || !is_begun {
            self.changed.clear();
        }
        if follows && !self.of_peer {
            self.book.recall();
            self.is_recalled = true;
            self.follow();
        }
    }

    /// What is to be noted for the next process, if that is not noted.
    pub(super) fn take_note(&mut self, now_ns: u64) -> Option<Lineage> {
        let lineage = self.unnoted()?;
        let is_life_noted = self.noted.is_some_and(|it| it.life == lineage.life);
        if is_life_noted && now_ns < self.note_ns {
            return None;
        }
        let pause_ns = if self.facts.runs && !self.is_ending {
            NOTE_NS
        } else {
            0
        };
        (self.noted, self.note_ns) = (Some(lineage), now_ns.saturating_add(pause_ns));
        self.noted
    }

    /// Time of the next note.
    pub(super) fn note_due_ns(&self) -> u64 {
        self.unnoted().map_or(u64::MAX, |_| self.note_ns)
    }

    fn unnoted(&self) -> Option<Lineage> {
        let (life, stamp) = (self.lineage?, self.facts.stamp?);
        let lineage = Lineage { life, stamp };
        // before the file was read, it is not known whether it is still the same
        (self.is_filled && self.noted != Some(lineage)).then_some(lineage)
    }

    /// No note waits any more.
    pub(super) fn handle_end(&mut self) {
        (self.is_ending, self.note_ns) = (true, 0);
    }

    pub(super) fn forget_lineage(&mut self) {
        (self.lineage, self.noted) = (None, None);
    }

    /// From now on the book has what the peer has.
    pub(super) fn follow(&mut self) {
        if !std::mem::replace(&mut self.of_peer, true) {
            self.untaken.clear();
        }
    }

    /// A commit that the server has just made: later than all known ones.
    fn commit(&mut self, now_ns: u64, change: Change) {
        self.counters.commits += 1;
        let key = change.key();
        let known_ns = self.book.get(&key).map(|it| it.committed_ns);
        let known_ns = known_ns.max(self.book.gone_ns(&key));
        // messages count in ms
        let after_ns = known_ns.map_or(i64::MIN, |it| it.saturating_add(signed(MS)));
        let now_ns = signed(now_ns);
        match change {
            Change::Put(mut lease) => {
                lease.committed_ns = lease.committed_ns.min(now_ns).max(after_ns);
                self.learn(lease);
            }
            // when it went nobody says: Kea writes when it gave it
            Change::Gone { .. } => self.lose(key, now_ns.max(after_ns)),
        }
    }

    fn note_changed(&mut self, key: RecordKey, change: Changed) {
        self.changed.push((key, change));
    }

    pub(super) fn learn(&mut self, lease: Lease) {
        let key = lease.key;
        if !self.admits(&lease) {
            return self.note_untaken(key);
        }
        self.untaken.remove(&key);
        self.note_filed(key);
        match self.book.get(&key) {
            Some(known) if is_same(known, &lease) => self.book.touch(&key, lease.committed_ns),
            _ => {
                self.book.put(lease, true);
                self.note_changed(RecordKey::Lease(key), Changed::Put);
            }
        }
    }

    fn note_untaken(&mut self, key: Key) {
        if self.untaken.len() < LEASES_MAX {
            self.untaken.insert(key);
        }
    }

    pub(super) fn lose(&mut self, key: Key, gone_ns: i64) {
        self.untaken.remove(&key);
        self.note_filed(key);
        if self.book.get(&key).is_some() {
            self.book.remove(&key, gone_ns);
            self.note_changed(RecordKey::Lease(key), Changed::Deleted);
        }
    }

    /// The server has what it says; but a file that is just being replaced will not.
    fn note_filed(&mut self, key: Key) {
        match self.save.is_replacing() {
            true => drop(self.book.unfiled.insert(key)),
            false => drop(self.book.unfiled.remove(&key)),
        }
    }

    pub fn drop_lease(&mut self, key: &Key, gone_ns: i64) {
        if self.book.remove(key, gone_ns) {
            self.unfile(*key);
        }
    }

    pub(super) fn unfile(&mut self, key: Key) {
        self.save.aside.remove(&key);
        self.book.unfiled.insert(key);
    }

    /// Whether it fits, and finds room.
    pub fn admits(&mut self, lease: &Lease) -> bool {
        let why = match codec::fits(self.settings.format, lease) {
            Err(why) => format!("{}: {why}", lease.key.address),
            Ok(()) if !wire::is_short(lease) => format!("{}: it is too long", lease.key.address),
            Ok(()) if !self.book.has_room_for(&lease.key) => {
                format!("{}: there is no room for more leases", lease.key.address)
            }
            Ok(()) => return true,
        };
        self.counters.last_refused = Some(why);
        false
    }

    pub(super) fn handle_identity(&mut self, identity: Option<Vec<u8>>) {
        let waits = self.book.identity_unfiled && !self.facts.runs;
        if self.of_peer || waits {
            self.book.identity_unfiled = self.book.identity() != identity.as_ref();
        } else if self.book.set_identity(identity) {
            self.note_changed(RecordKey::Identity, Changed::Put);
            self.book.identity_unfiled = false;
        } else {
            self.book.identity_unfiled = false;
        }
    }

    /// Leases that it gave nevertheless, or that expired.
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
            self.book.unfiled.remove(&key);
        } else if self.facts.live {
            // at once would be a quarrel without end
            self.save.aside.entry(key).or_insert(None);
        } else {
            self.book.unfiled.insert(key);
        }
    }

    /// The file has something else, or will only have it when a command is done.
    pub(super) fn is_unfiled(&self, key: &Key) -> bool {
        self.book.unfiled.contains(key) || self.save.is_writing(key)
    }

    /// Everything that the active node has is here.
    pub fn handle_whole(&mut self) {
        self.is_filled = true;
        // a server may refuse to start without its file
        self.save.rewrite |= self.facts.fault.is_some();
        self.save.hurry = self.has_unwritten();
        self.save.owed = self.save.hurry;
    }

    /// Some servers refuse to start without their file, and nobody else makes one; and what a backup
    /// follows was in it.
    pub fn make_missing_file(&mut self) {
        let is_dhcpd = matches!(self.settings.format, Format::Dhcpd4 | Format::Dhcpd6);
        let is_wanted = is_dhcpd || self.of_peer && self.book.len() > 0;
        let is_missing = self.facts.fault.is_some() && self.facts.file.is_some();
        let is_idle = !self.facts.runs && !self.save.is_replacing();
        self.save.rewrite |= is_wanted && is_missing && is_idle;
    }

    /// What was found since the last time, a thousand of which would hide all else.
    pub fn take_news(&mut self) -> Vec<String> {
        let mut news = std::mem::take(&mut self.news);
        let mut twice = std::mem::take(&mut self.twice);
        if twice.len() > 3 {
            let more = twice.len() - 2;
            twice.truncate(2);
            twice.push(format!(
                "{}: {more} more addresses were given twice; see sparectl dhcp conflicts",
                self.settings.name
            ));
        }
        news.extend(twice);
        news
    }
}
