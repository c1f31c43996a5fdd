//! Queue of changes that wait to be sent, in order. A flow that changes again while it waits is sent once.

use std::collections::VecDeque;

use crate::flow::Flow;
use crate::wire::Kind;

/// Range of the numbers of one queue; a second queue has as many. An entry of the table has one bit above them.
const NUMBERS: u32 = 1 << 30;

#[derive(Debug)]
pub struct OutgoingChange {
    pub kind: Kind,
    pub hash: u64,
    pub flow: Flow,
    pub since_ns: u64,
}

#[derive(Debug)]
pub enum Item {
    Change(OutgoingChange),
    /// A separate message, which must keep its place.
    Message(Vec<u8>),
    /// A later change replaced it.
    Nothing,
}

#[derive(Debug)]
pub struct Queue {
    items: VecDeque<Item>,
    /// Number of the first item.
    first: u32,
    tag: u32,
    /// Number of items that are changes.
    changes: usize,
    /// Number of items that go before the session's next message.
    ahead: usize,
    /// Number of items up to the end of this node's last resync.
    report: usize,
    message_bytes: usize,
}

impl Queue {
    /// Creates a queue. `tag` is 0 or 1 and distinguishes the numbers of two queues.
    pub fn new(tag: u32) -> Self {
        Self {
            items: VecDeque::new(),
            first: 1,
            tag: tag * NUMBERS,
            changes: 0,
            ahead: 0,
            report: 0,
            message_bytes: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn clear(&mut self) {
        self.items.clear();
        self.first = 1;
        (self.changes, self.ahead, self.message_bytes) = (0, 0, 0);
        self.report = 0;
    }

    /// Returns the size of the queued messages in bytes.
    pub fn message_bytes(&self) -> usize {
        self.message_bytes
    }

    /// Returns true if most of a large queue consists of gaps.
    pub fn is_sparse(&self) -> bool {
        const MUCH: usize = 65_536;
        self.items.len() > 2 * self.changes + MUCH
    }

    /// Sends its items before further messages of the session.
    pub fn go_ahead(&mut self) {
        self.ahead = self.items.len();
    }

    pub fn is_ahead(&self) -> bool {
        self.ahead > 0
    }

    /// Takes note that the last item ends a resync of this node.
    pub fn end_report(&mut self) {
        self.report = self.items.len();
    }

    /// Returns true if a part of this node's last resync waits.
    pub fn has_report(&self) -> bool {
        self.report > 0
    }

    /// Removes all changes, in order. The queue must not contain messages.
    pub fn take_all(&mut self) -> Vec<OutgoingChange> {
        let items = std::mem::take(&mut self.items);
        self.clear();
        let changes = items.into_iter().filter_map(|item| match item {
            Item::Change(change) => Some(change),
            _ => None,
        });
        changes.collect()
    }

    pub fn front(&self) -> Option<&Item> {
        self.items.front()
    }

    pub fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.first = after(self.first, 1);
        self.ahead = self.ahead.saturating_sub(1);
        self.report = self.report.saturating_sub(1);
        match &item {
            Item::Change(_) => self.changes -= 1,
            Item::Message(message) => self.message_bytes -= message.len(),
            Item::Nothing => {}
        }
        Some(item)
    }

    /// Returns the time since which the oldest change waits.
    pub fn oldest_ns(&self) -> Option<u64> {
        self.items.iter().find_map(|item| match item {
            Item::Change(change) => Some(change.since_ns),
            _ => None,
        })
    }

    /// Adds a change. Returns the number by which it is found while it waits.
    pub fn push(&mut self, change: OutgoingChange) -> u32 {
        let number = after(self.first, self.items.len() as u32);
        self.items.push_back(Item::Change(change));
        self.changes += 1;
        number | self.tag
    }

    pub fn push_message(&mut self, message: Vec<u8>) {
        self.message_bytes += message.len();
        self.items.push_back(Item::Message(message));
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut OutgoingChange> {
        match self.item_mut(number)? {
            Item::Change(change) => Some(change),
            _ => None,
        }
    }

    /// Removes a change and leaves a gap.
    pub fn take(&mut self, number: u32) -> Option<OutgoingChange> {
        let item = self.item_mut(number)?;
        if !matches!(item, Item::Change(_)) {
            return None;
        }
        match std::mem::replace(item, Item::Nothing) {
            Item::Change(change) => {
                self.changes -= 1;
                Some(change)
            }
            _ => None,
        }
    }

    fn item_mut(&mut self, number: u32) -> Option<&mut Item> {
        if number == 0 || number & NUMBERS != self.tag {
            return None;
        }
        let number = number & (NUMBERS - 1);
        // 0 is no number
        let position = match number.checked_sub(self.first) {
            Some(position) => position,
            None => number + (NUMBERS - 1) - self.first,
        };
        self.items.get_mut(position as usize)
    }
}

/// Returns the number after some steps. Numbers go from 1 to NUMBERS - 1 and begin again.
fn after(number: u32, steps: u32) -> u32 {
    (number - 1 + steps % (NUMBERS - 1)) % (NUMBERS - 1) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(since_ns: u64) -> OutgoingChange {
        OutgoingChange {
            kind: Kind::Whole,
            hash: since_ns,
            flow: Flow::default(),
            since_ns,
        }
    }

    #[test]
    fn a_change_is_found_by_its_number_until_it_is_gone() {
        let mut queue = Queue::new(1);
        let numbers: Vec<u32> = (1..=3).map(|at| queue.push(change(at))).collect();
        assert_eq!(queue.get_mut(numbers[1]).map(|it| it.hash), Some(2));
        queue.pop();
        assert!(queue.get_mut(numbers[0]).is_none());
        assert_eq!(queue.take(numbers[1]).map(|it| it.hash), Some(2));
        assert!(queue.take(numbers[1]).is_none());
        assert_eq!(queue.oldest_ns(), Some(3));
        assert!(Queue::new(0).get_mut(numbers[2]).is_none());
    }

    #[test]
    fn a_change_that_waits_takes_the_memory_that_is_promised() {
        assert_eq!(size_of::<Item>(), 160);
    }

    #[test]
    fn what_is_in_a_queue_is_counted() {
        let mut queue = Queue::new(0);
        let numbers: Vec<u32> = (0..70_000).map(|at| queue.push(change(at))).collect();
        queue.push_message(vec![0; 100]);
        assert_eq!(queue.message_bytes(), 100);
        for number in &numbers[..69_000] {
            queue.take(*number);
            assert!(queue.take(*number).is_none());
        }
        assert!(queue.is_sparse());
        queue.pop();
        assert_eq!(queue.message_bytes(), 100);
        let left: Vec<u64> = queue.take_all().iter().map(|it| it.hash).collect();
        assert_eq!(left, (69_000..70_000).collect::<Vec<_>>());
        assert!(queue.is_empty() && !queue.is_sparse());
        assert_eq!(queue.message_bytes(), 0);
        queue.push_message(vec![0; 7]);
        queue.pop();
        assert_eq!(queue.message_bytes(), 0);
    }

    #[test]
    fn numbers_begin_again_without_the_one_that_means_nothing() {
        let mut queue = Queue::new(0);
        queue.first = NUMBERS - 2;
        let numbers: Vec<u32> = (1..=4).map(|at| queue.push(change(at))).collect();
        assert_eq!(numbers, [NUMBERS - 2, NUMBERS - 1, 1, 2]);
        for (at, number) in (1..).zip(&numbers) {
            assert_eq!(queue.get_mut(*number).map(|it| it.hash), Some(at));
        }
        queue.pop();
        queue.pop();
        assert_eq!(queue.get_mut(1).map(|it| it.hash), Some(3));
    }
}
