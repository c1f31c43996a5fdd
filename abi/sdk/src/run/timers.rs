//! One-shot timers: a heap whose entries know their positions, so that moving a timer allocates no memory.

use std::collections::HashMap;

/// Maximum number of timers of a plugin.
pub const TIMERS_MAX: usize = 4096;

/// Number of timers for which memory is allocated at the start.
const TIMERS_USUAL: usize = 256;

/// Timers of a plugin, the next one first.
#[derive(Debug)]
pub struct Timers {
    /// Binary heap by time; the root is the next timer.
    heap: Vec<Timer>,
    /// Position of each id in the heap.
    places: HashMap<u32, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    at_ns: u64,
    id: u32,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            heap: Vec::with_capacity(TIMERS_USUAL),
            places: HashMap::with_capacity(TIMERS_USUAL),
        }
    }
}

impl Timers {
    /// Sets or moves a timer. Returns false if there are too many.
    pub fn set(&mut self, id: u32, at_ns: u64) -> bool {
        if let Some(&place) = self.places.get(&id) {
            if let Some(timer) = self.heap.get_mut(place) {
                timer.at_ns = at_ns;
            }
            self.settle(place);
            return true;
        }
        if self.heap.len() >= TIMERS_MAX {
            return false;
        }
        self.places.insert(id, self.heap.len());
        self.heap.push(Timer { at_ns, id });
        self.settle(self.heap.len() - 1);
        true
    }

    /// Cancels a timer.
    pub fn cancel(&mut self, id: u32) {
        if let Some(place) = self.places.remove(&id) {
            self.heap.swap_remove(place);
            if let Some(moved) = self.heap.get(place) {
                self.places.insert(moved.id, place);
                self.settle(place);
            }
        }
    }

    /// Time at which the next timer is due.
    pub fn next_ns(&self) -> Option<u64> {
        self.heap.first().map(|timer| timer.at_ns)
    }

    /// Removes the next timer if it is due, and returns its id.
    pub fn pop_due(&mut self, now_ns: u64) -> Option<u32> {
        let timer = self.heap.first().filter(|timer| timer.at_ns <= now_ns)?;
        let id = timer.id;
        self.cancel(id);
        Some(id)
    }

    /// Number of timers that are set.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Moves the entry at `place` up or down to its position.
    fn settle(&mut self, mut place: usize) {
        while place > 0 && self.earlier(place, (place - 1) / 2) {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let child = if self.earlier(right, left) {
                right
            } else {
                left
            };
            if !self.earlier(child, place) {
                return;
            }
            self.swap(child, place);
            place = child;
        }
    }

    fn earlier(&self, one: usize, other: usize) -> bool {
        match (self.heap.get(one), self.heap.get(other)) {
            (Some(one), Some(other)) => one.at_ns < other.at_ns,
            _ => false,
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        for place in [one, other] {
            if let Some(timer) = self.heap.get(place) {
                self.places.insert(timer.id, place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Removes all timers that are due at `now_ns`, in order.
    fn due(timers: &mut Timers, now_ns: u64) -> Vec<u32> {
        std::iter::from_fn(|| timers.pop_due(now_ns)).collect()
    }

    #[test]
    fn timers_come_in_the_order_of_their_times() {
        let mut timers = Timers::default();
        // Tests every order of five timers: each step visits all residues.
        for step in [1, 2, 3, 4] {
            for position in 0..5u32 {
                let id = position * step % 5;
                timers.set(id, u64::from(id) * 10);
            }
            assert_eq!(timers.next_ns(), Some(0));
            assert_eq!(due(&mut timers, 20), [0, 1, 2]);
            assert_eq!(due(&mut timers, 100), [3, 4]);
        }
    }

    #[test]
    fn setting_again_replaces_and_cancelling_forgets() {
        let mut timers = Timers::default();
        timers.set(1, 10);
        timers.set(2, 20);
        timers.set(1, 30);
        timers.set(3, 25);
        timers.cancel(3);
        timers.cancel(99);
        assert_eq!(timers.len(), 2);
        assert_eq!(due(&mut timers, 100), [2, 1]);
        assert_eq!(timers.next_ns(), None);
    }

    #[test]
    fn a_long_random_history_agrees_with_a_sorted_list() {
        let mut timers = Timers::default();
        let mut model: Vec<(u64, u32)> = Vec::new();
        let mut seed = 7u64;
        let mut random = move || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            seed >> 33
        };
        for round in 0..20_000u64 {
            let id = u32::try_from(random() % 50).unwrap();
            // The times are unique, so that there is one order.
            let at_ns = (random() % 1000) * 100_000 + round;
            model.retain(|(_, other)| *other != id);
            if random() % 4 == 0 {
                timers.cancel(id);
            } else {
                timers.set(id, at_ns);
                model.push((at_ns, id));
            }
            model.sort_unstable();
            assert_eq!(timers.next_ns(), model.first().map(|(at_ns, _)| *at_ns));
            if random() % 8 == 0 && !model.is_empty() {
                let (at_ns, id) = model.remove(0);
                assert_eq!(timers.pop_due(at_ns), Some(id));
            }
        }
    }

    #[test]
    fn more_than_the_most_are_refused_and_the_rest_stays() {
        let mut timers = Timers::default();
        for id in 0..TIMERS_MAX {
            assert!(timers.set(u32::try_from(id).unwrap(), 5));
        }
        assert!(!timers.set(u32::MAX, 5));
        assert!(timers.set(0, 6), "moving one is no new one");
    }
}
