//! Measures if packets as large as the MTU pass on a path, and which sizes pass if they do not.
//!
//! Heartbeats and greetings are short. A path that loses long packets seems to work, while replication stands still. So
//! a ping of full size is sent twice a second. If no such ping is answered while short ones are, the largest size that
//! is answered is searched. Nothing is known about sizes if the peer answers no ping at all.
//!
//! Sans-I/O: [`MtuProbe::poll_sizes`] returns the sizes to send now, and [`MtuProbe::handle_answer`] gets the sizes that
//! were answered. Sizes are those of IP packets in bytes, as an MTU is.

/// Size in bytes of packets that every host accepts (RFC 791).
const SHORT: u32 = 68;
/// Interval of pings while full-size packets pass or the largest size is known, and interval while a loss is examined.
const CALM_NS: u64 = 500_000_000;
const ROUND_NS: u64 = 200_000_000;
/// Duration of a round of a measurement: the longest time that an answer may take.
const MEASURE_NS: u64 = 400_000_000;
/// Interval while nothing at all is answered. It doubles four times.
const SILENT_NS: u64 = 1_000_000_000;
/// Number of short packets that must be answered while no long one is. A path that only loses packets does not do that.
const EVIDENCE: u32 = 8;
/// Number of sizes tried in one round. Each is sent twice, so that a single lost packet does not count.
const SIZES: u32 = 8;
/// Rounds without any answer after which a measurement is given up.
const ROUNDS_MAX: u32 = 5;

#[derive(Debug, Default)]
pub struct MtuProbe {
    /// MTU in bytes; 0 if not known.
    mtu: u32,
    step: Step,
    next_ns: u64,
    /// Sizes that were sent in this round and not answered yet.
    asked: Vec<u32>,
    /// Number of rounds in a row in which nothing was answered.
    silent_rounds: u32,
    /// Largest size that passes, if the MTU does not. It stays while a wider path is measured.
    passes: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    /// Full-size packets pass, as far as is known.
    #[default]
    Full,
    /// A full-size packet was not answered. `short` is the number of short ones that were answered since.
    Suspect { short: u32 },
    /// The largest size is searched: `low` passes, `high` does not.
    Measure { low: u32, high: u32 },
    /// The largest size is known. One byte more is asked for, too: if that is answered, the path has become wider.
    Reduced,
}

impl MtuProbe {
    /// Sets the MTU of the interface; 0 if it cannot be used.
    pub fn set_mtu(&mut self, mtu: u32) {
        if self.mtu != mtu {
            *self = Self {
                mtu,
                ..Self::default()
            };
        }
    }

    /// Pings at once, as the peer is reachable and may answer now.
    pub fn probe_now(&mut self, now_ns: u64) {
        self.silent_rounds = 0;
        self.next_ns = self.next_ns.min(now_ns);
    }

    /// Returns the MTU and the largest size that passes, if that is less.
    pub fn narrow(&self) -> Option<(u32, u32)> {
        self.passes.map(|passes| (self.mtu, passes))
    }

    pub fn next_ns(&self) -> Option<u64> {
        (self.mtu > SHORT).then_some(self.next_ns)
    }

    /// Ends a round that is due, and returns the sizes of the next one, in the order in which they must be sent: a
    /// limit on the number of pings drops the short ones first.
    pub fn poll_sizes(&mut self, now_ns: u64) -> Vec<u32> {
        if self.next_ns().is_none_or(|at_ns| now_ns < at_ns) {
            return Vec::new();
        }
        self.end_round();
        let sizes = self.sizes();
        self.next_ns = now_ns + self.pause_ns();
        self.asked.clone_from(&sizes);
        self.asked.dedup();
        sizes
    }

    pub fn handle_answer(&mut self, size: u32) {
        let before = self.asked.len();
        self.asked.retain(|asked| *asked != size);
        if self.asked.len() == before {
            return;
        }
        self.silent_rounds = 0;
        if size == self.mtu {
            (self.step, self.passes) = (Step::Full, None);
            return;
        }
        match &mut self.step {
            Step::Suspect { short } => *short += 1,
            Step::Measure { low, .. } => *low = (*low).max(size),
            Step::Reduced if self.passes.is_some_and(|passes| size > passes) => {
                let (low, high) = (size, self.mtu);
                self.step = Step::Measure { low, high };
            }
            Step::Full | Step::Reduced => {}
        }
    }

    fn end_round(&mut self) {
        let is_unanswered = |size: u32| self.asked.contains(&size);
        let (full, mtu) = (is_unanswered(self.mtu), self.mtu);
        self.silent_rounds = self.silent_rounds.saturating_add(u32::from(full));
        self.step = match self.step {
            Step::Full if full => Step::Suspect { short: 0 },
            Step::Suspect { short } if short >= EVIDENCE => Step::Measure {
                low: SHORT,
                high: mtu,
            },
            // the path has become narrower, or nobody answers any longer
            Step::Measure { .. } | Step::Reduced if self.silent_rounds > ROUNDS_MAX => {
                self.passes = None;
                Step::Suspect { short: 0 }
            }
            Step::Measure { low, high } => {
                let lost = self.asked.iter().copied().filter(|size| *size > low);
                let high = lost.min().unwrap_or(high).min(high);
                if high - low <= 1 {
                    self.passes = Some(low);
                    Step::Reduced
                } else {
                    Step::Measure { low, high }
                }
            }
            step => step,
        };
    }

    fn sizes(&self) -> Vec<u32> {
        match self.step {
            Step::Full => vec![self.mtu],
            Step::Suspect { .. } => vec![self.mtu, SHORT],
            Step::Measure { low, high } => {
                let step = ((high - low) / (SIZES + 1)).max(1);
                let between = (1..=SIZES).map(|n| low + n * step);
                let between = between.take_while(|size| *size < high);
                let twice = between.flat_map(|size| [size, size]);
                [self.mtu, low].into_iter().chain(twice).collect()
            }
            Step::Reduced => {
                let passes = self.passes.unwrap_or(SHORT);
                let wider = Some(passes + 1).filter(|size| *size < self.mtu);
                let sizes = [Some(self.mtu), wider, Some(passes)];
                sizes.into_iter().flatten().collect()
            }
        }
    }

    fn pause_ns(&self) -> u64 {
        match self.step {
            _ if self.silent_rounds > ROUNDS_MAX => {
                SILENT_NS << (self.silent_rounds - ROUNDS_MAX).min(4)
            }
            Step::Full | Step::Reduced => CALM_NS,
            Step::Suspect { .. } => ROUND_NS,
            Step::Measure { .. } => MEASURE_NS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Runs for a time on a path that passes packets for which `passes` is true.
    fn run(
        probe: &mut MtuProbe,
        now_ns: &mut u64,
        for_ns: u64,
        mut passes: impl FnMut(u32) -> bool,
    ) {
        let end_ns = *now_ns + for_ns;
        while probe.next_ns().is_some_and(|at_ns| at_ns <= end_ns) {
            *now_ns = (*now_ns).max(probe.next_ns().unwrap_or(end_ns));
            for size in probe.poll_sizes(*now_ns) {
                if passes(size) {
                    probe.handle_answer(size);
                }
            }
        }
        *now_ns = end_ns;
    }

    fn of(mtu: u32) -> MtuProbe {
        let mut probe = MtuProbe::default();
        probe.set_mtu(mtu);
        probe
    }

    #[test]
    fn the_largest_size_that_passes_is_found_in_five_seconds_whatever_it_is() {
        for (mtu, largest) in [
            (1500, 1400),
            (1500, 1499),
            (1500, 69),
            (1500, 68),
            (9000, 1500),
        ] {
            let (mut probe, mut now_ns) = (of(mtu), 0);
            run(&mut probe, &mut now_ns, 10 * SECOND, |_| true);
            assert_eq!(probe.narrow(), None);
            run(&mut probe, &mut now_ns, 5 * SECOND, |size| size <= largest);
            assert_eq!(probe.narrow(), Some((mtu, largest)));
            run(&mut probe, &mut now_ns, 60 * SECOND, |size| size <= largest);
            assert_eq!(probe.narrow(), Some((mtu, largest)), "it stays");
            run(&mut probe, &mut now_ns, SECOND, |_| true);
            assert_eq!(probe.narrow(), None, "until they pass again");
        }
    }

    #[test]
    fn a_path_that_becomes_narrower_is_measured_again() {
        let (mut probe, mut now_ns) = (of(1500), 0);
        run(&mut probe, &mut now_ns, 5 * SECOND, |size| size <= 1400);
        run(&mut probe, &mut now_ns, 20 * SECOND, |size| size <= 1000);
        assert_eq!(probe.narrow(), Some((1500, 1000)));
    }

    #[test]
    fn a_path_that_becomes_wider_but_not_as_wide_as_the_mtu_is_measured_again() {
        let (mut probe, mut now_ns) = (of(1500), 0);
        run(&mut probe, &mut now_ns, 5 * SECOND, |size| size <= 1000);
        assert_eq!(probe.narrow(), Some((1500, 1000)));
        run(&mut probe, &mut now_ns, SECOND, |size| size <= 1400);
        let (_, passes) = probe.narrow().expect("a size, also while it is measured");
        assert!((1000..=1400).contains(&passes), "{passes}");
        run(&mut probe, &mut now_ns, 20 * SECOND, |size| size <= 1400);
        assert_eq!(probe.narrow(), Some((1500, 1400)));
        run(&mut probe, &mut now_ns, 5 * SECOND, |size| size <= 1499);
        assert_eq!(probe.narrow(), Some((1500, 1499)));
        run(&mut probe, &mut now_ns, SECOND, |size| size <= 1500);
        assert_eq!(probe.narrow(), None);
    }

    #[test]
    fn a_peer_that_answers_no_ping_while_a_wider_path_is_measured_says_nothing_of_sizes() {
        let (mut probe, mut now_ns) = (of(1500), 0);
        run(&mut probe, &mut now_ns, 5 * SECOND, |size| size <= 1000);
        run(&mut probe, &mut now_ns, SECOND / 2, |size| size <= 1400);
        assert!(matches!(probe.step, Step::Measure { .. }));
        run(&mut probe, &mut now_ns, 10 * SECOND, |_| false);
        assert_eq!(probe.narrow(), None);
    }

    #[test]
    fn a_peer_that_answers_no_ping_says_nothing_of_sizes() {
        let (mut probe, mut now_ns) = (of(1500), 0);
        let mut sent = 0;
        run(&mut probe, &mut now_ns, 60 * SECOND, |_| {
            sent += 1;
            false
        });
        assert_eq!(probe.narrow(), None);
        assert!(sent < 30, "{sent}");
        probe.probe_now(now_ns);
        run(&mut probe, &mut now_ns, 5 * SECOND, |size| size <= 1400);
        assert_eq!(probe.narrow(), Some((1500, 1400)));
    }

    #[test]
    fn loss_is_no_size() {
        let mut random = spared_sim::Random::new(51);
        let (mut probe, mut now_ns) = (of(1500), 0);
        for _ in 0..600 {
            run(&mut probe, &mut now_ns, SECOND, |_| random.below(100) >= 36);
            assert_eq!(probe.narrow(), None);
        }
    }

    /// Some firewalls answer five pings a second.
    #[test]
    fn a_limit_on_pings_is_no_size() {
        let (mut probe, mut now_ns) = (of(1500), 0);
        let (mut second, mut count) = (0, 0);
        for _ in 0..600 {
            let at_ns = now_ns;
            run(&mut probe, &mut now_ns, SECOND / 10, |_| {
                if at_ns / SECOND != second {
                    (second, count) = (at_ns / SECOND, 0);
                }
                count += 1;
                count <= 2
            });
            assert_eq!(probe.narrow(), None);
        }
    }

    #[test]
    fn another_mtu_is_another_measurement() {
        let (mut probe, mut now_ns) = (of(1500), 0);
        run(&mut probe, &mut now_ns, 5 * SECOND, |size| size <= 1400);
        probe.set_mtu(1400);
        assert_eq!(probe.narrow(), None);
        run(&mut probe, &mut now_ns, 5 * SECOND, |size| size <= 1400);
        assert_eq!(probe.narrow(), None);
        probe.set_mtu(0);
        assert_eq!(probe.next_ns(), None);
    }
}
