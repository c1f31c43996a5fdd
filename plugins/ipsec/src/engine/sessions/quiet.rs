//! Keeps charon quiet while its sessions may be about to leave: from the beginning of a switchover, and while none of its
//! addresses is here. It answers no request then, so that nothing changes without the peer's knowledge. Far ends repeat
//! their requests, and the other node's charon answers them.

use super::super::drain::Drain;
use super::super::{Action, Engine};
use super::feed::{BUSY_NS, Stage};

/// Progress of an order to be quiet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quiet {
    /// charon answers, if it has its sessions.
    #[default]
    No,
    /// It was told not to, and may not have read that.
    Told,
    /// It has read it; what it reported before that is still to be read here.
    Read,
    Yes,
}

impl Engine {
    /// Has charon answer no more requests.
    pub(in super::super) fn begin_quiet(&mut self) {
        let version = self.feed_version();
        let feed = &mut self.ike.feed;
        if feed.stage != Stage::Done || !feed.is_there || feed.quiet != Quiet::No {
            return;
        }
        feed.quiet = Quiet::Told;
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

    pub(super) fn handle_quiet_timeout(&mut self) {
        match self.ike.feed.quiet {
            Quiet::No | Quiet::Yes => {}
            Quiet::Told => self.push_action(Action::AwaitRead),
            Quiet::Read => {
                self.ike.feed.quiet = Quiet::Yes;
                self.continue_drain();
            }
        }
    }

    /// Has charon be quiet while none of its addresses is here, unless a switchover decides.
    pub(in super::super) fn update_quiet(&mut self) {
        if !self.store.ends.has_any() {
            self.begin_quiet();
        } else if self.switchover.drain == Drain::None {
            self.end_quiet();
        }
    }

    /// Has charon answer again: its sessions stay here.
    pub(in super::super) fn end_quiet(&mut self) {
        let version = self.feed_version();
        let feed = &mut self.ike.feed;
        if std::mem::take(&mut feed.quiet) != Quiet::No {
            feed.next_ns = None;
            self.push_action(Action::Segment(true, version));
        }
    }
}
