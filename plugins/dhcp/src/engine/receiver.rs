//! How a backup follows: it offers what the active node may not know, asks for everything, and
//! drops what that does not name.

use super::book::{is_living, is_old, is_same};
use super::sender::Cursor;
use super::store::Store;
use crate::format;
use crate::lease::Key;
use crate::wire::{About, Record};

/// What is short here is asked for at most so often.
const AGAIN_MS: i64 = 1_000;

#[derive(Debug, Default)]
pub struct Receiver {
    phase: Phase,
    /// Everything up to an end mark came, since the roles are as they are.
    pub in_sync: bool,
    /// An empty set was answered by an offer already.
    answered: bool,
    /// All of it is to be asked for again, then.
    again_ms: Option<i64>,
    /// The mark of what the present snapshot named; never 0, and never the peer's choice.
    mark: u32,
    expected: u64,
    got: u64,
    /// The last serial that is not yet acknowledged: the peer decides how many it sends.
    ack: Option<u64>,
    /// How long the last commit was under way to here, as far as the peer knows.
    pub waited_ms: u64,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Idle,
    Offering(Cursor),
    Requesting,
    Asked,
    Receiving(u32),
    InSync,
}

impl Receiver {
    /// The roles changed, or the link did.
    pub fn reset(&mut self) {
        *self = Self {
            mark: self.mark,
            ..Self::default()
        };
    }

    pub fn is_receiving(&self) -> bool {
        matches!(self.phase, Phase::Receiving(_))
    }

    /// In steps that do not change the sentence all the time.
    pub fn percent(&self) -> u64 {
        let percent = self.got.saturating_mul(100) / self.expected.max(1);
        percent.min(100) / 10 * 10
    }

    /// Something was not understood.
    pub fn miss(&mut self, now_ms: i64) {
        if !matches!(self.phase, Phase::Idle) {
            self.again_ms.get_or_insert(now_ms.saturating_add(AGAIN_MS));
        }
    }

    pub fn next_ms(&self) -> i64 {
        self.again_ms.unwrap_or(i64::MAX)
    }

    pub fn handle_timeout(&mut self, now_ms: i64) {
        if self.again_ms.is_some_and(|again_ms| again_ms <= now_ms) {
            self.again_ms = None;
            self.phase = Phase::Requesting;
        }
    }
}

impl Store {
    /// Begins to follow an active peer of that life, once it is known what the file here has.
    pub fn follow(&mut self, life: u64) {
        if !self.facts.known || !matches!(self.receiver.phase, Phase::Idle) {
            return;
        }
        self.receiver.phase = match self.lineage == Some(life) {
            true => Phase::Requesting,
            false => Phase::Offering(Cursor::default()),
        };
    }

    /// What a backup has to say next.
    pub fn next_wish(&mut self, now_ms: i64) -> Option<About> {
        if let Some(serial) = self.receiver.ack.take() {
            return Some(About::Ack {
                serial,
                leases: self.book.len() as u64,
            });
        }
        match &mut self.receiver.phase {
            Phase::Offering(cursor) => {
                let mut cursor = *cursor;
                let records = self.portion(now_ms, &mut cursor, |it| !is_old(now_ms, it));
                self.receiver.phase = match cursor.done {
                    true => Phase::Requesting,
                    false => Phase::Offering(cursor),
                };
                Some(About::Offer {
                    was_active: self.lineage.is_none(),
                    identity: self.book.identity().cloned(),
                    records,
                })
            }
            Phase::Requesting => {
                self.receiver.phase = Phase::Asked;
                Some(About::Request)
            }
            _ => None,
        }
    }

    /// What the active node says; true where everything is here now.
    pub fn handle_gift(&mut self, now_ms: i64, about: About) -> bool {
        match about {
            About::Begin {
                epoch,
                leases,
                identity,
            } => self.handle_begin(epoch, leases, identity),
            About::Part(records) if self.receiver.is_receiving() => self.receive(now_ms, records),
            About::Changes {
                serial,
                waited_ms,
                leases,
                records,
            } => self.handle_changes(now_ms, serial, waited_ms, leases, records),
            About::Identity(identity) => self.take_identity(Some(identity)),
            About::End {
                epoch,
                serial,
                leases,
            } if matches!(self.receiver.phase, Phase::Receiving(begun) if begun == epoch) => {
                return self.handle_end(now_ms, serial, leases);
            }
            _ => {}
        }
        false
    }

    fn handle_begin(&mut self, epoch: u32, leases: u64, identity: Option<Vec<u8>>) {
        self.receiver.phase = Phase::Receiving(epoch);
        self.receiver.mark = self.receiver.mark.wrapping_add(1).max(1);
        (self.receiver.expected, self.receiver.got) = (leases, 0);
        self.of_peer = true;
        self.take_identity(identity);
    }

    fn take_identity(&mut self, identity: Option<Vec<u8>>) {
        let identity = identity.filter(|it| format::is_identity(it));
        if identity.is_some() && self.book.set_identity(identity) {
            self.book.identity_unfiled = true;
        }
    }

    fn handle_changes(
        &mut self,
        now_ms: i64,
        serial: u64,
        waited_ms: u64,
        leases: u64,
        records: Vec<Record>,
    ) {
        if !matches!(self.receiver.phase, Phase::Receiving(_) | Phase::InSync) {
            return;
        }
        self.receiver.waited_ms = waited_ms;
        self.at_peer = Some(leases);
        self.receive(now_ms, records);
        self.receiver.ack = Some(serial);
    }

    fn receive(&mut self, now_ms: i64, records: Vec<Record>) {
        self.receiver.got += records.len() as u64;
        self.counters.received += records.len() as u64;
        for record in records {
            let (key, committed_ms) = (record.key, record.committed_ms(now_ms));
            let Some(lease) = record.lease(now_ms) else {
                self.drop_lease(&key, committed_ms);
                continue;
            };
            match self.book.get(&key) {
                Some(known) if is_same(known, &lease) => {}
                _ => self.adopt(lease),
            }
            self.book.mark(&key, self.receiver.mark);
        }
    }

    /// Everything was said: what was not named is gone.
    fn handle_end(&mut self, now_ms: i64, serial: u64, leases: u64) -> bool {
        let unnamed = self.book.unmarked(self.receiver.mark);
        let is_lost = |key: &Key| self.book.get(key).is_some_and(|it| is_living(now_ms, it));
        let empty = leases == 0 && !self.settings.allow_empty && unnamed.iter().any(is_lost);
        if empty && !std::mem::replace(&mut self.receiver.answered, true) {
            // it has lost them, and gets them back
            self.receiver.phase = Phase::Offering(Cursor::default());
            return false;
        }
        if empty {
            let kept = unnamed.len();
            let name = &self.name.name;
            let text = format!("{name}: the active node has no leases; {kept} are kept here");
            self.news.push(text);
        } else {
            for key in unnamed {
                self.drop_lease(&key, now_ms);
            }
        }
        self.receiver.phase = Phase::InSync;
        self.receiver.in_sync = true;
        self.receiver.again_ms = None;
        // a server may refuse to start without its file
        self.save.rewrite |= self.facts.fault.is_some();
        self.save.hurry = self.has_unwritten();
        self.save.owed = self.save.hurry;
        self.at_peer = Some(leases);
        self.receiver.ack = Some(serial);
        true
    }
}
