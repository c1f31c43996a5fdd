//! How a backup follows: it asks for everything, writes what differs, and prunes what the active
//! node does not have when that has said its last.

use super::set::{Roles, Set};
use super::table::Cursor;
use super::{Change, SLICE};
use crate::element::{Element, Key, Shape};
use crate::error::Hindrance;

/// What is short here is asked for at most so often.
const AGAIN_MS: u64 = 1_000;
/// All of a large set is asked for at most so many times as rarely as it takes.
const COST: u64 = 20;

#[derive(Debug, Default)]
pub struct Receiver {
    phase: Phase,
    /// Everything up to an end mark was applied since the peers found each other.
    pub in_sync: bool,
    /// The active node does not have the set either.
    pub absent: bool,
    /// To be offered to the active node first: the key up to which it was.
    pub offer: Option<Option<Key>>,
    /// To be asked for: everything, or only what changes.
    pub request: Option<bool>,
    /// Something that the active node has is missing here.
    pub short: bool,
    /// To be answered: all up to this end is in the kernel. The newest end counts.
    pub synced: Option<u32>,
    /// The mark of what the present snapshot named; never 0, and never the peer's choice: an active
    /// node that was started again counts its snapshots from 1 again.
    mark: u32,
    asked_ms: u64,
    done_ms: u64,
    expected: u64,
    got: u64,
    full: u64,
    refused: u64,
    errno: i32,
}

#[derive(Clone, Debug, Default)]
enum Phase {
    #[default]
    Idle,
    /// Everything is asked for; whether what came before is in sync still.
    Requested {
        was_in_sync: bool,
    },
    /// The end that is awaited, by the sender's number.
    Receiving(u32),
    Pruning(u32, Cursor),
    InSync,
}

impl Receiver {
    /// The set has gone, the roles changed, or the link did.
    pub fn lose(&mut self) {
        *self = Self {
            mark: self.mark,
            ..Self::default()
        };
    }

    pub fn refuse(&mut self, errno: i32) {
        const ENFILE: i32 = 23;
        const ENOSPC: i32 = 28;
        const EEXIST: i32 = 17;
        // an interval that it overlaps is pruned later
        self.short |= errno == EEXIST;
        if errno == ENFILE || errno == ENOSPC {
            self.full += 1;
        } else {
            self.refused += 1;
            self.errno = errno;
        }
    }

    /// What the kernel did not take, since the last beginning.
    pub fn refusals(&self) -> Option<Hindrance> {
        match (self.full, self.refused) {
            (0, 0) => None,
            (0, refused) => Some(Hindrance::Refused(refused, self.errno)),
            (full, _) => Some(Hindrance::Full(full)),
        }
    }

    /// What to warn of: without numbers, which would make a warning of each element.
    pub fn trouble(&self) -> Option<String> {
        Some(match self.refusals()? {
            Hindrance::Full(_) => "is full here: elements of the peer find no room".to_owned(),
            _ => {
                let error = std::io::Error::from_raw_os_error(self.errno);
                format!("the kernel refuses elements of the peer: {error}")
            }
        })
    }

    /// In steps that do not change the sentence all the time.
    pub fn percent(&self) -> u64 {
        let percent = self.got.saturating_mul(100) / self.expected.max(1);
        percent.min(100) / 10 * 10
    }

    pub fn is_pruning(&self) -> bool {
        matches!(self.phase, Phase::Pruning(..))
    }

    /// When the whole of it is to be asked for again.
    fn next_ms(&self, resync_ms: u64) -> Option<u64> {
        let Phase::InSync = self.phase else {
            return None;
        };
        let took_ms = self.done_ms.saturating_sub(self.asked_ms);
        let pause_ms = match self.short {
            true => AGAIN_MS,
            false => resync_ms,
        };
        let pause_ms = pause_ms.max(took_ms.saturating_mul(COST));
        Some(self.done_ms.saturating_add(pause_ms))
    }
}

impl Set {
    /// Begins to follow an active peer, once it is known what the kernel here has.
    pub fn follow(&mut self, now_ms: u64) {
        if !self.is_ready() || !matches!(self.receiver.phase, Phase::Idle) {
            return;
        }
        self.receiver.phase = Phase::Requested { was_in_sync: false };
        self.receiver.asked_ms = now_ms;
        if self.own {
            self.receiver.offer = Some(None);
        } else if self.shared {
            self.receiver.request = Some(false);
            self.receiver.in_sync = true;
            self.receiver.done_ms = now_ms;
            self.receiver.phase = Phase::InSync;
        } else {
            self.receiver.request = Some(true);
        }
    }

    /// When [`refresh`](Self::refresh) has something to do.
    pub fn refresh_ms(&self, standing: Roles, resync_ms: u64) -> Option<u64> {
        let due_ms = self.receiver.next_ms(resync_ms)?;
        standing.is_receiver().then_some(due_ms)
    }

    /// Asks for everything again when it is time.
    pub fn refresh(&mut self, now_ms: u64, standing: Roles, resync_ms: u64) {
        let due = self.refresh_ms(standing, resync_ms);
        if due.is_some_and(|due_ms| due_ms <= now_ms) {
            self.receiver.short = false;
            self.receiver.asked_ms = now_ms;
            self.receiver.request = Some(true);
            self.receiver.phase = Phase::Requested {
                was_in_sync: self.receiver.follows(),
            };
        }
    }

    pub fn handle_begin(&mut self, epoch: u32, expected: u64, there: Shape) {
        let Some(here) = self.shape.filter(|_| self.reads.whole) else {
            return;
        };
        self.receiver.absent = false;
        if here != there {
            self.receiver.lose();
            self.hindrance = Some(Hindrance::Shapes(here, there));
            return;
        }
        self.hindrance = None;
        self.receiver.phase = Phase::Receiving(epoch);
        self.receiver.mark = self.receiver.mark.wrapping_add(1).max(1);
        self.receiver.synced = None;
        (self.receiver.expected, self.receiver.got) = (expected, 0);
        (self.receiver.full, self.receiver.refused) = (0, 0);
    }

    /// Elements of the active node.
    pub fn handle_elements(&mut self, now_ms: u64, elements: Vec<Element>) -> Vec<Change> {
        let Some(shape) = self.shape.filter(|_| self.receiver.follows()) else {
            return Vec::new();
        };
        let mark = self.receiver.mark;
        self.receiver.got += elements.len() as u64;
        let fitting = elements.into_iter().filter(|it| shape.fits(&it.key));
        let living = fitting.filter(|it| it.life.is_none_or(|life| life.left_ms > 0));
        living
            .filter_map(|element| self.adopt(now_ms, element, mark))
            .collect()
    }

    pub fn handle_delete(&mut self, now_ms: u64, keys: Vec<Key>) -> Vec<Change> {
        if !self.receiver.follows() {
            return Vec::new();
        }
        keys.into_iter()
            .filter_map(|key| self.drop_key(now_ms, key))
            .collect()
    }

    pub fn handle_end(&mut self, epoch: u32) {
        if matches!(self.receiver.phase, Phase::Receiving(begun) if begun == epoch) {
            self.receiver.phase = Phase::Pruning(epoch, Cursor::default());
        }
    }

    /// Goes on with taking out what the active node does not have; answers when all is done.
    pub fn prune(&mut self, now_ms: u64) -> Vec<Change> {
        let Phase::Pruning(epoch, mut cursor) = std::mem::take(&mut self.receiver.phase) else {
            return Vec::new();
        };
        let mark = self.receiver.mark;
        let foreign = self.table.scan(&mut cursor, SLICE, |it| it.mark != mark);
        let mut changes = Vec::new();
        for (key, entry) in foreign {
            if !entry.is_over(now_ms) {
                self.counters.deleted += 1;
                self.counters.changed_ms = Some(now_ms);
                changes.push(Change {
                    key,
                    delete: true,
                    add: None,
                });
            }
        }
        if !cursor.done {
            self.receiver.phase = Phase::Pruning(epoch, cursor);
            return changes;
        }
        self.receiver.phase = Phase::InSync;
        self.receiver.synced = Some(epoch);
        self.receiver.in_sync = true;
        self.receiver.done_ms = now_ms;
        self.shared = true;
        self.count_due = true;
        changes
    }

    /// The active node does not have it.
    pub fn handle_absent(&mut self, configured: bool) {
        self.receiver.lose();
        // It says so by itself when it has it again.
        self.receiver.phase = Phase::Requested { was_in_sync: false };
        if configured {
            self.receiver.absent = true;
            self.receiver.in_sync = true;
        } else {
            self.hindrance = Some(Hindrance::NotConfigured);
        }
    }
}

impl Receiver {
    /// Whether the words of the active node mean something yet.
    fn follows(&self) -> bool {
        match self.phase {
            Phase::Receiving(_) | Phase::Pruning(..) | Phase::InSync => true,
            Phase::Requested { was_in_sync } => was_in_sync,
            Phase::Idle => false,
        }
    }
}
