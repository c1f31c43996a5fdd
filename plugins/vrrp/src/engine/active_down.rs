//! Active_Down: tells when a backup takes over because the active router's adverts have ceased, or it has resigned.
//!
//! The times are those of RFC 9568 section 6.1, in nanoseconds, as 10 ms intervals make skews of 39 microseconds per
//! step of priority. Each advert of the active router, and each heartbeat of an active peer, begins Active_Down again
//! ([`Group::rearm_down`]).

use super::Context;
use super::group::{Group, State};
use crate::election::RoleReason;
use crate::wire::vrrp::Version;

const NS_PER_SECOND: u64 = 1_000_000_000;

impl Group {
    /// Time without adverts after which this backup takes over.
    pub(super) fn active_down_ns(&self) -> u64 {
        self.active_down_of(self.candidacy.priority(), self.watch.interval_ns())
    }

    /// Active_Down of a backup with this priority, for an active router with this interval.
    pub(super) fn active_down_of(&self, priority: u8, interval_ns: u64) -> u64 {
        let config = &self.config;
        active_down_ns(config.version, priority, interval_ns, config.advert_loss)
    }

    /// Time to wait after the active router has resigned.
    pub(super) fn after_resignation_ns(&self) -> u64 {
        let (version, priority) = (self.config.version, self.candidacy.priority());
        after_resignation_ns(version, priority, self.watch.interval_ns())
    }

    /// Time until which the active router may be alive, by its adverts.
    pub(super) fn active_silent_at_ns(&self) -> Option<u64> {
        let peer = self.watch.serving()?;
        let patience_ns = self.active_down_of(self.candidacy.priority(), peer.interval_ns);
        Some(peer.heard_ns.saturating_add(patience_ns))
    }

    /// Sets the time at which this backup takes over.
    pub(super) fn rearm_down(&mut self, at_ns: u64) {
        let not_before_ns = self.not_before_ns();
        if let State::Backup { down_ns, .. } = &mut self.state {
            *down_ns = at_ns.max(not_before_ns);
        }
    }

    pub fn takes_over(&self, now_ns: u64) -> bool {
        match self.state {
            State::Backup { down_ns, .. } => now_ns >= down_ns,
            State::Lapsed { reopen_ns } => now_ns >= reopen_ns,
            _ => false,
        }
    }

    /// Active_Down expired: nobody is active, or a lower router that is left to time out.
    pub(super) fn take_over(&mut self, cx: &mut Context<'_>) {
        if let Some(silent_ns) = self
            .active_silent_at_ns()
            .filter(|at_ns| cx.now_ns < *at_ns)
        {
            // a router that died since its last advert may still have a passing fence: either its next advert shows
            // that it lives and will give way, or it is silent for long enough
            self.watch.begin_readiness();
            return self.rearm_down(silent_ns);
        }
        if self.waits_for_fitter_peer(cx) {
            return;
        }
        self.update_contact(cx);
        if !matches!(self.state, State::Backup { .. }) {
            return;
        }
        self.drop_claim(cx);
        let why = self.failover_reason(cx);
        self.promote(cx, why);
    }

    /// Takes over from a lower router with its next advert, or at once if nobody is heard.
    pub(super) fn promote_soon(&mut self, cx: &mut Context<'_>, why: RoleReason) {
        let backup = matches!(self.state, State::Backup { .. });
        if !backup || cx.now_ns < self.not_before_ns() {
            return;
        }
        let peer = self.living_peer(cx.now_ns).filter(|peer| peer.is_active());
        let peer_silent_ns = peer.map(|peer| self.peer_silent_at_ns(peer));
        match self.active_silent_at_ns().max(peer_silent_ns) {
            Some(silent_ns) if cx.now_ns < silent_ns => self.watch.begin_readiness(),
            _ => self.promote(cx, why),
        }
    }
}

/// Skew_Time: longer for a lower priority, so that the best backup takes over first.
fn skew_ns(version: Version, priority: u8, interval_ns: u64) -> u64 {
    let unit_ns = match version {
        // RFC 3768 section 6.1: ((256 - Priority) / 256) seconds, whatever the interval
        Version::V2 => NS_PER_SECOND,
        Version::V3 => interval_ns,
    };
    (256 - u64::from(priority)).saturating_mul(unit_ns) / 256
}

/// Time for which a backup waits after an advert with priority 0, or another release of the group: the active router has
/// resigned, so only the skew is left (section 6.4.2).
fn after_resignation_ns(version: Version, priority: u8, interval_ns: u64) -> u64 {
    skew_ns(version, priority, interval_ns)
}

/// Time for which a backup waits for the active router; `interval_ns` is the advertised one.
fn active_down_ns(version: Version, priority: u8, interval_ns: u64, advert_loss: u32) -> u64 {
    interval_ns
        .saturating_mul(u64::from(advert_loss))
        .saturating_add(skew_ns(version, priority, interval_ns))
}
