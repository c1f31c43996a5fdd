// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks frames at the switch against the rules of the [module](super).

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Stamp;
use crate::probe::{Run, Seen, Sight, Watch};

/// Time within which two answers of one router, with one of the other between them, are simultaneous.
const TOGETHER: Duration = Duration::from_millis(60);
/// Time from a router's last advert to an answer that it may still send.
const STALE: Duration = Duration::from_millis(500);
/// Time from the grant of a fence lease to the first advert.
const GRANTED: Duration = Duration::from_millis(50);

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    BothAnswered {
        address: IpAddr,
        /// Time in which both answered.
        lasted: Duration,
        /// Answers of r1 and r2 meanwhile.
        answers: [usize; 2],
    },
    AnsweredWithoutAdvert {
        address: IpAddr,
        site: usize,
        answers: usize,
        /// Longest time from its last advert.
        worst: Duration,
    },
    /// An active node does not serve, and its status does not say why.
    UnreportedOutage(String),
    Unrecovered(String),
}

impl fmt::Display for Wrong {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::BothAnswered {
                address,
                lasted,
                answers: [first, second],
            } => write!(
                out,
                "two answer for {address}: for {lasted:.1?} r1 {first} and r2 {second} times"
            ),
            Self::AnsweredWithoutAdvert {
                address,
                site,
                answers,
                worst,
            } => write!(
                out,
                "r{} answers for {address} {answers} times without an advert, up to {worst:.1?} after its last",
                site + 1
            ),
            Self::UnreportedOutage(what) => {
                write!(out, "not served, and status does not say why: {what}")
            }
            Self::Unrecovered(what) => write!(out, "not well again: {what}"),
        }
    }
}

/// Returns the broken rules in the frames from `from` on.
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

/// Rule 1, for stations that ask at least twice within the time `together`.
pub fn two_within(address: IpAddr, runs: &[Run], together: Duration) -> Option<Wrong> {
    let together = |three: &&[Run]| three[2].first.since(three[0].last) < together;
    let triples: Vec<&[Run]> = runs.windows(3).filter(together).collect();
    let mut lasted = Duration::ZERO;
    let mut until = triples.first()?[0].last;
    for three in &triples {
        lasted += three[2].first.since(until.max(three[0].last));
        until = until.max(three[2].first);
    }
    let mut answers = [0; 2];
    let is_beside = |run: &Run| {
        let mut triples = triples.iter();
        triples.any(|three| run.first <= three[2].first && run.last >= three[0].last)
    };
    for run in runs.iter().filter(|run| is_beside(run)) {
        let is_whole = triples.iter().any(|three| three[1] == *run);
        if let Some(count) = answers.get_mut(run.site) {
            // of a run that began before or ended after, only one answer is known to overlap with the other router's
            *count += if is_whole { run.answers } else { 1 };
        }
    }
    Some(Wrong::BothAnswered {
        address,
        lasted,
        answers,
    })
}

/// Rule 2: answers without a recent advert.
fn stale(watch: &Watch, from: Stamp, address: IpAddr, site: usize) -> Option<Wrong> {
    let seen = watch.since(from.before(STALE));
    let own = seen.iter().filter(|seen| seen.site == site);
    let is_advert = |seen: &&Seen| matches!(&seen.sight, Sight::Advert(it) if it.priority > 0);
    let adverts: Vec<Stamp> = own.clone().filter(is_advert).map(|seen| seen.at).collect();
    let (mut answers, mut worst) = (0, Duration::ZERO);
    for answer in own.filter(|seen| seen.at >= from && seen.resolves(address)) {
        let next = adverts.partition_point(|at| *at <= answer.at);
        let before = next.checked_sub(1).and_then(|last| adverts.get(last));
        let age = answer.at.since(*before.unwrap_or(&from.before(STALE)));
        let after = adverts.get(next).map(|at| at.since(answer.at));
        if age >= STALE && after.is_none_or(|after| after > GRANTED) {
            answers += 1;
            worst = worst.max(age);
        }
    }
    (answers > 0).then_some(Wrong::AnsweredWithoutAdvert {
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
        let Some(Wrong::BothAnswered {
            lasted, answers, ..
        }) = wrong
        else {
            panic!("{wrong:?}");
        };
        assert_eq!(lasted, Duration::from_millis(40));
        assert_eq!(answers, [3, 2]);
    }
}
