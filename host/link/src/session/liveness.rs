//! Measures the liveness of one path: pings, their answers, round trip and the peer's clock. Tells from which silence on
//! data moves to another path, the path does not count as up, and it is given up.

use std::collections::VecDeque;

/// Interval between pings.
pub const PING_NS: u64 = 250_000_000;
/// Additional time before the next ping if the last one went with an answer. So the peer's ping comes first again.
const AFTER_NS: u64 = 20_000_000;
/// Silence after which a path is given up, even the only one. TCP with 200 ms latency and 20 % loss is rarely silent
/// for half of this time.
pub const SILENCE_NS: u64 = 5_000_000_000;
/// Silence after which a path no longer counts as up, though its session is kept: TCP may recover.
pub const SILENT_NS: u64 = 2_000_000_000;
/// Silence, beyond the round trips, after which data moves to a path that answers.
const QUICK_NS: u64 = 220_000_000;
/// Maximum number of unanswered pings that are remembered.
const WAITING_MAX: usize = 64;
const CLOCKS: usize = 8;

#[derive(Debug, Default)]
pub struct Liveness {
    next_ping_ns: u64,
    /// True if the next ping is sent together with an answer.
    next_ping_with_pong: bool,
    number: u32,
    unanswered_pings: VecDeque<Ping>,
    /// Pings of the peer to be answered: number, and arrival by the wall clock in us.
    pings_to_answer: VecDeque<(u32, u64)>,
    round_trip_ns: Option<u64>,
    /// Arrival of the last answer.
    answered_ns: Option<u64>,
    /// Samples of the latest pings: round trip in ns, and the peer's clock minus this node's in us.
    clocks: VecDeque<(u64, i64)>,
}

#[derive(Debug)]
struct Ping {
    number: u32,
    sent_ns: u64,
    sent_wall_us: u64,
}

/// The peer's answer to a ping, and its arrival here.
#[derive(Clone, Copy, Debug)]
pub struct Pong {
    pub number: u32,
    pub received_us: u64,
    pub sent_us: u64,
    pub wall_us: u64,
}

impl Liveness {
    pub fn new(now_ns: u64) -> Self {
        Self {
            next_ping_ns: now_ns,
            ..Self::default()
        }
    }

    /// Time at which a ping is due or silence becomes suspicious.
    pub fn next_ns(&self, now_ns: u64) -> u64 {
        let oldest = self.unanswered_pings.front();
        let suspect = oldest.map(|ping| ping.sent_ns + self.quick_limit_ns() + 1);
        let suspect = suspect.filter(|at| *at > now_ns);
        suspect.map_or(self.next_ping_ns, |at| at.min(self.next_ping_ns))
    }

    /// Returns the number of the ping to be sent now, if one is due.
    pub fn poll_ping(&mut self, now_ns: u64, wall_us: u64) -> Option<u32> {
        if now_ns < self.next_ping_ns {
            return None;
        }
        let after_ns = if std::mem::take(&mut self.next_ping_with_pong) {
            AFTER_NS
        } else {
            0
        };
        self.next_ping_ns = now_ns + PING_NS + after_ns;
        self.number = self.number.wrapping_add(1);
        if self.unanswered_pings.len() < WAITING_MAX {
            self.unanswered_pings.push_back(Ping {
                number: self.number,
                sent_ns: now_ns,
                sent_wall_us: wall_us,
            });
        }
        Some(self.number)
    }

    /// Handles a ping. This node's own ping is sent with the answer if it is due soon: on an idle link both nodes wake
    /// a third less often.
    pub fn handle_ping(&mut self, now_ns: u64, number: u32, wall_us: u64) {
        let soon_ns = now_ns + PING_NS / 2;
        if self.next_ping_ns > now_ns && self.next_ping_ns <= soon_ns {
            (self.next_ping_ns, self.next_ping_with_pong) = (now_ns, true);
        }
        if self.pings_to_answer.len() < WAITING_MAX {
            self.pings_to_answer.push_back((number, wall_us));
        }
    }

    /// Returns an answer to send: number and arrival of the ping.
    pub fn poll_pong(&mut self) -> Option<(u32, u64)> {
        self.pings_to_answer.pop_front()
    }

    pub fn handle_pong(&mut self, now_ns: u64, pong: Pong) {
        let Some(at) = self
            .unanswered_pings
            .iter()
            .position(|p| p.number == pong.number)
        else {
            return;
        };
        self.answered_ns = Some(now_ns);
        // TCP keeps the order: earlier pings were answered, too.
        let answered = self.unanswered_pings.drain(..=at).next_back();
        if let Some(ping) = answered {
            self.measure(now_ns, &ping, pong);
        }
    }

    fn measure(&mut self, now_ns: u64, ping: &Ping, pong: Pong) {
        let sample = now_ns.saturating_sub(ping.sent_ns);
        let smooth = self
            .round_trip_ns
            .map_or(sample, |old| old - old / 8 + sample / 8);
        self.round_trip_ns = Some(smooth);
        let less = |a: u64, b: u64| i128::from(a) - i128::from(b);
        let difference =
            less(pong.received_us, ping.sent_wall_us) + less(pong.sent_us, pong.wall_us);
        self.clocks.truncate(CLOCKS - 1);
        let difference_us = i64::try_from(difference / 2).unwrap_or(0);
        self.clocks.push_front((sample, difference_us));
    }

    /// Returns the age of the oldest unanswered ping, including pings that could not be sent.
    pub fn silence_ns(&self, now_ns: u64) -> u64 {
        let unasked = now_ns.saturating_sub(self.next_ping_ns);
        let oldest = self.unanswered_pings.front();
        oldest.map_or(unasked, |ping| {
            now_ns.saturating_sub(ping.sent_ns).max(unasked)
        })
    }

    /// Silence after which data moves from this path to another.
    fn quick_limit_ns(&self) -> u64 {
        let round_trip = self.round_trip_ns.unwrap_or(0).min(SILENCE_NS / 8);
        QUICK_NS + 2 * round_trip
    }

    /// Returns true if the path is silent for longer than its round trips explain: data moves to a path that answers.
    pub fn is_suspect(&self, now_ns: u64) -> bool {
        self.silence_ns(now_ns) > self.quick_limit_ns()
    }

    /// Returns true if the peer has not answered for a while: the path no longer counts as up.
    pub fn is_silent(&self, now_ns: u64) -> bool {
        self.silence_ns(now_ns) > SILENT_NS
    }

    /// Returns the reason to give the path up, if there is one.
    pub fn overdue(&self, now_ns: u64) -> Option<&'static str> {
        (self.silence_ns(now_ns) > SILENCE_NS).then_some("no answer for 5 s")
    }

    /// Returns true if the path answered recently.
    pub fn answers(&self, now_ns: u64) -> bool {
        self.round_trip_ns.is_some() && self.silence_ns(now_ns) < self.quick_limit_ns() / 2
    }

    pub fn answered_ns(&self) -> Option<u64> {
        self.answered_ns
    }

    pub fn round_trip_us(&self) -> Option<u64> {
        self.round_trip_ns.map(|ns| ns / 1000)
    }

    /// Returns the peer's clock minus this node's, from the recent ping with the shortest round trip.
    pub fn clock_ms(&self) -> Option<i64> {
        let best = self
            .clocks
            .iter()
            .min_by_key(|(round_trip_ns, _)| *round_trip_ns);
        best.map(|(_, difference_us)| difference_us / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn clocks_are_compared_whatever_the_way_takes() {
        let mut liveness = Liveness::new(0);
        let number = liveness.poll_ping(0, 1_000_000).unwrap();
        let pong = Pong {
            number,
            received_us: 4_050_000,
            sent_us: 4_060_000,
            wall_us: 1_110_000,
        };
        liveness.handle_pong(110 * MS, pong);
        assert_eq!(liveness.clock_ms(), Some(3000));
        assert_eq!(liveness.round_trip_us(), Some(110_000));
    }

    #[test]
    fn an_answer_counts_for_all_before_it_and_a_lie_for_nothing() {
        let mut liveness = Liveness::new(0);
        for at in 0..4 {
            liveness.poll_ping(at * PING_NS, 0);
        }
        let pong = |number| Pong {
            number,
            received_us: 0,
            sent_us: 0,
            wall_us: 0,
        };
        liveness.handle_pong(800 * MS, pong(99));
        assert_eq!(liveness.silence_ns(800 * MS), 800 * MS);
        liveness.handle_pong(800 * MS, pong(3));
        assert_eq!(liveness.silence_ns(800 * MS), 50 * MS);
    }

    #[test]
    fn a_path_that_takes_no_ping_is_silent_too() {
        let liveness = Liveness::new(0);
        assert_eq!(liveness.silence_ns(600 * MS), 600 * MS);
    }

    #[test]
    fn pings_of_the_node_that_is_asked_go_with_its_answers() {
        let mut liveness = Liveness::new(0);
        liveness.poll_ping(0, 0);
        let mut alone = 0;
        // both nodes ping every 250 ms; at first this node pings 50 ms after the peer
        for asked_ns in (1..=20).map(|n| n * PING_NS - 50 * MS) {
            while liveness.next_ns(asked_ns - 1) < asked_ns {
                alone += u32::from(liveness.poll_ping(liveness.next_ping_ns, 0).is_some());
            }
            liveness.handle_ping(asked_ns, 1, 0);
            liveness.poll_ping(asked_ns, 0);
            liveness.unanswered_pings.clear();
        }
        assert!(alone <= 1, "{alone} pings of their own");
        assert!(liveness.number >= 20);
    }
}
