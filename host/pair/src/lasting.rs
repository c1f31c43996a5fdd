//! Findings that last: one is told when it has lasted for a while, and when it ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::Finding;

/// Least duration of a finding that becomes an event.
const LASTING: Duration = Duration::from_secs(2);

/// Findings at the last look, with the time since which each has lasted.
#[derive(Debug, Default)]
pub struct Lasting {
    seen: BTreeMap<[String; 3], Seen>,
}

#[derive(Debug)]
struct Seen {
    since: Instant,
    is_told: bool,
    finding: Finding,
}

impl Lasting {
    /// Takes the findings of now. Returns those that have lasted and were not told yet, and those that
    /// were told and have ended.
    pub fn update(&mut self, now: Instant, found: Vec<Finding>) -> (Vec<Finding>, Vec<Finding>) {
        let mut old = std::mem::take(&mut self.seen);
        let mut begun = Vec::new();
        for finding in found {
            let key = [&finding.id, &finding.node, &finding.thing].map(String::clone);
            let known = old.remove(&key);
            let since = known.as_ref().map_or(now, |known| known.since);
            let was_told = known.is_some_and(|known| known.is_told);
            let is_told = was_told || now.saturating_duration_since(since) >= LASTING;
            if is_told && !was_told {
                begun.push(finding.clone());
            }
            let seen = Seen {
                since,
                is_told,
                finding,
            };
            self.seen.insert(key, seen);
        }
        let ended = old.into_values().filter(|seen| seen.is_told);
        (begun, ended.map(|seen| seen.finding).collect())
    }
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
        let mut watched = Lasting::default();
        let mut look = |after: Duration, things: &[&str]| {
            let found = things.iter().map(|it| finding(it)).collect();
            let (begun, ended) = watched.update(start + after, found);
            (begun.len(), ended.len())
        };
        assert_eq!(look(Duration::ZERO, &["a", "b"]), (0, 0));
        assert_eq!(look(LASTING / 2, &["a"]), (0, 0));
        assert_eq!(look(LASTING, &["a", "b"]), (1, 0));
        assert_eq!(look(LASTING * 2, &["a", "b"]), (1, 0));
        assert_eq!(look(LASTING * 3, &["a"]), (0, 1));
        assert_eq!(look(LASTING * 4, &[]), (0, 1));
    }
}
