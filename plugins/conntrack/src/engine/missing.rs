//! Tracks flows that the peer has and this kernel lacks.

use std::collections::HashSet;

/// Limit of stored hashes, half a megabyte each, before and since the resync; further flows are only counted.
const KNOWN_MAX: usize = 32_768;

/// Limit of flows that the kernel refuses in every form; further ones count as missing.
const REFUSED_MAX: usize = 4096;

/// Missing flows. Each counts once, however often it is reported, until its record comes.
#[derive(Debug, Default)]
pub(super) struct Missing {
    known: HashSet<u64>,
    more: u64,
    /// Missing since before the peer's resync that is under way: its end shows which of them there are still.
    earlier: HashSet<u64>,
    more_earlier: u64,
    /// Flows that the kernel here refuses in every form: they do not count.
    refused: HashSet<u64>,
}

impl Missing {
    pub(super) fn insert(&mut self, hash: u64) {
        self.earlier.remove(&hash);
        if self.known.len() < KNOWN_MAX {
            self.known.insert(hash);
        } else {
            self.more += u64::from(!self.known.contains(&hash))
        }
    }

    /// Returns true if the flow is missing, as far as is known.
    pub(super) fn may_have(&self, hash: u64) -> bool {
        self.more + self.more_earlier > 0
            || self.known.contains(&hash)
            || self.earlier.contains(&hash)
    }

    /// Returns one of the missing flows.
    pub(super) fn any(&self) -> Option<u64> {
        self.known.iter().chain(&self.earlier).next().copied()
    }

    /// Removes a flow that has come or ended.
    pub(super) fn remove(&mut self, hash: u64) {
        if !self.known.is_empty() {
            self.known.remove(&hash);
        }
        if !self.earlier.is_empty() {
            self.earlier.remove(&hash);
        }
        if !self.refused.is_empty() {
            self.refused.remove(&hash);
        }
    }

    /// Adds a flow that the kernel refuses. Returns false if there are too many, so that it counts
    /// as missing.
    pub(super) fn refuse(&mut self, hash: u64) -> bool {
        let has_room = self.refused.len() < REFUSED_MAX;
        if has_room {
            self.refused.insert(hash);
        } else {
            self.insert(hash)
        }
        has_room
    }

    pub(super) fn is_refused(&self, hash: u64) -> bool {
        self.refused.contains(&hash)
    }

    /// Begins a new count when a resync of the peer begins, which names all flows.
    pub(super) fn begin_resync(&mut self) {
        for hash in self.known.drain() {
            if self.earlier.len() < KNOWN_MAX {
                self.earlier.insert(hash);
            } else {
                self.more_earlier += 1;
            }
        }
        self.more_earlier += std::mem::take(&mut self.more);
    }

    /// Forgets the flows that the peer's resync did not name: they have ended.
    pub(super) fn end_resync(&mut self) {
        self.earlier.clear();
        self.more_earlier = 0;
    }

    /// Forgets all flows: the peer carries none any more.
    pub(super) fn clear(&mut self) {
        self.begin_resync();
        self.end_resync();
    }

    pub(super) fn count(&self) -> u64 {
        let known = self.known.len() + self.earlier.len();
        known as u64 + self.more + self.more_earlier
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counts_once_until_it_comes() {
        let mut missing = Missing::default();
        [1, 2, 1].into_iter().for_each(|hash| missing.insert(hash));
        assert_eq!(missing.count(), 2);
        [1, 1, 3].into_iter().for_each(|hash| missing.remove(hash));
        assert_eq!(missing.count(), 1);
    }

    #[test]
    fn of_too_many_the_number_is_known() {
        let mut missing = Missing::default();
        let many = KNOWN_MAX as u64 + 10;
        (0..many).for_each(|hash| missing.insert(hash));
        missing.insert(7);
        assert_eq!(missing.count(), many);
        missing.clear();
        assert_eq!(missing.count(), 0);
    }

    #[test]
    fn a_resync_ends_those_that_it_does_not_name() {
        let mut missing = Missing::default();
        [1, 2, 3].into_iter().for_each(|hash| missing.insert(hash));
        missing.begin_resync();
        assert_eq!(missing.count(), 3);
        missing.remove(1);
        missing.insert(2);
        assert_eq!(missing.count(), 2);
        missing.end_resync();
        assert_eq!((missing.count(), missing.may_have(2)), (1, true));
    }

    #[test]
    fn what_the_kernel_refuses_does_not_count_until_it_is_too_much() {
        let mut missing = Missing::default();
        assert!((0..REFUSED_MAX as u64).all(|hash| missing.refuse(hash)));
        assert_eq!(missing.count(), 0);
        assert!(!missing.refuse(u64::MAX));
        assert_eq!(missing.count(), 1);
        missing.remove(7);
        assert!(!missing.is_refused(7) && missing.is_refused(8));
    }
}
