//! Keeps charon quiet while its sessions may be about to leave: from the beginning of a switchover, and while none of its
//! addresses is here. It answers no request then, so that nothing changes without the peer's knowledge. Far ends repeat
//! their requests, and the other node's charon answers them. A charon that is still getting sessions gets the rest when
//! it may answer again.

use super::super::drain::Drain;
use super::super::{Action, Engine};
use super::feed::{BUSY_NS, Stage};

/// Progress of an order to be quiet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quiet {
    /// charon answers, if it has its sessions.
    #[default]
    No,
    /// It is about to be told not to: the children that it is adding come first.
    Pausing,
    /// It was told not to, and may not have read that.
    Told,
    /// It has read it; what it reported before that is still to be read here.
    Read,
    Yes,
}

impl Engine {
    /// Has charon answer no more requests.
    pub(in super::super) fn begin_quiet(&mut self, now_ns: u64) {
        let feed = &mut self.ike.feed;
        if feed.quiet != Quiet::No {
            return;
        }
        match feed.stage {
            Stage::Done if feed.charon.is_there => self.order_quiet(),
            Stage::Idle | Stage::Done => {}
            // it answers nothing before it has its sessions
            Stage::Asked { .. } | Stage::Loading { .. } => feed.quiet = Quiet::Yes,
            Stage::Feeding => {
                feed.quiet = Quiet::Pausing;
                feed.answer_later();
                if let Some(batch) = feed.batch_mut() {
                    batch.hurry(now_ns);
                }
                self.feed_next(now_ns);
            }
        }
        self.mark_dirty();
    }

    pub(super) fn order_quiet(&mut self) {
        let version = self.feed_version();
        self.ike.feed.quiet = Quiet::Told;
        // charon reads the second order after it has carried out the first one
        for _ in 0..2 {
            self.push_action(Action::Segment(false, version));
        }
        self.push_action(Action::AwaitRead);
    }

    /// Handles whether charon has read all of its messages.
    pub fn handle_messages_read(&mut self, now_ns: u64, are_read: bool) {
        let feed = &mut self.ike.feed;
        if feed.quiet != Quiet::Told {
            return;
        }
        if are_read {
            feed.quiet = Quiet::Read;
        }
        feed.next_ns = Some(now_ns + BUSY_NS);
    }

    pub(super) fn handle_quiet_timeout(&mut self, now_ns: u64) {
        match self.ike.feed.quiet {
            Quiet::No | Quiet::Yes => {}
            Quiet::Pausing => self.feed_next(now_ns),
            Quiet::Told => self.push_action(Action::AwaitRead),
            Quiet::Read => {
                self.ike.feed.quiet = Quiet::Yes;
                self.continue_drain();
            }
        }
    }

    /// True if charon may not answer: none of its addresses is here, or a switchover is about to take them.
    pub(super) fn must_be_quiet(&self) -> bool {
        !self.store.ends.has_any() || self.switchover.drain != Drain::None
    }

    /// Has charon be quiet while none of its addresses is here, unless a switchover decides.
    pub(in super::super) fn update_quiet(&mut self, now_ns: u64) {
        if !self.store.ends.has_any() {
            self.begin_quiet(now_ns);
        } else if self.switchover.drain == Drain::None {
            self.end_quiet(now_ns);
        }
    }

    /// Has charon answer again, or get the rest of its sessions: they stay here.
    pub(in super::super) fn end_quiet(&mut self, now_ns: u64) {
        let version = self.feed_version();
        let feed = &mut self.ike.feed;
        if std::mem::take(&mut feed.quiet) == Quiet::No {
            return;
        }
        if feed.is_under_way() {
            feed.resume(now_ns);
            self.feed_next(now_ns);
        } else {
            feed.next_ns = None;
            self.push_action(Action::Segment(true, version));
        }
        self.mark_dirty();
    }
}
