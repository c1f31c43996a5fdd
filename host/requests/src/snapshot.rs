//! Keeps the snapshot of this node that metrics, findings and watching plugins read. It is made at most once a second,
//! however many ask, so that no reader can keep the plugins busy.

use std::rc::Rc;
use std::time::{Duration, Instant};

use spared_message::control::Answer;

use crate::questions::{Asker, STATUS_TIMEOUT};

/// Age until which the snapshot is read again.
const LIFETIME: Duration = Duration::from_secs(1);

/// Latest snapshot, and who waits for the next one.
#[derive(Debug, Default)]
pub struct Snapshots {
    latest: Option<(Instant, Rc<Answer>)>,
    waiting: Vec<Asker>,
    /// Time at which the answers of plugins that are being waited for end; None if none are.
    until: Option<Instant>,
}

impl Snapshots {
    /// Returns the latest snapshot if it is not outdated. Otherwise the asker waits for the next one.
    pub fn ask(&mut self, now: Instant, asker: Asker) -> Option<Rc<Answer>> {
        let latest = self.latest.as_ref();
        let is_new = |at: Instant| now.saturating_duration_since(at) < LIFETIME;
        let found = latest.filter(|(at, _)| is_new(*at)).map(|it| it.1.clone());
        if found.is_none() {
            self.waiting.push(asker);
        }
        found
    }

    /// Begins a snapshot. Returns the time until which plugins may answer; None if one has begun already.
    pub fn begin(&mut self, now: Instant) -> Option<Instant> {
        let is_begun = self.until.is_some();
        let until = *self.until.get_or_insert(now + STATUS_TIMEOUT);
        (!is_begun).then_some(until)
    }

    /// Returns the time until which plugins may answer the snapshot that has begun.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Keeps a snapshot. Returns it with all who wait for it.
    pub fn end(&mut self, now: Instant, answer: Answer) -> (Rc<Answer>, Vec<Asker>) {
        self.until = None;
        let answer = Rc::new(answer);
        self.latest = Some((now, answer.clone()));
        (answer, std::mem::take(&mut self.waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_ask_within_a_second_get_one_snapshot() {
        let (start, mut snapshots) = (Instant::now(), Snapshots::default());
        let [first, second] = [1, 2].map(Asker::Client);
        assert_eq!(snapshots.ask(start, first), None);
        assert!(snapshots.begin(start).is_some());
        assert_eq!(snapshots.ask(start, second), None);
        assert!(snapshots.begin(start).is_none(), "it has begun");
        let answer = Answer::Done { lines: Vec::new() };
        let (made, waiting) = snapshots.end(start, answer);
        assert_eq!(waiting, [first, second]);
        let young = start + LIFETIME - Duration::from_millis(1);
        assert_eq!(snapshots.ask(young, first), Some(made));
        assert_eq!(snapshots.ask(start + LIFETIME, first), None);
        assert!(snapshots.begin(start + LIFETIME).is_some());
    }
}
