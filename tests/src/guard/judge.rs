// SPDX-License-Identifier: MIT OR Apache-2.0
//! What of the promise was broken, from frames at the switch: see the rules of the [module](super).

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Stamp;
use crate::probe::{Run, Sight, Watch};

/// Two answers of one router with one of the other between them.
const TOGETHER: Duration = Duration::from_millis(60);
/// From a router's last advert to an answer that it may still give.
const STALE: Duration = Duration::from_millis(500);

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    Two {
        address: IpAddr,
        /// From the first to the last.
        lasted: Duration,
        /// Answers of r1 and r2 meanwhile.
        answers: [usize; 2],
    },
    Stale {
        address: IpAddr,
        site: usize,
        answers: usize,
        /// Longest time from its last advert.
        worst: Duration,
    },
    /// Nobody serves, and status says OK.
    Unsaid(String),
    Unrecovered(String),
}

impl fmt::Display for Wrong {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Two {
                address,
                lasted,
                answers: [first, second],
            } => write!(
                out,
                "two answer for {address}: for {lasted:.1?} r1 {first} and r2 {second} times"
            ),
            Self::Stale {
                address,
                site,
                answers,
                worst,
            } => write!(
                out,
                "r{} answers for {address} {answers} times without an advert, up to {worst:.1?} after its last",
                site + 1
            ),
            Self::Unsaid(what) => write!(out, "not served, and status says OK: {what}"),
            Self::Unrecovered(what) => write!(out, "not well again: {what}"),
        }
    }
}

/// All that the frames from `from` on break.
pub fn frames(watch: &Watch, from: Stamp, addresses: &[IpAddr]) -> Vec<Wrong> {
    let mut wrong: Vec<Wrong> = addresses
        .iter()
        .filter_map(|address| two_within(*address, &watch.resolutions(from, *address), TOGETHER))
        .collect();
    for address in addresses {
        wrong.extend(
            [0, 1]
                .iter()
                .filter_map(|site| stale(watch, from, *address, *site)),
        );
    }
    wrong
}

/// Rule 1, for stations that ask at least twice in the time `together`.
pub fn two_within(address: IpAddr, runs: &[Run], together: Duration) -> Option<Wrong> {
    let together = |three: &&[Run]| three[2].first.since(three[0].last) < together;
    let triples: Vec<&[Run]> = runs.windows(3).filter(together).collect();
    let first = triples.first()?[0].last;
    let last = triples.last()?[2].first;
    let mut answers = [0; 2];
    for run in runs
        .iter()
        .filter(|run| run.last >= first && run.first <= last)
    {
        if let Some(count) = answers.get_mut(run.site) {
            // of a run that began before or ended after, only one answer is known to be within
            let within = run.first >= first && run.last <= last;
            *count += if within { run.answers } else { 1 };
        }
    }
    Some(Wrong::Two {
        address,
        lasted: last.since(first),
        answers,
    })
}

/// Rule 2.
fn stale(watch: &Watch, from: Stamp, address: IpAddr, site: usize) -> Option<Wrong> {
    let mut last = None;
    let (mut answers, mut worst) = (0, Duration::ZERO);
    for seen in watch.since(from.before(STALE)) {
        if seen.site != site {
            continue;
        }
        match &seen.sight {
            Sight::Advert(advert) if advert.priority > 0 => last = Some(seen.at),
            _ if seen.at >= from && seen.resolves(address) => {
                let age = seen.at.since(last.unwrap_or(from.before(STALE)));
                if age >= STALE {
                    answers += 1;
                    worst = worst.max(age);
                }
            }
            _ => {}
        }
    }
    (answers > 0).then_some(Wrong::Stale {
        address,
        site,
        answers,
        worst,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(site: usize, first_ms: u64, last_ms: u64) -> Run {
        let at = |ms: u64| Stamp(ms * 1_000_000);
        Run {
            site,
            first: at(first_ms),
            last: at(last_ms),
            answers: ((last_ms - first_ms) / 20 + 1) as usize,
        }
    }

    fn is_two(runs: &[Run]) -> bool {
        two_within([10, 1, 0, 1].into(), runs, TOGETHER).is_some()
    }

    #[test]
    fn a_change_of_roles_is_no_double_answer_however_short_the_gap() {
        assert!(!is_two(&[run(0, 0, 100), run(1, 101, 500)]));
        assert!(!is_two(&[
            run(0, 0, 100),
            run(1, 101, 200),
            run(0, 201, 300)
        ]));
    }

    #[test]
    fn one_answer_among_those_of_the_other_router_is() {
        assert!(is_two(&[
            run(0, 0, 100),
            run(1, 101, 101),
            run(0, 120, 300)
        ]));
    }

    #[test]
    fn of_two_that_answer_all_the_time_all_is_counted() {
        let runs = [
            run(0, 0, 100),
            run(1, 101, 101),
            run(0, 120, 120),
            run(1, 121, 121),
            run(0, 140, 200),
        ];
        let wrong = two_within([10, 1, 0, 1].into(), &runs, TOGETHER);
        let Some(Wrong::Two {
            lasted, answers, ..
        }) = wrong
        else {
            panic!("{wrong:?}");
        };
        assert_eq!(lasted, Duration::from_millis(40));
        assert_eq!(answers, [3, 2]);
    }
}
