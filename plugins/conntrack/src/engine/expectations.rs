//! Replicates the connections that helpers expect, such as FTP's data.
//!
//! An expectation that was used is gone, and the kernel has room for few of one helper: a new one takes the place of the
//! oldest. After a switchover the peer still reports those of its kernel, which it may have read before it heard that
//! one was used here. That one must not come back in the place of a newer one: an active node takes each once.

use std::collections::HashSet;

use super::{Engine, How};
use crate::codec::expectation;
use crate::flow::Flow;
use crate::wire::Message;

/// Most expectations of the peer that are remembered. One that is forgotten is taken again, as by a backup.
const REPORTED_MAX: usize = 4096;

/// Expectations that the peer has reported, and whose end it has not.
#[derive(Debug, Default)]
pub(super) struct PeerExpectations {
    reported: HashSet<Vec<u8>>,
}

impl PeerExpectations {
    /// Notes a report; returns true if it says nothing new.
    fn note(&mut self, yes: bool, request: &[u8]) -> bool {
        let key = expectation::key(request);
        if !yes {
            return !self.reported.remove(&key);
        }
        if self.reported.len() >= REPORTED_MAX {
            self.reported.clear();
        }
        !self.reported.insert(key)
    }
}

impl Engine {
    /// Handles a helper's expectation. The kernel does not report what the helper changes in its own connection, so
    /// that connection is queried.
    pub(super) fn handle_expected(&mut self, now_ns: u64, yes: bool, request: &[u8]) {
        if let Some(master) = expectation::master(request) {
            self.look_up(master);
        }
        self.expect_there(now_ns, yes, request);
    }

    pub(super) fn expect_there(&mut self, now_ns: u64, yes: bool, request: &[u8]) {
        if self.settings.expectations {
            self.counters.expectations += 1;
            self.push_message(now_ns, &Message::Expect { yes, request });
        }
    }

    pub(super) fn expect_here(&mut self, yes: bool, request: &[u8]) {
        if !self.settings.expectations {
            return;
        }
        let is_known = self.channel.peer_expectations.note(yes, request);
        let is_active = self.roles.is_active();
        if is_active && !self.peer_is_active() {
            return;
        }
        self.counters.expectations += 1;
        if !yes {
            self.channel.orphans.remove_expectation(request);
        } else if is_active && is_known {
            return;
        }
        self.write(How::Expect(yes, request.to_vec()), Flow::default(), 0);
    }
}
