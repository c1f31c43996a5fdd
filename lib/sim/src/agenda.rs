//! Planned events, ordered by time.

use std::collections::VecDeque;

/// Planned events, ordered by time; events of the same moment stay in the order in which they were planned.
#[derive(Clone, Debug)]
pub struct Agenda<T> {
    queue: VecDeque<(u64, T)>,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
        }
    }
}

impl<T> Agenda<T> {
    /// Plans an event for a moment.
    pub fn plan(&mut self, at_ns: u64, what: T) {
        // most events are planned for the end, so the search starts there
        let after = self.queue.iter().rev();
        let later = after.take_while(|(other, _)| *other > at_ns).count();
        self.queue.insert(self.queue.len() - later, (at_ns, what));
    }

    /// Takes the next event and its moment, if that is not later than `end_ns`.
    pub fn take(&mut self, end_ns: u64) -> Option<(u64, T)> {
        self.next_at().filter(|at_ns| *at_ns <= end_ns)?;
        self.queue.pop_front()
    }

    /// Drops all events for which `stays` is false.
    pub fn retain(&mut self, mut stays: impl FnMut(&T) -> bool) {
        self.queue.retain(|(_, what)| stays(what));
    }

    /// Removes and returns the next event for which `is_such` is true.
    pub fn drop_next(&mut self, is_such: impl FnMut(&T) -> bool) -> Option<T> {
        let at = self.iter().position(is_such)?;
        self.queue.remove(at).map(|(_, what)| what)
    }

    /// Drops all events.
    pub fn clear(&mut self) {
        self.queue.clear();
    }

    /// Time of the next event.
    pub fn next_at(&self) -> Option<u64> {
        self.queue.front().map(|(at_ns, _)| *at_ns)
    }

    /// Time of the last event.
    pub fn last_at(&self) -> Option<u64> {
        self.queue.back().map(|(at_ns, _)| *at_ns)
    }

    /// Number of planned events.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// True if no event is planned.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// All planned events, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.queue.iter().map(|(_, what)| what)
    }

    /// All planned events, for changes.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.queue.iter_mut().map(|(_, what)| what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_by_time_and_of_one_moment_as_planned() {
        let mut agenda = Agenda::default();
        for (at_ns, what) in [(5, 'c'), (3, 'a'), (5, 'd'), (9, 'f'), (3, 'b'), (5, 'e')] {
            agenda.plan(at_ns, what);
        }
        assert_eq!((agenda.next_at(), agenda.last_at()), (Some(3), Some(9)));
        assert_eq!(agenda.drop_next(|what| *what > 'b'), Some('c'));
        agenda.retain(|what| *what != 'e');
        assert_eq!(agenda.take(2), None);
        let mut taken = String::new();
        while let Some((_, what)) = agenda.take(5) {
            taken.push(what);
        }
        assert_eq!((taken.as_str(), agenda.len()), ("abd", 1));
    }
}
