//! Carries the plan out: charon gets its messages, a few at a time, and each batch of children waits for the one before.

use super::{BUSY_NS, Feed, NotTold, SILENT_NS, Stage};
use crate::engine::sessions::batch::Batch;
use crate::engine::sessions::plan::Step;
use crate::engine::sessions::quiet::Quiet;
use crate::engine::{Action, Engine};
use crate::sa::Body;
use crate::sessions::message::{self, Message};

/// Messages that charon gets in one go: its socket has room for more than a hundred.
const MESSAGES_MAX: usize = 32;

impl Feed {
    pub(in crate::engine::sessions) fn put_batch(&mut self, batch: Batch) {
        self.batch = Some(batch);
    }

    pub(in crate::engine::sessions) fn take_batch_if(
        &mut self,
        ends: impl FnOnce(&mut Batch) -> bool,
    ) -> Option<Batch> {
        self.batch.take_if(ends)
    }

    pub(in crate::engine::sessions) fn batch(&self) -> Option<&Batch> {
        self.batch.as_ref()
    }

    pub(in crate::engine::sessions) fn batch_mut(&mut self) -> Option<&mut Batch> {
        self.batch.as_mut()
    }

    /// Goes on after a pause.
    pub(in crate::engine::sessions) fn resume(&mut self, now_ns: u64) {
        self.activate_ns = now_ns + SILENT_NS;
    }

    /// True if charon gets no more sessions for now.
    fn is_paused(&self) -> bool {
        self.quiet != Quiet::No && self.batch.is_none()
    }

    /// Has the plan end with the activation, also if charon has been told to answer already.
    pub(in crate::engine::sessions) fn answer_later(&mut self) {
        if !self.steps.iter().any(|it| matches!(it, Step::Activate)) {
            self.steps.push_back(Step::Activate);
        }
    }

    /// Puts children back that charon has not added: they are the next ones.
    pub(in crate::engine::sessions) fn put_back(&mut self, children: Vec<u32>) {
        self.clear_messages();
        for spi in children.into_iter().rev() {
            self.steps.push_front(Step::Child(spi));
        }
    }

    /// Takes the activation out of the plan before its turn; returns false if IKE SAs are to come first.
    fn skip_to_activation(&mut self) -> bool {
        let is_last = matches!(self.steps.back(), Some(Step::Activate));
        let mut steps = self.steps.iter();
        let skips = is_last && !steps.any(|it| matches!(it, Step::Ike { .. }));
        if skips {
            self.steps.pop_back();
        }
        skips
    }

    /// Children of the plan, by inbound SPI.
    pub(in crate::engine::sessions) fn planned_children(&self) -> impl Iterator<Item = u32> + '_ {
        self.steps.iter().filter_map(|it| match it {
            Step::Child(spi) => Some(*spi),
            _ => None,
        })
    }
}

impl Engine {
    /// Handles the result of [`Action::Tell`].
    pub fn handle_told(&mut self, now_ns: u64, told: Vec<Body>, done: Result<(), NotTold>) {
        let feed = &mut self.ike.feed;
        feed.is_telling = false;
        match done {
            Ok(()) => self.note_told(&told),
            Err(NotTold::Busy) => {
                let is_feeding = feed.stage == Stage::Feeding;
                let again = told.into_iter().rev();
                let again = again.filter(|it| is_feeding || message::is_end_of_ike(it.bytes()));
                again.for_each(|it| feed.messages.push_front(it));
                feed.next_ns = Some(now_ns + BUSY_NS);
                return;
            }
            Err(_) if feed.stage == Stage::Idle => feed.messages.clear(),
            Err(NotTold::Refused(why) | NotTold::Stranger(why)) => {
                feed.fault = Some(why);
                self.abort_batch(now_ns);
                // a charon that has ended is followed by one that gets them all
                return self.stop_feeding(now_ns);
            }
        }
        self.feed_next(now_ns);
    }

    /// Notes messages that charon has. Some may be about sessions whose address has left meanwhile.
    fn note_told(&mut self, told: &[Body]) {
        let messages = told.iter().filter_map(|it| Message::read(it.bytes()).ok());
        let mut has_left = false;
        for message in messages {
            self.ike.feed.charon.note_told(&message);
            has_left |= message.ike.is_some_and(|it| self.has_left(&it));
        }
        if has_left {
            self.note_left_sessions();
        }
    }

    /// Continues until something has to be waited for.
    pub(in crate::engine::sessions) fn feed_next(&mut self, now_ns: u64) {
        if self.ike.feed.stage != Stage::Feeding {
            self.tell_next();
            return;
        }
        while self.ike.feed.stage == Stage::Feeding && !self.ike.feed.is_telling {
            if self.ike.feed.is_paused() {
                return self.pause();
            }
            if self.tell_next() {
                return;
            }
            if self.ike.feed.is_in_batch() {
                return;
            }
            if self.ike.feed.activate_ns <= now_ns && self.ike.feed.skip_to_activation() {
                self.activate();
                continue;
            }
            let is_child = matches!(self.ike.feed.steps.front(), Some(Step::Child(_)));
            if is_child && !self.can_add_children() {
                self.ike.feed.next_ns = Some(now_ns + BUSY_NS);
                return;
            }
            match self.ike.feed.steps.pop_front() {
                None if std::mem::take(&mut self.ike.feed.has_more) => {
                    self.ike.feed.stop(Stage::Done);
                    return self.begin_feed(now_ns);
                }
                None => return self.finish_feed(now_ns),
                Some(Step::Ike { spis, .. }) if self.has_left(&spis) => {}
                Some(Step::Ike { messages, .. }) => self.tell(messages),
                Some(Step::Activate) if self.ike.feed.steps.is_empty() => self.activate(),
                // all IKE SAs are there, and children are not
                Some(Step::Activate) => self.ike.feed.steps.push_back(Step::Activate),
                Some(Step::Child(spi)) => self.begin_batch(now_ns, spi),
            }
        }
    }

    /// Has charon be quiet now that it has added what it was told to.
    pub(super) fn pause(&mut self) {
        if self.ike.feed.quiet == Quiet::Pausing {
            self.order_quiet();
        }
    }

    /// True if the SAs of a failover are in the kernel, and no other packets wait than those of a batch.
    pub(in crate::engine::sessions) fn can_add_children(&self) -> bool {
        self.is_installed() && self.switchover.resume.is_over()
    }

    fn activate(&mut self) {
        let version = self.feed_version();
        self.tell(vec![Body::new(message::segment(version, true))]);
    }

    /// Puts messages on their way to charon, behind those that are.
    pub(in crate::engine::sessions) fn tell(&mut self, messages: Vec<Body>) {
        self.ike.feed.messages.extend(messages);
    }

    /// Passes messages to charon, unless some are on their way; returns true if it did.
    pub(in crate::engine::sessions) fn tell_next(&mut self) -> bool {
        let feed = &mut self.ike.feed;
        if feed.is_telling {
            return false;
        }
        let count = feed.messages.len().min(MESSAGES_MAX);
        let messages: Vec<Body> = feed.messages.drain(..count).collect();
        feed.is_telling = !messages.is_empty();
        if messages.is_empty() {
            return false;
        }
        self.push_action(Action::Tell(messages));
        true
    }

    /// Takes the next children of the plan, up to a number.
    pub(in crate::engine::sessions) fn next_children(&mut self, count: usize) -> Vec<u32> {
        let steps = &mut self.ike.feed.steps;
        let mut children = Vec::new();
        while let Some(Step::Child(spi)) = steps.front().filter(|_| children.len() < count) {
            children.push(*spi);
            steps.pop_front();
        }
        children
    }
}
