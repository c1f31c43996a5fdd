//! One server of this node: what its files say, and what became of that.

use std::path::PathBuf;

use super::book::{Book, is_living, is_same};
use super::merge::Conflicts;
use super::receiver::Receiver;
use super::save::Save;
use super::sender::Sender;
use crate::config::{self, Server};
use crate::format;
use crate::lease::{Change, Key, Lease, Set};
use crate::server::Event;
use crate::wire::{self, Name};

#[derive(Debug)]
pub struct Store {
    pub settings: Server,
    pub name: Name,
    pub book: Book,
    pub sender: Sender,
    pub receiver: Receiver,
    pub save: Save,
    pub facts: ServerState,
    /// What is in the book is what the peer has given, not what the server here has.
    pub of_peer: bool,
    /// The life of the active peer whose every lease was here, since when this node was not active.
    pub lineage: Option<u64>,
    pub conflicts: Conflicts,
    pub counters: Counters,
    /// How many leases the peer has, as it last said.
    pub at_peer: Option<u64>,
    /// A sentence for people, until it is said.
    pub news: Vec<String>,
}

/// What the server's thread told last.
#[derive(Debug, Default)]
pub struct ServerState {
    /// Where its lease file is.
    pub file: Option<PathBuf>,
    /// It is known what the file holds, or that nobody can know.
    pub known: bool,
    pub runs: bool,
    pub live: bool,
    pub fault: Option<String>,
    /// The last reading was not whole.
    pub broken: Option<String>,
}

#[derive(Debug, Default)]
pub struct Counters {
    /// Leases that fit no such server, or found no room.
    pub refused: u64,
    pub last_refused: Option<String>,
    pub commits: u64,
    pub received: u64,
}

impl Store {
    pub fn new(settings: Server, lineage: Option<u64>) -> Self {
        Self {
            name: Name {
                name: settings.name.clone(),
                kind: config::kind(settings.format).to_owned(),
            },
            settings,
            book: Book::default(),
            sender: Sender::default(),
            receiver: Receiver::default(),
            save: Save::default(),
            facts: ServerState::default(),
            of_peer: false,
            lineage,
            conflicts: Conflicts::default(),
            counters: Counters::default(),
            at_peer: None,
            news: Vec::new(),
        }
    }

    /// What the server's thread says, but for the end of commands.
    pub fn handle_event(&mut self, now_ms: i64, event: Event) {
        match event {
            Event::Place(file) => self.facts.file = Some(file),
            Event::Reading { set, broken } => self.handle_reading(now_ms, set, broken),
            Event::Changes(changes) => {
                for change in changes {
                    match self.of_peer {
                        true => self.compare(now_ms, change),
                        false => self.commit(now_ms, change),
                    }
                }
            }
            Event::Identity(identity) => self.handle_identity(now_ms, Some(identity)),
            Event::Runs { runs, live } => {
                (self.facts.runs, self.facts.live) = (runs, live);
                self.save.handle_runs(&mut self.book);
            }
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

    fn handle_reading(&mut self, now_ms: i64, set: Set, broken: Option<String>) {
        self.facts.known = true;
        if set.identity.is_some() {
            self.handle_identity(now_ms, set.identity.clone());
        }
        let whole = broken.is_none();
        self.facts.broken = broken;
        if self.of_peer {
            return self.compare_all(now_ms, set, whole);
        }
        let nothing = set.leases.is_empty() && !self.settings.allow_empty;
        if nothing && whole && self.book.has_living(now_ms) {
            return self.keep_all();
        }
        let missing: Vec<Key> = match whole {
            true => {
                let missing = |key: &&Key| !set.leases.contains_key(key);
                self.book.keys().filter(missing).copied().collect()
            }
            false => Vec::new(),
        };
        for key in missing {
            if !self.is_unfiled(&key) {
                self.lose(now_ms, key, now_ms);
            }
        }
        for lease in set.leases.into_values() {
            self.read(now_ms, lease);
        }
    }

    /// Leases do not end all at once: somebody has lost the file.
    fn keep_all(&mut self) {
        let keys: Vec<Key> = self.book.keys().copied().collect();
        if !keys.iter().all(|key| self.is_unfiled(key)) {
            let count = keys.len();
            let text = format!(
                "{}: its file is empty; {count} leases are kept",
                self.name.name
            );
            self.news.push(text);
        }
        self.book.unfiled.extend(keys);
    }

    /// A lease of the file, which may be older than what is known here.
    fn read(&mut self, now_ms: i64, lease: Lease) {
        let key = lease.key;
        if self.is_unfiled(&key) {
            let known = self.book.get(&key);
            let differs = known.is_none_or(|known| !is_same(known, &lease));
            let known_ms = known.map(|it| it.committed_ms);
            let known_ms = known_ms.or_else(|| self.book.gone_ms(&key));
            if (differs || self.save.is_replacing())
                && known_ms.is_some_and(|it| it >= lease.committed_ms)
            {
                return;
            }
        }
        self.learn(now_ms, lease);
    }

    /// What the server has just done: later than all that is known.
    fn commit(&mut self, now_ms: i64, change: Change) {
        self.counters.commits += 1;
        let key = change.key();
        let known_ms = self.book.get(&key).map(|it| it.committed_ms);
        let known_ms = known_ms.max(self.book.gone_ms(&key));
        let after_ms = known_ms.map_or(i64::MIN, |it| it.saturating_add(1));
        match change {
            Change::Put(mut lease) => {
                lease.committed_ms = lease.committed_ms.min(now_ms).max(after_ms);
                self.learn(now_ms, lease);
            }
            Change::Gone { committed_ms, .. } => {
                self.lose(now_ms, key, committed_ms.min(now_ms).max(after_ms));
            }
        }
    }

    fn learn(&mut self, now_ms: i64, lease: Lease) {
        let key = lease.key;
        if !self.admits(&lease) {
            return;
        }
        self.note_filed(key);
        match self.book.get(&key) {
            Some(known) if is_same(known, &lease) => self.book.touch(&key, lease.committed_ms),
            _ => {
                self.book.put(lease);
                self.sender.tell(now_ms, key);
            }
        }
    }

    fn lose(&mut self, now_ms: i64, key: Key, gone_ms: i64) {
        self.note_filed(key);
        if self.book.get(&key).is_some() {
            self.book.remove(&key, gone_ms);
            self.sender.tell(now_ms, key);
        }
    }

    /// The server has what it says; but a file that is just being replaced will not.
    fn note_filed(&mut self, key: Key) {
        match self.save.is_replacing() {
            true => drop(self.book.unfiled.insert(key)),
            false => drop(self.book.unfiled.remove(&key)),
        }
    }

    /// Takes what somebody else than the server says; it has to be written.
    pub fn adopt(&mut self, lease: Lease) {
        let key = lease.key;
        if self.admits(&lease) {
            self.book.put(lease);
            self.unfile(key);
        }
    }

    pub fn drop_lease(&mut self, key: &Key, gone_ms: i64) {
        if self.book.remove(key, gone_ms) {
            self.unfile(*key);
        }
    }

    fn unfile(&mut self, key: Key) {
        self.save.aside.remove(&key);
        self.book.unfiled.insert(key);
    }

    /// Whether it fits, and finds room.
    pub fn admits(&mut self, lease: &Lease) -> bool {
        let why = match format::fits(self.settings.format, lease) {
            Err(why) => format!("{}: {why}", lease.key.address),
            Ok(()) if !wire::is_short(lease) => format!("{}: it is too long", lease.key.address),
            Ok(()) if !self.book.has_room_for(&lease.key) => {
                format!("{}: there is no room for more leases", lease.key.address)
            }
            Ok(()) => return true,
        };
        self.counters.refused += 1;
        self.counters.last_refused = Some(why);
        false
    }

    fn handle_identity(&mut self, now_ms: i64, identity: Option<Vec<u8>>) {
        let waits = self.book.identity_unfiled && !self.facts.runs;
        if self.of_peer || waits {
            self.book.identity_unfiled = self.book.identity() != identity.as_ref();
        } else if self.book.set_identity(identity) {
            self.sender.tell_identity(now_ms);
            self.book.identity_unfiled = false;
        } else {
            self.book.identity_unfiled = false;
        }
    }

    /// The file of a server that is not to give anything.
    fn compare_all(&mut self, now_ms: i64, set: Set, whole: bool) {
        let differs = |key: &&Key| match (self.book.get(key), set.leases.get(key)) {
            (Some(known), Some(filed)) => !is_same(known, filed),
            _ => true,
        };
        self.book.unfiled = self.book.keys().filter(differs).copied().collect();
        // an empty book is nothing to write over a file that is not
        if self.book.len() == 0 && !self.settings.allow_empty {
            return;
        }
        self.save.rewrite |= !whole;
        for (key, lease) in &set.leases {
            if self.book.get(key).is_none() && is_living(now_ms, lease) {
                self.book.unfiled.insert(*key);
            }
        }
    }

    /// What it gave all the same, or has let end.
    fn compare(&mut self, now_ms: i64, change: Change) {
        let key = change.key();
        let known = self.book.get(&key);
        let living = known.is_some_and(|known| is_living(now_ms, known));
        let differs = match &change {
            Change::Put(lease) => match known {
                Some(known) => !is_same(known, lease) && (living || is_living(now_ms, lease)),
                None => is_living(now_ms, lease),
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
    fn is_unfiled(&self, key: &Key) -> bool {
        self.book.unfiled.contains(key) || self.save.is_writing(key)
    }
}
