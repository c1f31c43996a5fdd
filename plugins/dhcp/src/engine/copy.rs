//! Note of the complete copy of the active node's leases, for the next process: after a restart the backup need not
//! receive them again if nobody wrote the file meanwhile.

use crate::SECOND;
use crate::server::Stamp;

/// Shortest time between two notes about a file that its server also writes on a backup.
const PAUSE_NS: u64 = SECOND;

/// Complete copy of the active node's leases: their incarnation, and the state of the file that holds or will hold
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompleteCopy {
    /// Incarnation of the active node's leases.
    pub incarnation: u64,
    pub stamp: Stamp,
}

#[derive(Debug)]
pub struct CopyNote {
    /// Incarnation of the active peer's leases, if all of them were here and this node has not been active since.
    incarnation: Option<u64>,
    /// Copy that was last noted, and the earliest time of the next note.
    noted: Option<CompleteCopy>,
    next_ns: u64,
    /// The process ends.
    is_ending: bool,
}

impl CopyNote {
    /// `noted` is the note of the process before.
    pub fn new(noted: Option<CompleteCopy>) -> Self {
        Self {
            incarnation: noted.map(|it| it.incarnation),
            noted,
            next_ns: 0,
            is_ending: false,
        }
    }

    /// Handles the first reading of the file. Returns true if it is not the one that was noted, so that the note does
    /// not apply to it.
    pub fn handle_first_reading(&mut self, stamp: Option<Stamp>) -> bool {
        let is_same_file = self.noted.map(|it| it.stamp) == stamp;
        let is_replaced = self.incarnation.is_some() && !is_same_file;
        if is_replaced {
            self.forget();
        }
        is_replaced
    }

    /// Handles that all leases of the active peer are here.
    pub fn handle_whole(&mut self, incarnation: u64) {
        self.incarnation = Some(incarnation);
    }

    /// Lets pending notes be written at once.
    pub fn handle_end(&mut self) {
        (self.is_ending, self.next_ns) = (true, 0);
    }

    pub fn forget(&mut self) {
        (self.incarnation, self.noted) = (None, None);
    }

    /// Returns the copy to note, if it is not noted yet and it is time. `stamp` is that of the file, which has been
    /// read; `runs` is true if the server may write the file again soon.
    pub fn take(&mut self, now_ns: u64, stamp: Option<Stamp>, runs: bool) -> Option<CompleteCopy> {
        let copy = self.unnoted(stamp)?;
        let is_incarnation_noted = self
            .noted
            .is_some_and(|it| it.incarnation == copy.incarnation);
        if is_incarnation_noted && now_ns < self.next_ns {
            return None;
        }
        let pause_ns = if runs && !self.is_ending { PAUSE_NS } else { 0 };
        (self.noted, self.next_ns) = (Some(copy), now_ns.saturating_add(pause_ns));
        self.noted
    }

    /// Returns the time of the next note.
    pub fn due_ns(&self, stamp: Option<Stamp>) -> u64 {
        self.unnoted(stamp).map_or(u64::MAX, |_| self.next_ns)
    }

    fn unnoted(&self, stamp: Option<Stamp>) -> Option<CompleteCopy> {
        let (incarnation, stamp) = (self.incarnation?, stamp?);
        let copy = CompleteCopy { incarnation, stamp };
        (self.noted != Some(copy)).then_some(copy)
    }

    /// True if all leases of the active peer were here, and this node has not been active since.
    pub fn is_complete(&self) -> bool {
        self.incarnation.is_some()
    }
}
