//! Silences an IKE daemon of an earlier role: its farewell must not leave from an address that is back before the
//! daemon has ended, as the other end would drop the tunnels then.
//!
//! From the moment an address leaves, no IKE request that could end a tunnel leaves from the addresses of its tunnels,
//! until the daemon of that time has ended or has had the time that service managers give. An answer from that daemon
//! changes nothing: a daemon that answers may still be told to stop. Other IKE messages pass, so that a daemon that was
//! left running negotiates.
//!
//! A daemon with MOBIKE sends from the addresses that stay instead, and moves the tunnels there: then these addresses
//! are silenced as well.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Action, Engine};
use crate::SECOND;

/// Time for a daemon to end, longer than service managers wait before they kill it: systemd's default is 90 s.
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
    /// Handles the addresses that an earlier run of the plugin left silent.
    pub fn handle_silenced(&mut self, now_ns: u64, ends: BTreeSet<IpAddr>) {
        if !ends.is_empty() {
            self.silence_for(now_ns, ends);
        }
    }

    /// Silences the daemon: a role left, and with it the addresses of the kept tunnels; or addresses left before the
    /// role was reported to leave.
    pub(super) fn silence_daemon(&mut self, now_ns: u64) {
        if self.ike.presence.has_ended() {
            return;
        }
        let store = &self.store;
        let kept = store.held.sas().values().map(|it| it.local_end());
        let carried = store.sas.values();
        let carried = carried.filter_map(|it| Some(it.sa.local_end(it.side?)));
        let lost = carried.filter(|end| store.ends.is_lingering(end));
        let ends = kept.chain(lost).chain(self.ike.connections.roaming());
        let ends = ends.chain(self.ike.silence.ends.iter().copied());
        self.silence_for(now_ns, ends.collect());
    }

    /// Silences a daemon with MOBIKE at the beginning of a switchover: it moves its tunnels as soon as it finds their
    /// address gone, and the role is reported to leave only when services have been stopped.
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
            self.push_action(Action::Silence(ends));
        }
    }

    /// Ends the silence: the daemon has ended, or has had its time.
    pub(super) fn end_silence(&mut self) {
        self.ike.silence.until_ns = None;
        if !std::mem::take(&mut self.ike.silence.ends).is_empty() {
            self.push_action(Action::Silence(BTreeSet::new()));
        }
    }

    pub(super) fn handle_silence_timeout(&mut self, now_ns: u64) {
        if self.ike.silence.next_ns() <= now_ns {
            self.end_silence();
        }
    }
}
