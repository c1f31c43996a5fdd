// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks observations against the rules of the [module](super).

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::expected::may_split;
use super::fault::Fault;
use super::kind::Kind;
use crate::clock::Stamp;

/// Times by which a split is extended, before and after: nodes that hear each other agree on keys, and one gives way.
const BEFORE_SPLIT: Duration = Duration::from_millis(100);
const AFTER_SPLIT: Duration = Duration::from_secs(2);

/// A broken promise.
#[derive(Clone, Debug, PartialEq)]
pub enum Wrong {
    /// Both nodes answered requests.
    Twice {
        address: IpAddr,
        requests: usize,
        first: Stamp,
        last: Stamp,
    },
    /// OK was reported during a fault that must be known.
    Ok {
        fault: Fault,
        /// Node that reported OK; None if both did.
        site: Option<usize>,
        lasted: Duration,
        until: Stamp,
    },
    Unrecovered(String),
}

impl fmt::Display for Wrong {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Twice {
                address,
                requests,
                first,
                last,
            } => {
                let lasted = last.since(*first);
                write!(
                    out,
                    "{requests} requests for {address} were answered by both nodes, within {lasted:.2?}"
                )
            }
            Self::Ok {
                fault,
                site,
                lasted,
                ..
            } => {
                let who = site.map_or("each node".to_owned(), |site| format!("r{}", site + 1));
                write!(out, "{who} says OK for {lasted:.1?} beside \"{fault}\"")
            }
            Self::Unrecovered(what) => write!(out, "not well again: {what}"),
        }
    }
}

/// A fault that was made, with its times.
#[derive(Clone, Copy, Debug)]
pub struct Struck {
    pub fault: Fault,
    pub began: Stamp,
    pub ended: Option<Stamp>,
}

impl Struck {
    pub fn stands_at(&self, at: Stamp) -> bool {
        self.began <= at && self.ended.is_none_or(|ended| ended > at)
    }
}

/// Returns the times in which both nodes may answer.
pub fn splits(struck: &[Struck], kind: Kind) -> Vec<(Stamp, Stamp)> {
    let ends = struck.iter().filter_map(|it| it.ended);
    let mut changes: Vec<Stamp> = struck.iter().map(|it| it.began).chain(ends).collect();
    changes.sort_unstable();
    let nexts = changes.iter().skip(1).copied().chain([Stamp(u64::MAX)]);
    let is_split = |at: Stamp| {
        let standing = struck.iter().filter(|it| it.stands_at(at));
        let standing: Vec<Fault> = standing.map(|it| it.fault).collect();
        may_split(&standing, kind)
    };
    let spans = changes.iter().copied().zip(nexts);
    let split = spans.filter(|(from, _)| is_split(*from));
    split
        .map(|(from, to)| {
            (
                from.before(BEFORE_SPLIT),
                Stamp(to.0.saturating_add(AFTER_SPLIT.as_nanos() as u64)),
            )
        })
        .collect()
}

/// An answer of a node to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Time at which it was asked.
    pub asked: Stamp,
    pub site: usize,
    pub address: IpAddr,
}

/// Rule 1: requests that both nodes answered.
pub fn answered_twice(answers: &[Answer], splits: &[(Stamp, Stamp)]) -> Vec<Wrong> {
    let mut by: BTreeMap<(IpAddr, Stamp), [bool; 2]> = BTreeMap::new();
    for answer in answers {
        if let Some(by) = by
            .entry((answer.address, answer.asked))
            .or_default()
            .get_mut(answer.site)
        {
            *by = true;
        }
    }
    let is_split = |at: Stamp| splits.iter().any(|(from, to)| (*from..=*to).contains(&at));
    let mut twice: BTreeMap<IpAddr, Vec<Stamp>> = BTreeMap::new();
    for ((address, asked), sites) in by {
        if sites == [true; 2] && !is_split(asked) {
            twice.entry(address).or_default().push(asked);
        }
    }
    let wrong = twice.into_iter().filter_map(|(address, asked)| {
        Some(Wrong::Twice {
            address,
            requests: asked.len(),
            first: *asked.first()?,
            last: *asked.last()?,
        })
    });
    wrong.collect()
}

/// A fault during which OK must end.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// Place among the faults that were made.
    pub place: usize,
    pub fault: Fault,
    pub within: Duration,
    /// True if each node must know it; otherwise one of them.
    pub by_each: bool,
}

/// Rule 2: the times since which OK has been reported during each fault, by a node or by both.
#[derive(Default)]
pub struct Oks {
    since: BTreeMap<(usize, Option<usize>), Stamp>,
    told: Vec<(usize, Option<usize>)>,
}

impl Oks {
    /// Takes the nodes' reports at a moment; None for a node that is not queried or does not answer.
    pub fn look(&mut self, at: Stamp, is_ok: [Option<bool>; 2], due: &[Due]) -> Vec<Wrong> {
        let said: Vec<bool> = is_ok.into_iter().flatten().collect();
        let is_each = !said.is_empty() && said.iter().all(|it| *it);
        let mut beside = Vec::new();
        for it in due {
            let sites = [0, 1].into_iter().filter(|site| is_ok[*site] == Some(true));
            if it.by_each {
                beside.extend(sites.map(|site| (it, Some(site))))
            } else {
                beside.extend(is_each.then_some((it, None)))
            }
        }
        let now: Vec<_> = beside.iter().map(|(it, site)| (it.place, *site)).collect();
        self.since.retain(|key, _| now.contains(key));
        let mut wrong = Vec::new();
        for (it, site) in beside {
            let key = (it.place, site);
            let lasted = at.since(*self.since.entry(key).or_insert(at));
            if lasted > it.within && !self.told.contains(&key) {
                self.told.push(key);
                wrong.push(Wrong::Ok {
                    fault: it.fault,
                    site,
                    lasted,
                    until: at,
                });
            }
        }
        wrong
    }

    /// Resets the times after the machine stood still, since the reports meanwhile are unknown.
    pub fn forget(&mut self) {
        self.since.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::fault::What;
    use super::*;
    use crate::lab::Wire;

    fn at(ms: u64) -> Stamp {
        Stamp(1_000_000_000_000 + ms * 1_000_000)
    }

    fn answer(site: usize, asked_ms: u64) -> Answer {
        Answer {
            asked: at(asked_ms),
            site,
            address: [10, 1, 0, 1].into(),
        }
    }

    #[test]
    fn a_request_that_both_answer_is_one_and_a_change_between_two_requests_is_none() {
        let changes = [answer(0, 0), answer(1, 20), answer(0, 40)];
        assert_eq!(answered_twice(&changes, &[]), []);
        let both = [answer(0, 0), answer(1, 0), answer(1, 20)];
        let [Wrong::Twice { requests: 1, .. }] = answered_twice(&both, &[])[..] else {
            panic!("not one");
        };
        assert_eq!(answered_twice(&both, &[(at(0), at(10))]), []);
        // twice by one node, for two frames in two networks
        assert_eq!(answered_twice(&[answer(0, 0), answer(0, 0)], &[]), []);
    }

    fn struck(what: What, began: u64, ended: Option<u64>) -> Struck {
        let fault = Fault {
            form: 0,
            site: 0,
            what,
        };
        let ended = ended.map(at);
        Struck {
            fault,
            began: at(began),
            ended,
        }
    }

    #[test]
    fn a_split_lasts_from_the_last_path_that_goes_until_the_first_that_comes() {
        let unlinked = Kind::ALL[3];
        let faults = [
            struck(What::Switch(Wire::Lan), 1_000, Some(9_000)),
            struck(What::Parted(Wire::Wan), 3_000, Some(5_000)),
        ];
        let [(from, to)] = splits(&faults, unlinked)[..] else {
            panic!("not one split");
        };
        assert_eq!(
            (from, to),
            (at(3_000).before(BEFORE_SPLIT), at(5_000).after(AFTER_SPLIT))
        );
        assert_eq!(splits(&faults[..1], unlinked), []);
    }

    fn due(by_each: bool) -> [Due; 1] {
        [Due {
            place: 0,
            fault: struck(What::NotForwarding, 0, None).fault,
            within: Duration::from_secs(3),
            by_each,
        }]
    }

    #[test]
    fn an_ok_that_lasts_is_told_once_and_one_that_is_interrupted_is_not() {
        let mut oks = Oks::default();
        let ok = [Some(true), Some(false)];
        assert_eq!(oks.look(at(0), ok, &due(true)), []);
        assert_eq!(oks.look(at(3_000), ok, &due(true)), []);
        assert_eq!(oks.look(at(3_100), ok, &due(true)).len(), 1);
        assert_eq!(oks.look(at(3_600), ok, &due(true)), []);
        let mut oks = Oks::default();
        oks.look(at(0), ok, &due(true));
        oks.look(at(2_000), [Some(false); 2], &due(true));
        assert_eq!(oks.look(at(3_100), ok, &due(true)), []);
    }

    #[test]
    fn where_one_node_knows_it_the_other_may_say_ok() {
        let mut oks = Oks::default();
        oks.look(at(0), [Some(true), Some(false)], &due(false));
        assert_eq!(
            oks.look(at(9_000), [Some(true), Some(false)], &due(false)),
            []
        );
        oks.look(at(10_000), [Some(true), None], &due(false));
        assert_eq!(oks.look(at(13_100), [Some(true); 2], &due(false)).len(), 1);
    }
}
