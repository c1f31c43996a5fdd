//! Handles the reading of a server's whole file, and accidents of that file.
//!
//! A lease that is missing in the file of a running server, or in a truncated file, was not released, and an older
//! commit in the file does not win: the file is written again when the server stops.

use super::book::{is_living, is_same};
use super::leases::Leases;
use super::status::{counted, entries};
use crate::lease::{Key, Lease, Set, signed};
use crate::server::Unread;

impl Leases {
    pub(super) fn handle_reading(&mut self, now_ns: u64, set: Set, broken: Option<String>) {
        self.facts.known = true;
        if set.identity.is_some() {
            self.handle_identity(set.identity.clone());
        }
        let why = || "its server writes to another file".to_owned();
        let had_unnamed_file = std::mem::take(&mut self.facts.had_unnamed_file);
        let broken = broken.or_else(|| had_unnamed_file.then(why));
        let whole = broken.is_none();
        self.facts.broken.clone_from(&broken);
        if self.following.is_of_peer() {
            return self.compare_all(now_ns, set, whole);
        }
        if let Some(broken) = broken {
            return self.read_broken(set, &broken);
        }
        let is_empty = set.leases.is_empty();
        if is_empty && !self.settings.allow_empty && self.book.has_living(now_ns) {
            return self.keep_all();
        }
        // a running server writes what it takes back
        let is_served = self.facts.runs && !is_empty;
        let living = |key: &Key| self.book.get(key).is_some_and(|it| is_living(now_ns, it));
        let missing = self.missing(&set).into_iter();
        let (kept, gone): (Vec<Key>, Vec<Key>) = missing.partition(|key| is_served && living(key));
        for key in gone {
            if !self.is_not_in_file(&key) {
                self.lose(key, signed(now_ns));
            }
        }
        self.keep(kept, "its file was replaced while its server runs");
        if !is_served {
            self.refusals.clear_granted();
        }
        for lease in set.leases.into_values() {
            self.read(lease);
        }
    }

    /// Handles the reading of a damaged file: missing leases are not deleted, and its commits may be older than the
    /// known ones.
    fn read_broken(&mut self, set: Set, broken: &str) {
        self.keep(self.missing(&set), broken);
        for lease in set.leases.into_values() {
            if self.is_known_better(&lease) {
                self.book.not_in_file.insert(lease.key);
            } else {
                self.learn(lease);
            }
        }
        // a torn line would damage the next one; unreadable entries are not for this plugin to delete
        let is_torn = self.facts.unread.count == 0 && self.book.has_room();
        if is_torn && self.book.len() > 0 {
            self.save.request_rewrite();
        }
    }

    /// Keeps leases that are missing in the file.
    fn keep(&mut self, missing: Vec<Key>, why: &str) {
        let is_new = !missing.iter().all(|key| self.is_not_in_file(key));
        if is_new {
            let (name, leases) = (&self.settings.name, counted(missing.len(), "lease"));
            self.news.push(format!(
                "{name}: {why}; {leases} missing from it are kept, and are written when the server stops"
            ));
        }
        self.book.not_in_file.extend(missing);
    }

    fn missing(&self, set: &Set) -> Vec<Key> {
        let missing = |key: &&Key| !set.leases.contains_key(key);
        self.book.keys().filter(missing).copied().collect()
    }

    pub(super) fn handle_unread(&mut self, unread: Unread) {
        if let Some(why) = unread.why.as_ref().filter(|_| !self.following.is_of_peer()) {
            if unread.count > self.facts.unread.count {
                let (name, entries) = (&self.settings.name, entries(unread.count));
                self.news.push(format!(
                    "{name}: {entries} of its file cannot be read: {why}"
                ));
            }
        }
        self.facts.unread = unread;
    }

    /// Handles a server that continues in a file without its name (true) or has left it: the file with the name lacks
    /// what the server knows, and the server reads it at its next start.
    pub(super) fn handle_unnamed_file(&mut self, has_unnamed_file: bool) {
        self.facts.has_unnamed_file = has_unnamed_file;
        if has_unnamed_file {
            self.news.push(format!(
                "{}: its server writes to a file that was moved away or removed, and its leases are read there; \
                 before restarting the server, switch over, or stop the server for a second",
                self.settings.name
            ));
        } else if !self.following.is_of_peer() {
            self.facts.had_unnamed_file = true;
            let keys: Vec<Key> = self.book.keys().copied().collect();
            self.book.not_in_file.extend(keys);
        }
    }

    /// Keeps all leases: they do not end all at once, so the file was lost.
    fn keep_all(&mut self) {
        self.keep(self.book.keys().copied().collect(), "its file is empty");
    }

    /// Handles a lease of the file, which may be older than the known one.
    fn read(&mut self, lease: Lease) {
        if !self.is_not_in_file(&lease.key) || !self.is_known_better(&lease) {
            self.learn(lease);
        }
    }

    /// Returns true if the known lease is another commit, and not an earlier one.
    fn is_known_better(&self, lease: &Lease) -> bool {
        let known = self.book.get(&lease.key);
        let differs = known.is_none_or(|known| !is_same(known, lease));
        let known_ns = known.map(|it| it.committed_ns);
        let known_ns = known_ns.or_else(|| self.book.gone_ns(&lease.key));
        (differs || self.save.is_replacing()) && known_ns.is_some_and(|it| it >= lease.committed_ns)
    }

    /// Compares the file of a server that should not grant leases.
    fn compare_all(&mut self, now_ns: u64, set: Set, whole: bool) {
        let differs = |key: &&Key| match (self.book.get(key), set.leases.get(key)) {
            (Some(known), Some(filed)) => !is_same(known, filed),
            _ => true,
        };
        self.book.not_in_file = self.book.keys().filter(differs).copied().collect();
        // an empty book must not replace a file that is not empty
        if self.book.len() == 0 && !self.settings.allow_empty {
            return;
        }
        if !whole {
            self.save.request_rewrite();
        }
        for (key, lease) in &set.leases {
            if self.book.get(key).is_none() && is_living(now_ns, lease) {
                self.book.not_in_file.insert(*key);
            }
        }
    }
}
