//! Silence of an IKE daemon from before the role left: its farewell is not to leave from an address that is
//! back before the daemon has ended, as the other end would drop the tunnels at that word.
//!
//! From the moment an address leaves, IKE's requests that may say so do not leave from the addresses of its
//! tunnels: not until the daemon of then has ended, or has had the time that service managers give. An answer
//! from that daemon ends nothing: one that answers may still be told to stop. So the rest of IKE goes on, and
//! one that was left running negotiates.
//!
//! A daemon with MOBIKE asks from the addresses that stay instead, and moves the tunnels there: then these
//! are silent, too.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Action, Engine};
use crate::SECOND;

/// Longer than service managers wait before they kill: 90 s is systemd's own.
const STOP_NS: u64 = 100 * SECOND;

#[derive(Debug, Default)]
pub struct Silence {
    ends: BTreeSet<IpAddr>,
    until_ns: Option<u64>,
}

impl Silence {
    pub fn next_ns(&self) -> u64 {
        self.until_ns.unwrap_or(u64::MAX)
    }
}

impl Engine {
    /// A run of the plugin before this one left these addresses silent.
    pub fn handle_silent(&mut self, now_ns: u64, ends: BTreeSet<IpAddr>) {
        if !ends.is_empty() {
            self.silence_for(now_ns, ends);
        }
    }

    /// A role left, and with it the addresses of what is kept now; or addresses did, and the role's leaving
    /// has not been told yet.
    pub(super) fn silence_daemon(&mut self, now_ns: u64) {
        if self.ike.presence.has_ended() {
            return;
        }
        let store = &self.store;
        let kept = store.held.sas.values().map(|it| it.local_end());
        let carried = store.sas.values();
        let carried = carried.filter_map(|it| Some(it.sa.local_end(it.side?)));
        let lost = carried.filter(|end| store.ends.is_lost(end));
        let ends = kept.chain(lost).chain(self.ike.connections.roaming());
        let ends = ends.chain(self.ike.silence.ends.iter().copied());
        self.silence_for(now_ns, ends.collect());
    }

    /// A switchover begins. A daemon with MOBIKE moves its tunnels as soon as it finds their address gone, and
    /// the role's leaving is heard only when services have been stopped.
    pub(super) fn silence_roaming(&mut self, now_ns: u64) {
        let mut ends: BTreeSet<IpAddr> = self.ike.connections.roaming().collect();
        if !ends.is_empty() && !self.ike.presence.has_ended() {
            ends.extend(&self.ike.silence.ends);
            self.silence_for(now_ns, ends);
        }
    }

    fn silence_for(&mut self, now_ns: u64, ends: BTreeSet<IpAddr>) {
        self.ike.silence.until_ns = Some(now_ns + STOP_NS);
        if ends != self.ike.silence.ends {
            self.ike.silence.ends.clone_from(&ends);
            self.act(Action::Silence(ends));
        }
    }

    /// The daemon has ended, or has had its time.
    pub(super) fn end_silence(&mut self) {
        self.ike.silence.until_ns = None;
        if !std::mem::take(&mut self.ike.silence.ends).is_empty() {
            self.act(Action::Silence(BTreeSet::new()));
        }
    }

    pub(super) fn time_silence(&mut self, now_ns: u64) {
        if self.ike.silence.next_ns() <= now_ns {
            self.end_silence();
        }
    }
}
