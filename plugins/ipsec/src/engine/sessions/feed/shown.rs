//! Text, counters and state of charon's plugin, as an administrator and the peer see them.

use super::{Feed, Stage};
use crate::connections::HaState;
use crate::engine::Engine;
use crate::engine::sessions::quiet::Quiet;

/// Counters for `sparectl ipsec`.
#[derive(Debug, Default)]
pub(super) struct FeedCounters {
    malformed: u64,
    /// Children that charon took over, and those that it did not.
    taken_over: u64,
    not_taken: u64,
}

impl Feed {
    fn set_fault(&mut self, why: String) {
        self.fault = Some(why);
    }

    pub(in crate::engine::sessions) fn note_taken_over(&mut self, children: usize) {
        self.counters.taken_over += children as u64;
    }

    pub(in crate::engine::sessions) fn note_not_taken(&mut self) {
        self.counters.not_taken += 1;
    }

    pub(in crate::engine::sessions) fn note_malformed(&mut self) {
        self.counters.malformed += 1;
        self.fault = Some("charon's messages are of an unknown version of strongSwan".to_owned());
    }

    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// State of charon's plugin here, as far as charon was asked.
    pub fn ha_state(&self) -> HaState {
        match (&self.fault, self.stage, self.charon.is_there) {
            (Some(why), ..) => HaState::Faulty(why.clone()),
            (None, _, true) => HaState::Answers,
            (None, Stage::Done, false) => HaState::Silent,
            (None, _, false) => HaState::Unknown,
        }
    }

    /// True if charon here gets the sessions of a role that comes.
    pub fn gets_sessions(&self) -> bool {
        self.ha_state() == HaState::Answers && !self.charon.is_older
    }

    /// Text about the sessions of a charon on the active node; `unknown`: so many are from before this plugin started;
    /// `has_address`: an address that far ends send to is here.
    fn text(&self, ikev1: usize, unknown: usize, has_address: bool) -> String {
        match (self.stage, self.charon.is_there) {
            _ if self.fault.is_some() => {
                format!(
                    "do not follow: {}",
                    self.fault.as_deref().unwrap_or_default()
                )
            }
            (_, true) if self.quiet != Quiet::No => {
                let why = if has_address {
                    "a switchover is under way"
                } else {
                    "no address of a group is on this node"
                };
                format!("charon answers nothing: {why}")
            }
            (Stage::Asked { .. } | Stage::Loading { .. } | Stage::Feeding, _) => {
                "on their way to charon".to_owned()
            }
            (_, false) => "do not follow: charon's plugin ha does not answer".to_owned(),
            (_, true) if unknown > 0 => {
                format!("follow, but {unknown} from before this plugin started do not")
            }
            (_, true) if ikev1 > 0 => format!("follow, but not {ikev1} of IKEv1"),
            (_, true) => "follow".to_owned(),
        }
    }

    pub fn numbers(&self) -> [(&'static str, u64); 3] {
        let counters = &self.counters;
        [
            ("sessions_taken_over", counters.taken_over),
            ("sessions_not_taken", counters.not_taken),
            ("sessions_malformed", counters.malformed),
        ]
    }
}

impl Engine {
    /// Notes another program in the place of charon's plugin `ha`.
    pub(super) fn note_stranger(&mut self, why: String) {
        self.ike.feed.set_fault(why);
        self.mark_dirty();
    }

    /// Text about sessions: whether they follow, on the active node; whether there are any, on the other one.
    pub(in crate::engine) fn sessions_text(&self) -> String {
        let has_held = !self.store.sessions.held.ikes.is_empty();
        match (self.is_active(), self.ike.is_running()) {
            (true, true) => {
                let sessions = &self.store.sessions.own;
                let ikes = self.ike.feed.charon().ikes();
                let ikev2 = ikes.filter(|(_, it)| !it.is_ikev1);
                let unknown = ikev2.filter(|(spis, _)| !sessions.has_child(**spis));
                let has_address = self.store.ends.has_any();
                self.ike
                    .feed
                    .text(sessions.ikev1.len(), unknown.count(), has_address)
            }
            (true, false) => "charon does not run".to_owned(),
            (false, _) if has_held => "held for a failover".to_owned(),
            (false, _) => "none".to_owned(),
        }
    }
}
