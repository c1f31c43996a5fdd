//! E12: adverts and heartbeats of the peer on a port, and adverts without heartbeats.

use crate::wire::Mac;

/// Time for which adverts are heard without heartbeats before that is reported.
const FILTERED_NS: u64 = 10_000_000_000;

#[derive(Clone, Debug, Default)]
pub(super) struct PeerReception {
    /// Both nodes are configured to send heartbeats there.
    is_expected: bool,
    /// Time of the last advert or heartbeat.
    heard_ns: Option<u64>,
    mac: Option<Mac>,
    /// Run of the peer whose heartbeats are heard there, so that its adverts prove nothing; None: none are heard.
    run_heard: Option<u64>,
    /// Time since which adverts but no heartbeats of the peer are heard there.
    filtered_since_ns: Option<u64>,
    /// The missing heartbeats were reported.
    is_filtered: bool,
    /// Last advert of the peer while none of its heartbeats is heard on any path: time and priority.
    advert_alone: Option<(u64, u8)>,
}

impl PeerReception {
    pub fn new() -> PeerReception {
        PeerReception {
            is_expected: true,
            ..Self::default()
        }
    }

    /// Sets whether the nodes send heartbeats there.
    pub fn configure(&mut self, is_expected: bool) {
        self.is_expected = is_expected;
    }

    /// Neither node sends heartbeats there any more: the peer's adverts count again.
    pub fn end_heartbeats(&mut self) {
        self.run_heard = None;
        (self.filtered_since_ns, self.is_filtered) = (None, false);
    }

    pub fn handle_advert(&mut self, now_ns: u64, mac: Mac) {
        (self.heard_ns, self.mac) = (Some(now_ns), Some(mac));
    }

    /// Notes a heartbeat of a run of the peer; returns true if it is the first one there.
    pub fn handle_heartbeat(&mut self, now_ns: u64, mac: Mac, run: u64) -> bool {
        (self.heard_ns, self.mac) = (Some(now_ns), Some(mac));
        (self.filtered_since_ns, self.is_filtered) = (None, false);
        self.run_heard.replace(run).is_none()
    }

    /// A confirmed run of the peer replaces the one before. `sends`: the peer says that its heartbeats leave there.
    pub fn handle_run(&mut self, run: u64, sends: bool) {
        if self.run_heard.is_some_and(|of| of != run) {
            self.run_heard = sends.then_some(run);
        }
    }

    /// Notes an advert of the peer while no heartbeat of the peer is heard on any path.
    pub fn handle_advert_alone(&mut self, now_ns: u64, priority: u8) {
        self.advert_alone = Some((now_ns, priority));
    }

    /// Notes an advert without a heartbeat; returns true if filtered heartbeats are to be reported. `sends`: the peer
    /// says that its heartbeats leave there.
    pub fn handle_advert_without_heartbeat(&mut self, now_ns: u64, sends: bool) -> bool {
        if !sends || self.run_heard.is_some() || !self.is_expected {
            (self.filtered_since_ns, self.is_filtered) = (None, false);
            return false;
        }
        let since_ns = *self.filtered_since_ns.get_or_insert(now_ns);
        let is_new = !self.is_filtered && now_ns.saturating_sub(since_ns) >= FILTERED_NS;
        self.is_filtered |= is_new;
        is_new
    }

    /// True if the nodes are configured to send heartbeats there.
    pub fn is_expected(&self) -> bool {
        self.is_expected
    }

    pub fn heard_ns(&self) -> Option<u64> {
        self.heard_ns
    }

    pub fn is_heard_since(&self, horizon_ns: u64) -> bool {
        self.heard_ns.is_some_and(|at_ns| at_ns > horizon_ns)
    }

    pub fn is_mac(&self, mac: Mac) -> bool {
        self.mac == Some(mac)
    }

    /// True if heartbeats are heard there.
    pub fn has_heartbeats(&self) -> bool {
        self.run_heard.is_some()
    }

    /// True if adverts have been heard since `horizon_ns`, and heartbeats are filtered.
    pub fn is_filtered_since(&self, horizon_ns: u64) -> bool {
        self.is_filtered && self.run_heard.is_none() && self.is_heard_since(horizon_ns)
    }

    /// Time and priority of the last advert that was heard while no heartbeat was heard.
    pub fn advert_alone(&self) -> Option<(u64, u8)> {
        self.advert_alone
    }
}
