//! Messages to the peer plugin that are still to be sent: what they are about, not what they say, so that the queue is as
//! long as the book at most.

use std::collections::BTreeSet;

use crate::finding::Key;

/// Subject of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Reached,
    History(Key),
    Joined,
}

/// Subjects that wait, and the bytes of the message that was polled last.
#[derive(Debug, Default)]
pub struct Outbox {
    is_up: bool,
    reached: bool,
    histories: BTreeSet<Key>,
    joined: bool,
    polled: Option<Vec<u8>>,
}

impl Outbox {
    /// Begins with everything that the peer is to know.
    pub fn begin(&mut self, histories: BTreeSet<Key>) {
        *self = Self {
            is_up: true,
            reached: true,
            histories,
            joined: true,
            polled: None,
        };
    }

    pub fn end(&mut self) {
        *self = Self::default();
    }

    pub fn add_reached(&mut self) {
        self.reached = self.is_up;
    }

    pub fn add_history(&mut self, key: &Key) {
        if self.is_up {
            self.histories.insert(key.clone());
        }
    }

    /// Next message, the same one until [`sent`](Self::sent). `write` makes its bytes, or none if there is nothing to say
    /// any more.
    pub fn poll(&mut self, mut write: impl FnMut(Subject) -> Option<Vec<u8>>) -> Option<&[u8]> {
        while self.polled.is_none() {
            let subject = self.take()?;
            self.polled = write(subject);
        }
        self.polled.as_deref()
    }

    pub fn sent(&mut self) {
        self.polled = None;
    }

    fn take(&mut self) -> Option<Subject> {
        if std::mem::take(&mut self.reached) {
            return Some(Subject::Reached);
        }
        if let Some(key) = self.histories.pop_first() {
            return Some(Subject::History(key));
        }
        std::mem::take(&mut self.joined).then_some(Subject::Joined)
    }
}
