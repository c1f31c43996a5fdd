//! E3: a peer that is unheard on a port: the probes there, and whether the group has moved or may not move because of
//! it.

use crate::limit::{Limit, Suppressed};
use crate::wire::heartbeat;

/// Time for stations to answer. A cut behind a switch costs this in addition to the failover time; live stations answer
/// within milliseconds.
pub(super) const WINDOW_NS: u64 = 300_000_000;
/// Interval of probes on a network that was not rated good.
pub(super) const AGAIN_NS: u64 = 5_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rating {
    /// No station to ask, or no answer yet.
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
    /// Limit of events about unheard peers.
    limit: Limit,
    /// Time since which one node has not heard the other here, while this node is active.
    since_ns: Option<u64>,
    /// The group has moved because the peer is, or may be, unheard here.
    has_moved: bool,
    /// This node gave the group up to a claim; it must not claim until an advert is heard here.
    has_given_way: bool,
    /// This node claimed the group; it must not claim again until an advert is heard here.
    claims: bool,
}

/// A time in which the peer is unheard though it lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnheardInterface {
    pub rating: Rating,
    /// Rating that was reported last, while it holds.
    reported: Option<Rating>,
    pub since_ns: u64,
    /// Number of stations that were asked.
    asked: usize,
    asking_until_ns: Option<u64>,
    ask_again_ns: u64,
}

impl Unheard {
    // ---- questions to stations -------------------------------------------------------------

    /// Begins a time in which the peer is unheard; returns the number of suppressed events if its event may be sent.
    pub fn begin(&mut self, now_ns: u64) -> Option<Suppressed> {
        self.current = Some(UnheardInterface {
            rating: Rating::Unknown,
            reported: None,
            since_ns: now_ns,
            asked: 0,
            asking_until_ns: None,
            ask_again_ns: now_ns,
        });
        self.limit.allow(now_ns)
    }

    /// Begins to wait for answers of stations; returns true if the peer is unheard.
    pub fn begin_window(&mut self, now_ns: u64) -> bool {
        let Some(current) = &mut self.current else {
            return false;
        };
        current.asked = 0;
        current.asking_until_ns = Some(now_ns.saturating_add(WINDOW_NS));
        true
    }

    /// Notes the number of stations that were asked. The highest number counts: the kernel may have forgotten a
    /// neighbour since.
    pub fn handle_asked(&mut self, count: usize) {
        if let Some(current) = &mut self.current {
            current.asked = current.asked.max(count);
        }
    }

    /// Notes that another station has answered; returns true if the peer is unheard.
    pub fn handle_answer(&mut self, now_ns: u64) -> bool {
        let Some(current) = &mut self.current else {
            return false;
        };
        (current.rating, current.reported) = (Rating::Good, None);
        current.end_asking(now_ns);
        true
    }

    /// Rates the network, as no station has answered in time; returns the rating, and true if it was not reported
    /// before.
    pub fn end_window(&mut self, now_ns: u64) -> Option<(Rating, bool)> {
        let current = self.current.as_mut()?;
        current.rating = if current.asked > 0 {
            Rating::Bad
        } else {
            Rating::Unknown
        };
        current.end_asking(now_ns);
        let is_new = current.reported.replace(current.rating) != Some(current.rating);
        Some((current.rating, is_new))
    }

    /// Ends the time; returns true if the peer was unheard. It is heard, or may not be expected.
    pub fn end(&mut self) -> bool {
        self.current.take().is_some()
    }

    pub fn current(&self) -> Option<UnheardInterface> {
        self.current
    }

    pub fn rating(&self) -> Option<Rating> {
        self.current.map(|current| current.rating)
    }

    /// True if answers are waited for.
    pub fn is_asking(&self) -> bool {
        self.current.is_some_and(|it| it.asking_until_ns.is_some())
    }

    // ---- consequences for the role ---------------------------------------------------------

    /// Ends all restrictions on a move and on claims: the peer is heard.
    pub fn handle_heard(&mut self) {
        (self.has_moved, self.has_given_way, self.claims) = (false, false, false);
    }

    /// This node becomes active.
    pub fn begin_term(&mut self) {
        self.since_ns = None;
    }

    /// Notes while active that one node has not heard the other since `unheard_ns`; None: each hears the other.
    pub fn handle_while_active(&mut self, unheard_ns: Option<u64>) {
        self.since_ns = unheard_ns.map(|at_ns| self.since_ns.unwrap_or(at_ns));
    }

    /// Marks that the group moves because of this port.
    pub fn begin_move(&mut self) {
        self.has_moved = true;
    }

    /// Marks that the group moves, if the peer is unheard here: it moves only once because of that.
    pub fn mark_moved(&mut self) {
        self.has_moved |= self.current.is_some();
    }

    pub fn end_move(&mut self) {
        self.has_moved = false;
    }

    /// Notes that the group goes to a claim. `is_elsewhere`: the peer claimed on another port.
    pub fn handle_claim(&mut self, is_elsewhere: bool) {
        self.has_given_way = is_elsewhere;
    }

    /// Claims the group; returns false if this node did so before, or gave the group up to a claim.
    pub fn claim(&mut self) -> bool {
        let may = !self.has_given_way && !self.claims;
        self.claims |= may;
        may
    }

    pub fn has_moved(&self) -> bool {
        self.has_moved
    }

    pub fn has_given_way(&self) -> bool {
        self.has_given_way
    }

    pub fn claims(&self) -> bool {
        self.claims
    }

    /// Time since which one node has not heard the other, while this node is active.
    pub fn since_ns(&self) -> Option<u64> {
        self.since_ns
    }
}

impl UnheardInterface {
    /// Time of the last answer, while the network is rated good.
    pub fn answered_ns(&self) -> u64 {
        self.ask_again_ns.saturating_sub(AGAIN_NS)
    }

    /// Time of the next step: the end of the window for answers, or the next question.
    pub fn next_ns(&self) -> u64 {
        self.asking_until_ns.unwrap_or(self.ask_again_ns)
    }

    fn end_asking(&mut self, now_ns: u64) {
        self.asking_until_ns = None;
        self.ask_again_ns = now_ns.saturating_add(AGAIN_NS);
    }
}
