//! E12: what is heard of the peer on a port: adverts, heartbeats, and one without the other.

use crate::wire::Mac;

/// Time for which adverts without heartbeats are heard before it is reported.
const FILTERED_NS: u64 = 10_000_000_000;

#[derive(Clone, Debug)]
pub(super) struct PeerHearing {
    /// Both nodes are configured to send heartbeats there.
    is_expected: bool,
    /// Time of the last advert or heartbeat.
    heard_ns: Option<u64>,
    mac: Option<Mac>,
    /// The peer's run whose heartbeats are heard there: its adverts prove nothing.
    proof: Option<u64>,
    /// Time since which adverts but no heartbeats of the peer are heard there.
    filtered_since_ns: Option<u64>,
    /// Whether that was reported.
    is_filtered: bool,
    /// Last advert of the peer while none of its heartbeats is heard on any path: time and priority.
    advert_alone: Option<(u64, u8)>,
}

impl PeerHearing {
    pub fn new() -> PeerHearing {
        PeerHearing {
            is_expected: true,
            heard_ns: None,
            mac: None,
            proof: None,
            filtered_since_ns: None,
            is_filtered: false,
            advert_alone: None,
        }
    }

    /// Whether the nodes send heartbeats there.
    pub fn configure(&mut self, is_expected: bool) {
        self.is_expected = is_expected;
    }

    /// Neither node sends heartbeats there any more: the adverts that it hears count again.
    pub fn end_heartbeats(&mut self) {
        self.proof = None;
        (self.filtered_since_ns, self.is_filtered) = (None, false);
    }

    pub fn handle_advert(&mut self, now_ns: u64, mac: Mac) {
        (self.heard_ns, self.mac) = (Some(now_ns), Some(mac));
    }

    /// A heartbeat of a run of the peer; returns whether it is the first one there.
    pub fn handle_heartbeat(&mut self, now_ns: u64, mac: Mac, run: u64) -> bool {
        (self.heard_ns, self.mac) = (Some(now_ns), Some(mac));
        (self.filtered_since_ns, self.is_filtered) = (None, false);
        self.proof.replace(run).is_none()
    }

    /// A confirmed run of the peer replaces the one before; `sends`: it says that its heartbeats leave there.
    pub fn handle_run(&mut self, run: u64, sends: bool) {
        if self.proof.is_some_and(|of| of != run) {
            self.proof = sends.then_some(run);
        }
    }

    /// An advert of the peer, of which no heartbeat is heard on any path.
    pub fn handle_advert_alone(&mut self, now_ns: u64, priority: u8) {
        self.advert_alone = Some((now_ns, priority));
    }

    /// An advert is heard; `sends`: the peer says that its heartbeats leave there. Returns whether it is to be
    /// reported that they are filtered.
    pub fn handle_unproven(&mut self, now_ns: u64, sends: bool) -> bool {
        if !sends || self.proof.is_some() || !self.is_expected {
            self.filtered_since_ns = None;
            return false;
        }
        let since_ns = *self.filtered_since_ns.get_or_insert(now_ns);
        let is_new = !self.is_filtered && now_ns.saturating_sub(since_ns) >= FILTERED_NS;
        self.is_filtered |= is_new;
        is_new
    }

    /// Whether the nodes can hear each other there at all.
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

    /// Whether heartbeats are heard there.
    pub fn is_proven(&self) -> bool {
        self.proof.is_some()
    }

    pub fn is_filtered(&self) -> bool {
        self.is_filtered && self.proof.is_none()
    }

    /// The last advert while no heartbeat was heard: time and priority.
    pub fn advert_alone(&self) -> Option<(u64, u8)> {
        self.advert_alone
    }
}
