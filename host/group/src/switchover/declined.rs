//! Suppresses events about switchovers that the elector requests repeatedly and that fail in the same way each time.
//!
//! The elector asks every few seconds as long as the peer is better, and the list of events is short. So the same
//! failure is one event.

use spared_verdict::CauseKind;

use super::Offer;
use crate::{Group, Groups};

/// Time in ns after which the same failure is an event again. The elector asks every 5 s.
const FORGOTTEN_NS: u64 = 30_000_000_000;

/// Latest switchover of the elector, which failed.
#[derive(Debug)]
pub(crate) struct Declined {
    kind: CauseKind,
    because: String,
    /// Time at which the switchover began.
    begun_ns: u64,
}

impl Group {
    /// Returns true if the elector asked for the same switchover recently, with this kind of cause.
    pub(super) fn tries_again(&mut self, now_ns: u64, by_elector: Option<CauseKind>) -> bool {
        let is_old = |begun_ns: u64| now_ns.saturating_sub(begun_ns) >= FORGOTTEN_NS;
        if by_elector.is_none() {
            return false;
        }
        let declined = &mut self.ended.declined;
        declined.take_if(|it| Some(it.kind) != by_elector || is_old(it.begun_ns));
        declined.is_some()
    }

    /// Returns true if only the elector waits for this switchover, and its last one failed in the same way.
    pub(super) fn fails_again(&mut self, offer: &Offer, why: &str) -> bool {
        let is_awaited = offer.requested || !offer.client_requests.is_empty();
        let Some(kind) = offer.by_elector.filter(|_| !is_awaited) else {
            return false;
        };
        let before = self.ended.declined.replace(Declined {
            kind,
            because: why.to_owned(),
            begun_ns: offer.begun_ns,
        });
        before.is_some_and(|before| before.because == why)
    }
}

impl Groups {
    /// Makes the next failure of each group an event again.
    pub(crate) fn forget_declined(&mut self) {
        for group in self.groups.values_mut() {
            group.ended.declined = None;
        }
    }
}
