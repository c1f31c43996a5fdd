//! What is to happen, by time.

use std::collections::VecDeque;

/// What is to happen, by time; of one moment, what was planned first comes first.
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
    /// Plans something for a moment.
    pub fn plan(&mut self, at_ns: u64, what: T) {
        // mostly the last: looked for from there
        let after = self.queue.iter().rev();
        let later = after.take_while(|(other, _)| *other > at_ns).count();
        self.queue.insert(self.queue.len() - later, (at_ns, what));
    }

    /// The next thing and its moment, which is no later than `end_ns`.
    pub fn take(&mut self, end_ns: u64) -> Option<(u64, T)> {
        self.next_at().filter(|at_ns| *at_ns <= end_ns)?;
        self.queue.pop_front()
    }

    /// Drops all that does not stay.
    pub fn retain(&mut self, mut stays: impl FnMut(&T) -> bool) {
        self.queue.retain(|(_, what)| stays(what));
    }

    /// Takes away the next thing that is such a one.
    pub fn drop_next(&mut self, is_such: impl FnMut(&T) -> bool) -> Option<T> {
        let at = self.iter().position(is_such)?;
        self.queue.remove(at).map(|(_, what)| what)
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.queue.clear();
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<u64> {
        self.queue.front().map(|(at_ns, _)| *at_ns)
    }

    /// When the last thing happens.
    pub fn last_at(&self) -> Option<u64> {
        self.queue.back().map(|(at_ns, _)| *at_ns)
    }

    /// How much is planned.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing is planned.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// All that is planned, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.queue.iter().map(|(_, what)| what)
    }

    /// The same, to change it.
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
