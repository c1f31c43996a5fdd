//! Sync state: whether this node holds everything that a failover needs.

use super::{Engine, SECOND_NS};

#[derive(Debug, Default)]
pub(super) struct Synchrony {
    /// The peer has reported all its flows, and nothing of that was lost.
    is_complete: bool,
    /// Both nodes were active when the session began.
    is_split: bool,
    reported: Option<Result<(), String>>,
    reported_at_ns: u64,
}

impl Synchrony {
    /// Sets whether the peer has reported all flows; returns the earlier value.
    pub(super) fn set_complete(&mut self, is_complete: bool) -> bool {
        std::mem::replace(&mut self.is_complete, is_complete)
    }

    pub(super) fn set_split(&mut self, is_split: bool) -> bool {
        std::mem::replace(&mut self.is_split, is_split)
    }

    /// Returns the last reported state; None at first.
    pub(super) fn reported(&self) -> Option<&Result<(), String>> {
        self.reported.as_ref()
    }

    /// Sets the reported state. A state that only changes a number is reported once a second: a full table would report
    /// one for each flow.
    fn report(&mut self, now_ns: u64, state: Result<(), String>) {
        let reported = self.reported.as_ref();
        let is_same_answer = reported.is_some_and(|reported| reported.is_ok() == state.is_ok());
        let is_soon = now_ns < self.reported_at_ns.saturating_add(SECOND_NS);
        if reported == Some(&state) || is_same_answer && is_soon {
            return;
        }
        self.reported = Some(state);
        self.reported_at_ns = now_ns;
    }
}

impl Engine {
    /// Takes note that a flow of the peer is missing here: until it has come or ended, this node is not in sync. A node
    /// that alone is active needs no flow of the peer.
    pub(super) fn note_missing(&mut self, now_ns: u64, hash: u64) {
        if !self.is_sole() {
            let is_first = self.has_all_flows();
            self.channel.missing.insert(hash);
            if is_first {
                self.update_synchrony(now_ns);
            }
        }
    }

    /// Takes note that flows of the peer may be missing here: only its next resync shows which.
    pub(super) fn note_incomplete(&mut self, now_ns: u64) {
        if !self.is_sole() && self.channel.synchrony.set_complete(false) {
            self.update_synchrony(now_ns);
        }
    }

    /// Returns true if all flows of the peer are here, as far as is known.
    pub(super) fn has_all_flows(&self) -> bool {
        self.channel.synchrony.is_complete && self.channel.missing.count() == 0
    }

    pub(super) fn update_synchrony(&mut self, now_ns: u64) {
        if let Some(state) = self.sync_state() {
            self.channel.synchrony.report(now_ns, state);
        }
    }

    /// Returns whether this node holds everything that a failover needs; None until received changes are written, and
    /// while flows wait for their master that may not come.
    pub fn in_sync(&self) -> Option<Result<(), String>> {
        let reported = self.channel.synchrony.reported().cloned();
        reported.filter(|state| {
            let is_written = state.is_err() || self.channel.orphans.has_no_flow();
            is_written && !self.has_actions()
        })
    }

    fn sync_state(&self) -> Option<Result<(), String>> {
        let peer = self.peer.as_ref()?;
        let no = |why: &str| Err(why.to_owned());
        Some(match peer.active {
            None if self.roles.is_active() => Ok(()),
            None => self.replica.in_sync(),
            Some(_) if self.walks.is_loosening() && !self.is_sole() => {
                no("it prepares its own flows")
            }
            Some(false) => Ok(()),
            Some(true) if self.has_all_flows() => Ok(()),
            Some(true) if self.replica.replica().serial().is_none() => self.replica.in_sync(),
            Some(true) if self.channel.missing.count() > 0 => {
                Err(match self.channel.missing.count() {
                    1 => "1 flow is missing".to_owned(),
                    many => format!("{many} flows are missing"),
                })
            }
            Some(true) if peer.has_lost_events => no("the other node reads its flows again"),
            Some(true) if peer.flows == 0 => no("it is receiving the flows"),
            Some(true) => {
                let percent = (self.table.len() as u64 * 100 / u64::from(peer.flows)).min(99);
                Err(format!("{percent} %"))
            }
        })
    }
}
