//! E3: what a port knows of the peer that is unheard there, and why the group has moved or may not move.

use crate::limit::{Limit, More};
use crate::wire::heartbeat;

/// Time for stations to answer: a cut behind a switch costs this in addition to the failover time,
/// and live stations answer within milliseconds.
pub(super) const WINDOW_NS: u64 = 300_000_000;
/// Interval of probing a network again that was not good.
pub(super) const AGAIN_NS: u64 = 5_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rating {
    /// Nobody to ask, or not yet answered.
    Unknown,
    Good,
    Bad,
}

impl Rating {
    pub fn name(self) -> &'static str {
        match self {
            Rating::Unknown => "unknown",
            Rating::Good => "good",
            Rating::Bad => "bad",
        }
    }
}

impl From<heartbeat::Rating> for Rating {
    fn from(of: heartbeat::Rating) -> Rating {
        match of {
            heartbeat::Rating::Unknown => Rating::Unknown,
            heartbeat::Rating::Good => Rating::Good,
            heartbeat::Rating::Bad => Rating::Bad,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unheard {
    current: Option<UnheardInterface>,
    /// Limit of events that it is unheard.
    limit: Limit,
    /// While active: time since which one of both has not heard the other here.
    since_ns: Option<u64>,
    /// The group has moved because this interface is, or may be, unheard.
    has_moved: bool,
    /// This node gave the group up to a claim; it may not claim until an advert is heard here.
    gave_way: bool,
    /// This node claimed the group; the same holds.
    claims: bool,
}

/// A time in which the peer is unheard though it lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnheardInterface {
    pub rating: Rating,
    /// Rating that the journal has, while it holds.
    told: Option<Rating>,
    pub since_ns: u64,
    /// Number of stations that were asked.
    asked: usize,
    asking_until_ns: Option<u64>,
    ask_again_ns: u64,
}

impl Unheard {
    // ---- the question ----------------------------------------------------------------------

    /// The peer is unheard; returns whether its event may go, and how many were suppressed.
    pub fn begin(&mut self, now_ns: u64) -> Option<More> {
        self.current = Some(UnheardInterface {
            rating: Rating::Unknown,
            told: None,
            since_ns: now_ns,
            asked: 0,
            asking_until_ns: None,
            ask_again_ns: now_ns,
        });
        self.limit.pass(now_ns)
    }

    /// Stations are asked from now on; returns whether there is anything to ask.
    pub fn ask(&mut self, now_ns: u64) -> bool {
        let Some(current) = &mut self.current else {
            return false;
        };
        current.asked = 0;
        current.asking_until_ns = Some(now_ns.saturating_add(WINDOW_NS));
        true
    }

    /// So many stations were asked. Those asked before count, also where the kernel has forgotten that neighbour since.
    pub fn handle_asked(&mut self, count: usize) {
        if let Some(current) = &mut self.current {
            current.asked = current.asked.max(count);
        }
    }

    /// Another station has answered; returns whether that matters.
    pub fn handle_answer(&mut self, now_ns: u64) -> bool {
        let Some(current) = &mut self.current else {
            return false;
        };
        (current.rating, current.told) = (Rating::Good, None);
        current.end_asking(now_ns);
        true
    }

    /// No station has answered in time; returns the rating, and whether it is new.
    pub fn end_window(&mut self, now_ns: u64) -> Option<(Rating, bool)> {
        let current = self.current.as_mut()?;
        current.rating = if current.asked > 0 {
            Rating::Bad
        } else {
            Rating::Unknown
        };
        current.end_asking(now_ns);
        let is_new = current.told.replace(current.rating) != Some(current.rating);
        Some((current.rating, is_new))
    }

    /// The peer is heard, or may not be expected; returns whether it was unheard.
    pub fn end(&mut self) -> bool {
        self.current.take().is_some()
    }

    pub fn current(&self) -> Option<UnheardInterface> {
        self.current
    }

    pub fn rating(&self) -> Option<Rating> {
        self.current.map(|current| current.rating)
    }

    /// Whether answers are waited for.
    pub fn is_asking(&self) -> bool {
        self.current.is_some_and(|it| it.asking_until_ns.is_some())
    }

    // ---- what follows for the role ---------------------------------------------------------

    /// The peer is heard.
    pub fn handle_heard(&mut self) {
        (self.has_moved, self.gave_way, self.claims) = (false, false, false);
    }

    /// This node becomes active.
    pub fn begin_term(&mut self) {
        self.since_ns = None;
    }

    /// While active: one of both has not heard the other since then; or each hears the other.
    pub fn handle_while_active(&mut self, unheard_ns: Option<u64>) {
        self.since_ns = unheard_ns.map(|at_ns| self.since_ns.unwrap_or(at_ns));
    }

    /// The group moves because of this port.
    pub fn begin_move(&mut self) {
        self.has_moved = true;
    }

    /// The group moves; it does so only once because of a port on which the peer is unheard.
    pub fn mark_moved(&mut self) {
        self.has_moved |= self.current.is_some();
    }

    pub fn end_move(&mut self) {
        self.has_moved = false;
    }

    /// The group goes to a claim; `is_elsewhere`: of the peer on another port.
    pub fn handle_claim(&mut self, is_elsewhere: bool) {
        self.gave_way = is_elsewhere;
    }

    /// Claims the group, unless it did so before, or gave it up to a claim; returns whether it does.
    pub fn claim(&mut self) -> bool {
        let may = !self.gave_way && !self.claims;
        self.claims |= may;
        may
    }

    pub fn has_moved(&self) -> bool {
        self.has_moved
    }

    pub fn gave_way(&self) -> bool {
        self.gave_way
    }

    pub fn claims(&self) -> bool {
        self.claims
    }

    /// While active: time since which one of both has not heard the other.
    pub fn since_ns(&self) -> Option<u64> {
        self.since_ns
    }
}

impl UnheardInterface {
    /// Time of the last answer, while it is rated good.
    pub fn answered_ns(&self) -> u64 {
        self.ask_again_ns.saturating_sub(AGAIN_NS)
    }

    /// Time of what is next: the end of the window for answers, or the next question.
    pub fn next_ns(&self) -> u64 {
        self.asking_until_ns.unwrap_or(self.ask_again_ns)
    }

    fn end_asking(&mut self, now_ns: u64) {
        self.asking_until_ns = None;
        self.ask_again_ns = now_ns.saturating_add(AGAIN_NS);
    }
}
