//! Switchovers that the elector requests again and again, and that fail alike each time.
//!
//! The elector asks every few seconds for as long as the peer is better, and the history of events is short: the same
//! failure is one event.

use spared_pair::CauseKind;

use super::Offer;
use crate::{Group, Groups};

/// Time after which the same failure is an event again. The elector asks every 5 s.
const FORGOTTEN_NS: u64 = 30_000_000_000;

/// The elector's latest switchover, which failed.
#[derive(Debug)]
pub(crate) struct Declined {
    kind: CauseKind,
    because: String,
    /// Time at which it began.
    begun_ns: u64,
}

impl Group {
    /// True if the elector, with this kind of cause, asked for the same a moment ago.
    pub(super) fn tries_again(&mut self, now_ns: u64, by_elector: Option<CauseKind>) -> bool {
        let is_old = |begun_ns: u64| now_ns.saturating_sub(begun_ns) >= FORGOTTEN_NS;
        if by_elector.is_none() {
            return false;
        }
        self.declined
            .take_if(|it| Some(it.kind) != by_elector || is_old(it.begun_ns));
        self.declined.is_some()
    }

    /// True if nobody but the elector awaits this switchover, and its last one failed alike.
    pub(super) fn fails_again(&mut self, offer: &Offer, why: &str) -> bool {
        let is_awaited = offer.requested || !offer.wishes.is_empty();
        let Some(kind) = offer.by_elector.filter(|_| !is_awaited) else {
            return false;
        };
        let before = self.declined.replace(Declined {
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
            group.declined = None;
        }
    }
}
