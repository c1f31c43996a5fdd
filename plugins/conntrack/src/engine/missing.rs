//! Flows that the peer has and this kernel has not.

use std::collections::HashSet;

/// Half a megabyte; of more only their number is known.
const KNOWN_MAX: usize = 32_768;

/// Each counts once, however often it is heard of, until its record comes.
#[derive(Debug, Default)]
pub(super) struct Missing {
    known: HashSet<u64>,
    more: u64,
}

impl Missing {
    pub(super) fn insert(&mut self, hash: u64) {
        match self.known.len() < KNOWN_MAX {
            true => drop(self.known.insert(hash)),
            false => self.more += u64::from(!self.known.contains(&hash)),
        }
    }

    /// It has come, or has ended.
    pub(super) fn remove(&mut self, hash: u64) {
        if !self.known.is_empty() {
            self.known.remove(&hash);
        }
    }

    /// A resync of the peer's begins, which names all that it has.
    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.more = 0;
    }

    pub(super) fn count(&self) -> u64 {
        self.known.len() as u64 + self.more
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
}
