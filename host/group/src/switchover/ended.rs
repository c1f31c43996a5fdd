//! Keeps what a switchover leaves behind: the peer may still act on it, or is still to be told.

use super::{Declined, UnconfirmedRelease};

/// Time in ns, after the peer took a group back or may have done so, in which a switchover cannot make it active here.
const REVOKED_NS: u64 = 1_000_000_000;

/// Remains of a group's switchovers.
#[derive(Debug, Default)]
pub(crate) struct EndedSwitchovers {
    /// Latest switchover of the elector, if it failed. The same failure again is no event.
    pub(super) declined: Option<Declined>,
    /// Id of the switchover by which the group became active. The peer is told when the addresses are installed.
    succeeded: Option<u64>,
    /// Switchover that was released, but that the peer has not confirmed.
    unconfirmed_release: Option<UnconfirmedRelease>,
    /// Time until which no switchover makes the group active, because the peer took one back, or may have done so.
    revoked_until_ns: u64,
}

impl EndedSwitchovers {
    /// Handles that the group has moved.
    pub(crate) fn handle_moved(&mut self) {
        self.declined = None;
    }

    pub(crate) fn set_succeeded(&mut self, switchover: Option<u64>) {
        self.succeeded = switchover;
    }

    pub(crate) fn take_succeeded(&mut self) -> Option<u64> {
        self.succeeded.take()
    }

    pub(super) fn set_unconfirmed(&mut self, release: UnconfirmedRelease) {
        self.unconfirmed_release = Some(release);
    }

    pub(crate) fn take_unconfirmed(&mut self) -> Option<UnconfirmedRelease> {
        self.unconfirmed_release.take()
    }

    /// Handles a late confirmation of the peer.
    pub(super) fn handle_confirmed(&mut self, switchover: u64) {
        self.unconfirmed_release
            .take_if(|release| release.id == switchover);
    }

    /// Handles an offer that the peer took back, or may have taken back.
    pub(crate) fn handle_revoked(&mut self, now_ns: u64) {
        self.revoked_until_ns = now_ns.saturating_add(REVOKED_NS);
    }

    pub(crate) fn is_revoked(&self, now_ns: u64) -> bool {
        self.revoked_until_ns(now_ns).is_some()
    }

    /// Returns the time from which a switchover may make the group active again, if it is still to come.
    pub(crate) fn revoked_until_ns(&self, now_ns: u64) -> Option<u64> {
        Some(self.revoked_until_ns).filter(|until_ns| now_ns < *until_ns)
    }

    #[cfg(test)]
    pub(crate) fn unconfirmed(&self) -> Option<UnconfirmedRelease> {
        self.unconfirmed_release
    }
}
