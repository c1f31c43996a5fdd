//! Tracks since when each finding exists. A finding that has lasted for a while is reported as an event, and so is its
//! end.
//!
//! Once a second [`FindingTimes::update`] gets the findings that are known without asking the plugins.
//! [`FindingTimes::set_begin`] gets all findings of a verdict that is shown. Such a verdict also has what the plugins'
//! status rows show: this is called a look.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::facts::FirstFound;
use crate::finding::Finding;

/// Shortest duration of a finding that becomes an event.
const LASTING: Duration = Duration::from_secs(2);
/// Interval between looks while only a look can tell what is wrong.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Maximum number of findings whose begin is sent to the other node.
const FIRST_MAX: usize = 64;

/// Id, node and object of a finding.
type Key = [String; 3];

/// Findings of the last second and of the last look, with the time at which each began.
#[derive(Debug, Default)]
pub struct FindingTimes {
    seen: BTreeMap<Key, Seen>,
    /// Findings that only the last look found.
    found_by_look: BTreeMap<Key, Looked>,
    /// Time at which the next look is due.
    look_at: Option<Instant>,
}

#[derive(Debug)]
struct Seen {
    since: Instant,
    begin: Begin,
    is_told: bool,
    /// True if it was reported, or if looks have found it for as long before.
    lasts: bool,
    finding: Finding,
}

#[derive(Clone, Debug)]
struct Looked {
    since: Instant,
    begin: Begin,
    /// True if it was found again after [`LASTING`].
    lasts: bool,
    finding: Finding,
}

/// Begin of a finding, in readable form.
#[derive(Clone, Debug)]
struct Begin {
    at: String,
    /// True if no fact tells the begin: `at` is the time at which the finding was first seen.
    is_found: bool,
}

impl FindingTimes {
    /// Takes the present findings and the time in readable form. Returns the findings that have lasted and were not
    /// reported yet, and the reported ones that have ended.
    pub fn update(
        &mut self,
        now: Instant,
        at: &str,
        found: Vec<Finding>,
    ) -> (Vec<Finding>, Vec<Finding>) {
        let mut old = std::mem::take(&mut self.seen);
        let mut begun = Vec::new();
        for finding in found {
            let key = key(&finding);
            let known = old.remove(&key);
            let looked = self.found_by_look.remove(&key);
            let begin = known.as_ref().map(|known| &known.begin);
            let begin = begin.or(looked.as_ref().map(|it| &it.begin));
            let begin = Begin::of(&finding, begin, at);
            let lasted = known.as_ref().is_some_and(|known| known.lasts);
            let since = known.as_ref().map_or(now, |known| known.since);
            let was_told = known.is_some_and(|known| known.is_told);
            let is_told = was_told || now.saturating_duration_since(since) >= LASTING;
            if is_told && !was_told {
                begun.push(finding.clone());
            }
            let seen = Seen {
                since,
                begin,
                is_told,
                lasts: lasted || is_told || looked.is_some_and(|it| it.lasts),
                finding,
            };
            self.seen.insert(key, seen);
        }
        let ended = old.into_values().filter(|seen| seen.is_told);
        (begun, ended.map(|seen| seen.finding).collect())
    }

    /// Sets the begin of all findings of a verdict at the time `at`.
    pub fn set_begin(&mut self, now: Instant, at: &str, findings: &mut [Finding]) {
        let mut found_by_look = BTreeMap::new();
        for finding in findings {
            let key = key(finding);
            let begin = match self.seen.get(&key) {
                Some(seen) => Begin::of(finding, Some(&seen.begin), at),
                None => {
                    let before = self.found_by_look.get(&key);
                    // between two looks the finding may have ended and begun again: a fact is then newer
                    let known = before.map(|it| &it.begin).filter(|it| it.is_found);
                    let since = before.map_or(now, |it| it.since);
                    let looked = Looked {
                        since,
                        begin: Begin::of(finding, known, at),
                        lasts: now.saturating_duration_since(since) >= LASTING,
                        finding: finding.clone(),
                    };
                    found_by_look.entry(key).or_insert(looked).begin.clone()
                }
            };
            finding.since = Some(begin.at);
        }
        self.found_by_look = found_by_look;
    }

    /// Returns true if a look is due. Looks are needed if the last one found something that only looks find, or if
    /// `is_doubtful`: without a look it is not known if something is wrong.
    pub fn is_look_due(&mut self, now: Instant, is_doubtful: bool) -> bool {
        if !is_doubtful && self.found_by_look.is_empty() {
            self.look_at = None;
            return false;
        }
        // a state that passes by itself, such as a failover, is not disturbed by a look
        if now < *self.look_at.get_or_insert(now + LASTING) {
            return false;
        }
        self.look_at = Some(now + LOOK_EVERY);
        true
    }

    /// Returns the findings that have lasted, each with its begin.
    pub fn lasting(&self) -> impl Iterator<Item = (&Finding, &str)> {
        let seen = self.seen.values().filter(|it| it.lasts);
        let seen = seen.map(|it| (&it.finding, it.begin.at.as_str()));
        let looked = self.found_by_look.values().filter(|it| it.lasts);
        seen.chain(looked.map(|it| (&it.finding, it.begin.at.as_str())))
    }

    /// Returns the findings about a node whose begin no fact tells.
    pub fn first_found(&self, node: &str) -> Vec<FirstFound> {
        let seen = self.seen.values();
        let seen = seen.filter(|it| it.begin.is_found && it.finding.node == node);
        let first = seen.take(FIRST_MAX).map(|it| FirstFound {
            id: it.finding.id.clone(),
            thing: it.finding.thing.clone(),
            since: it.begin.at.clone(),
        });
        first.collect()
    }
}

impl Begin {
    // Returns the begin of a finding. A known begin is kept, unless a fact corrects the time at which the finding was
    // first seen.
    fn of(finding: &Finding, known: Option<&Self>, now: &str) -> Self {
        match (known, &finding.since) {
            (Some(known), since) if !known.is_found || since.is_none() => known.clone(),
            (_, Some(since)) => Self {
                at: since.clone(),
                is_found: false,
            },
            (_, None) => Self {
                at: now.to_owned(),
                is_found: true,
            },
        }
    }
}

fn key(finding: &Finding) -> Key {
    [&finding.id, &finding.node, &finding.thing].map(String::clone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(thing: &str) -> Finding {
        Finding {
            id: "SP-0401".to_owned(),
            node: "r1".to_owned(),
            thing: thing.to_owned(),
            ..Finding::default()
        }
    }

    #[test]
    fn what_lasts_is_told_once_and_so_is_its_end() {
        let start = Instant::now();
        let mut watched = FindingTimes::default();
        let mut look = |after: Duration, things: &[&str]| {
            let found = things.iter().map(|it| finding(it)).collect();
            let (begun, ended) = watched.update(start + after, "", found);
            (begun.len(), ended.len())
        };
        assert_eq!(look(Duration::ZERO, &["a", "b"]), (0, 0));
        assert_eq!(look(LASTING / 2, &["a"]), (0, 0));
        assert_eq!(look(LASTING, &["a", "b"]), (1, 0));
        assert_eq!(look(LASTING * 2, &["a", "b"]), (1, 0));
        assert_eq!(look(LASTING * 3, &["a"]), (0, 1));
        assert_eq!(look(LASTING * 4, &[]), (0, 1));
    }

    /// Returns the begin of the only finding.
    fn shown(times: &mut FindingTimes, at: &str, finding: &Finding) -> String {
        let mut found = vec![finding.clone()];
        times.set_begin(Instant::now(), at, &mut found);
        found.remove(0).since.unwrap_or_default()
    }

    #[test]
    fn a_finding_keeps_its_begin_until_it_ends() {
        let start = Instant::now();
        let fault = finding("a");
        let mut times = FindingTimes::default();
        times.update(start, "10:00:00", vec![fault.clone()]);
        assert_eq!(shown(&mut times, "10:00:05", &fault), "10:00:00");
        times.update(start, "10:00:06", vec![fault.clone()]);
        assert_eq!(shown(&mut times, "10:00:07", &fault), "10:00:00");
        times.update(start, "10:00:08", Vec::new());
        times.update(start, "10:00:09", vec![fault.clone()]);
        assert_eq!(shown(&mut times, "10:00:10", &fault), "10:00:09");
    }

    #[test]
    fn facts_know_a_begin_better_and_do_not_move_it() {
        let start = Instant::now();
        let at = |since: &str| finding("a").since(since);
        let mut times = FindingTimes::default();
        times.update(start, "10:00:00", vec![at("09:00:00")]);
        // a check that fails in another way
        times.update(start, "10:00:01", vec![at("10:00:01")]);
        assert_eq!(shown(&mut times, "10:00:02", &at("10:00:01")), "09:00:00");
        assert_eq!(times.first_found("r1"), []);

        let mut times = FindingTimes::default();
        times.update(start, "10:00:00", vec![finding("a")]);
        let first = times.first_found("r1");
        assert_eq!((first.len(), first[0].since.as_str()), (1, "10:00:00"));
        assert_eq!(times.first_found("r2"), []);
        times.update(start, "10:00:01", vec![at("09:00:00")]);
        assert_eq!(shown(&mut times, "10:00:02", &finding("a")), "09:00:00");
    }

    #[test]
    fn what_only_a_look_finds_is_looked_for_until_it_ends() {
        let start = Instant::now();
        let mut times = FindingTimes::default();
        assert!(!times.is_look_due(start, false));
        assert!(!times.is_look_due(start, true), "it may pass");
        assert!(times.is_look_due(start + LASTING, true));
        assert_eq!(shown(&mut times, "10:00:00", &finding("a")), "10:00:00");
        times.update(start, "10:00:01", Vec::new());
        assert!(!times.is_look_due(start + LOOK_EVERY, false));
        assert!(times.is_look_due(start + LASTING + LOOK_EVERY, false));
        assert_eq!(shown(&mut times, "10:00:10", &finding("a")), "10:00:00");
        // in the meantime the object of the finding was heard
        let silent = |at: &str| finding("b").since(at);
        assert_eq!(
            shown(&mut times, "10:00:11", &silent("10:00:01")),
            "10:00:01"
        );
        assert_eq!(
            shown(&mut times, "10:00:20", &silent("10:00:15")),
            "10:00:15"
        );
        times.set_begin(start, "10:00:21", &mut []);
        assert!(!times.is_look_due(start + LOOK_EVERY * 3, false));
    }

    #[test]
    fn what_a_look_found_first_keeps_its_begin_in_the_next_second() {
        let mut times = FindingTimes::default();
        shown(&mut times, "10:00:00", &finding("a"));
        times.update(Instant::now(), "10:00:01", vec![finding("a")]);
        assert_eq!(shown(&mut times, "10:00:02", &finding("a")), "10:00:00");
        assert!(times.found_by_look.is_empty());
    }
}
