//! Events for the administrator: a bounded ring. Each event is also a line of the journal with the fields
//! `SPARED_EVENT=`, `GROUP=`, `REASON=` and `SPARED_CHANGE=`.

use std::collections::VecDeque;

use spared_message::control::Event;
use spared_message::notice::Notice;
use spared_process::clock;

use crate::journal;

const KEPT_MAX: usize = 1024;

/// The newest events, at most `KEPT_MAX`.
#[derive(Debug, Default)]
pub struct Events {
    ring: VecDeque<Event>,
    /// Events that [`take_new`](Self::take_new) has not returned yet.
    new: Vec<Recorded>,
}

/// An event with its level.
#[derive(Debug)]
pub struct Recorded {
    pub level: log::Level,
    pub event: Event,
}

impl Events {
    /// Stores an event, and writes it to the journal.
    pub fn record(&mut self, news: Notice) {
        journal::event(&news);
        if self.ring.len() == KEPT_MAX {
            self.ring.pop_front();
        }
        let event = Event {
            at: clock::now_ms(),
            event: news.kind.name().to_owned(),
            group: news.group,
            reason: news.reason,
            text: news.text,
        };
        if self.new.len() < KEPT_MAX {
            self.new.push(Recorded {
                level: news.level,
                event: event.clone(),
            });
        }
        self.ring.push_back(event);
    }

    /// Returns the events since the last call.
    pub fn take_new(&mut self) -> Vec<Recorded> {
        std::mem::take(&mut self.new)
    }

    /// The newest `limit` events, oldest first.
    pub fn newest(&self, limit: usize) -> Vec<Event> {
        let skip = self.ring.len().saturating_sub(limit);
        self.ring.iter().skip(skip).cloned().collect()
    }

    pub fn last(&self) -> Option<&Event> {
        self.ring.back()
    }
}

#[cfg(test)]
mod tests {
    use spared_message::notice::Kind;

    use super::*;

    #[test]
    fn the_ring_forgets_the_oldest() {
        let mut events = Events::default();
        for number in 0..KEPT_MAX + 3 {
            events.record(Notice::new(Kind::Report, format!("{number}")));
        }
        let kept = events.newest(usize::MAX);
        assert_eq!(kept.len(), KEPT_MAX);
        assert_eq!(kept[0].text, "3");
        assert_eq!(events.newest(2)[1].text, format!("{}", KEPT_MAX + 2));
    }
}
