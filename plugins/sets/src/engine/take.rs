//! How a backup follows: it asks for everything, writes what differs, and prunes what the active
//! node does not have when that has said its last.

use super::set::{Set, Standing};
use super::table::Cursor;
use super::{Change, SLICE};
use crate::element::{Element, Key, Shape};
use crate::error::Hindrance;

/// What is short here is asked for at most so often.
const AGAIN_MS: u64 = 1_000;
/// All of a large set is asked for at most so many times as rarely as it takes.
const COST: u64 = 20;

#[derive(Debug, Default)]
pub struct Take {
    phase: Phase,
    /// Everything up to an end mark was applied since the twins found each other.
    pub in_sync: bool,
    /// The active node does not have the set either.
    pub absent: bool,
    /// To be offered to the active node first: the key up to which it was.
    pub offer: Option<Option<Key>>,
    /// To be asked for: everything, or only what changes.
    pub want: Option<bool>,
    /// Something that the active node has is missing here.
    pub short: bool,
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
    /// The mark of what came before.
    Wanted(Option<u32>),
    Filling(u32),
    Pruning(u32, Cursor),
    Followed(u32),
}

impl Take {
    /// The set has gone.
    pub fn lose(&mut self) {
        *self = Self::default();
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
            Hindrance::Full(_) => "is full here: elements of the twin find no room".to_owned(),
            _ => {
                let error = std::io::Error::from_raw_os_error(self.errno);
                format!("the kernel refuses elements of the twin: {error}")
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
        let Phase::Followed(_) = self.phase else {
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
    /// Begins to follow an active twin, once it is known what the kernel here has.
    pub fn follow(&mut self, now_ms: u64) {
        if !self.is_ready() || !matches!(self.take.phase, Phase::Idle) {
            return;
        }
        self.take.phase = Phase::Wanted(None);
        self.take.asked_ms = now_ms;
        if self.own {
            self.take.offer = Some(None);
        } else if self.shared {
            self.take.want = Some(false);
            self.take.in_sync = true;
            self.take.done_ms = now_ms;
            self.take.phase = Phase::Followed(0);
        } else {
            self.take.want = Some(true);
        }
    }

    /// When [`refresh`](Self::refresh) has something to do.
    pub fn refresh_ms(&self, standing: Standing, resync_ms: u64) -> Option<u64> {
        let due_ms = self.take.next_ms(resync_ms)?;
        standing.takes().then_some(due_ms)
    }

    /// Asks for everything again when it is time.
    pub fn refresh(&mut self, now_ms: u64, standing: Standing, resync_ms: u64) {
        let due = self.refresh_ms(standing, resync_ms);
        if due.is_some_and(|due_ms| due_ms <= now_ms) {
            self.take.short = false;
            self.take.asked_ms = now_ms;
            self.take.want = Some(true);
            self.take.phase = Phase::Wanted(self.take.epoch());
        }
    }

    pub fn handle_begin(&mut self, epoch: u32, expected: u64, there: Shape) {
        let Some(here) = self.shape.filter(|_| self.reads.whole) else {
            return;
        };
        self.take.absent = false;
        if here != there {
            self.take.lose();
            self.hindrance = Some(Hindrance::Shapes(here, there));
            return;
        }
        self.hindrance = None;
        self.take.phase = Phase::Filling(epoch);
        (self.take.expected, self.take.got) = (expected, 0);
        (self.take.full, self.take.refused) = (0, 0);
    }

    /// Elements of the active node.
    pub fn handle_elements(&mut self, now_ms: u64, elements: Vec<Element>) -> Vec<Change> {
        let (Some(epoch), Some(shape)) = (self.take.epoch(), self.shape) else {
            return Vec::new();
        };
        self.take.got += elements.len() as u64;
        let fitting = elements.into_iter().filter(|it| shape.fits(&it.key));
        let living = fitting.filter(|it| it.life.is_none_or(|life| life.left_ms > 0));
        living
            .filter_map(|element| self.adopt(now_ms, element, epoch))
            .collect()
    }

    pub fn handle_delete(&mut self, now_ms: u64, keys: Vec<Key>) -> Vec<Change> {
        if self.take.epoch().is_none() {
            return Vec::new();
        }
        keys.into_iter()
            .filter_map(|key| self.drop_key(now_ms, key))
            .collect()
    }

    pub fn handle_end(&mut self, epoch: u32) {
        if matches!(self.take.phase, Phase::Filling(begun) if begun == epoch) {
            self.take.phase = Phase::Pruning(epoch, Cursor::default());
        }
    }

    /// Goes on with taking out what the active node does not have; the epoch when all is done.
    pub fn prune(&mut self, now_ms: u64) -> (Vec<Change>, Option<u32>) {
        let Phase::Pruning(epoch, mut cursor) = std::mem::take(&mut self.take.phase) else {
            return (Vec::new(), None);
        };
        let foreign = self.table.sweep(&mut cursor, SLICE, |it| it.epoch != epoch);
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
            self.take.phase = Phase::Pruning(epoch, cursor);
            return (changes, None);
        }
        self.take.phase = Phase::Followed(epoch);
        self.take.in_sync = true;
        self.take.done_ms = now_ms;
        self.shared = true;
        (changes, Some(epoch))
    }

    /// The active node does not have it.
    pub fn handle_absent(&mut self, configured: bool) {
        self.take.lose();
        // It says so by itself when it has it again.
        self.take.phase = Phase::Wanted(None);
        if configured {
            self.take.absent = true;
            self.take.in_sync = true;
        } else {
            self.hindrance = Some(Hindrance::NotConfigured);
        }
    }
}

impl Take {
    /// The mark of elements that the twin has; None where its words mean nothing yet.
    fn epoch(&self) -> Option<u32> {
        match &self.phase {
            Phase::Filling(epoch) | Phase::Pruning(epoch, _) | Phase::Followed(epoch) => {
                Some(*epoch)
            }
            Phase::Wanted(before) => *before,
            Phase::Idle => None,
        }
    }
}
