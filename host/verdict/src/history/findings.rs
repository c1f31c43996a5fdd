//! Findings in a history: which last, and which come and go.
//!
//! A finding that begins again soon after its end continues its span, for an hour at most: one that flaps for a month has
//! a span for each hour, with the number of times that it began.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::past::{later, time};
use super::{History, HistoryEntry, PastFinding, Urgency};
use crate::finding::Finding;

/// Time after its end within which a finding that begins again comes and goes.
const SOON: SignedDuration = SignedDuration::from_mins(10);
/// Time from its begin within which a span is continued.
const SPAN_MAX: SignedDuration = SignedDuration::from_hours(1);
/// Maximum number of findings that last at the same time: the other node may report any number.
const LASTING_MAX: usize = 256;
/// Maximum number of letters of a text.
const TEXT_MAX: usize = 400;

type Key = [String; 3];

/// Numbers of the entries of findings.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenFindings {
    /// Findings that last.
    lasting: BTreeMap<Key, u64>,
    /// Last entry of each finding, also of those that ended.
    recent: BTreeMap<Key, u64>,
}

impl History {
    /// Handles all findings that last at this time, each with its begin.
    pub fn handle_findings<'f>(
        &mut self,
        at: &str,
        lasting: impl IntoIterator<Item = (&'f Finding, &'f str)>,
    ) -> Urgency {
        let mut urgency = Urgency::None;
        let mut before = std::mem::take(&mut self.findings.lasting);
        let mut new = Vec::new();
        for (finding, began) in lasting {
            let key = [&finding.id, &finding.node, &finding.thing].map(String::clone);
            match before.remove(&key) {
                Some(number) => drop(self.findings.lasting.insert(key, number)),
                None => new.push((key, finding, began)),
            }
        }
        for number in before.into_values() {
            urgency = urgency.max(self.end_finding(number, at, false));
        }
        let room = LASTING_MAX.saturating_sub(self.findings.lasting.len());
        for (key, finding, began) in new.into_iter().take(room) {
            urgency = urgency.max(self.begin_finding(key, finding, began, at));
        }
        if urgency != Urgency::None {
            self.trim(time(at));
        }
        urgency
    }

    /// Ends all findings of the previous run, whose end nobody saw. `at` is the end of that run.
    pub(super) fn end_findings(&mut self, at: &str) {
        let entries = self.entries.iter();
        let lasting = entries.filter_map(|(number, kept)| match &kept.entry {
            HistoryEntry::Finding(finding) => Some((*number, finding)),
            _ => None,
        });
        let lasting: Vec<u64> = lasting
            .map(|(number, finding)| {
                let recent = &mut self.findings.recent;
                recent.insert(finding.key(), number);
                (number, finding.ended.is_none())
            })
            .filter_map(|(number, lasts)| lasts.then_some(number))
            .collect();
        for number in lasting {
            self.end_finding(number, at, true);
        }
    }

    /// Forgets findings whose entries are gone.
    pub(super) fn forget_recent(&mut self) {
        let entries = &self.entries;
        let recent = &mut self.findings.recent;
        recent.retain(|_, number| entries.contains_key(number));
    }

    /// Number of findings that would be continued if they began again.
    #[cfg(test)]
    pub(super) fn findings_known(&self) -> usize {
        self.findings.recent.len()
    }

    fn begin_finding(&mut self, key: Key, finding: &Finding, began: &str, at: &str) -> Urgency {
        // the begin may be a text of the other node
        let is_valid = began
            .parse()
            .is_ok_and(|it: jiff::Timestamp| it <= time(at));
        let began = if is_valid { began } else { at };
        let known = self.findings.recent.get(&key).copied();
        let known = known.and_then(|number| match self.entry(number) {
            Some(HistoryEntry::Finding(known)) => Some((number, continued(known, began, at)?)),
            _ => None,
        });
        let (number, urgency) = match known {
            Some((number, continued)) => {
                let urgency = urgency_of(&continued);
                self.put(number, HistoryEntry::Finding(continued));
                (number, urgency)
            }
            None => {
                let number = self.add(HistoryEntry::Finding(PastFinding {
                    id: short(&finding.id),
                    node: short(&finding.node),
                    thing: short(&finding.thing),
                    text: short(&finding.text),
                    began: began.to_owned(),
                    ended: None,
                    times: 1,
                    is_end_unknown: false,
                }));
                (number, Urgency::Now)
            }
        };
        self.findings.recent.insert(key.clone(), number);
        self.findings.lasting.insert(key, number);
        urgency
    }

    fn end_finding(&mut self, number: u64, at: &str, is_end_unknown: bool) -> Urgency {
        let Some(HistoryEntry::Finding(finding)) = self.entry(number).cloned() else {
            return Urgency::None;
        };
        let ended = PastFinding {
            ended: later(Some(finding.began.clone()), Some(at.to_owned())),
            is_end_unknown,
            ..finding
        };
        let urgency = urgency_of(&ended);
        self.put(number, HistoryEntry::Finding(ended));
        urgency
    }
}

/// Returns the span of an earlier finding with the one that begins now; None if it is another span.
fn continued(known: &PastFinding, began: &str, at: &str) -> Option<PastFinding> {
    let ended = known.ended.as_deref().map(time)?;
    let never_ended = time(began) <= ended && known.is_end_unknown;
    let [since_end, since_begin] =
        [ended, time(&known.began)].map(|it| time(at).duration_since(it));
    let flaps = !known.is_end_unknown && since_end < SOON && since_begin < SPAN_MAX;
    (never_ended || flaps).then(|| PastFinding {
        ended: None,
        is_end_unknown: false,
        times: known.times.saturating_add(u32::from(!never_ended)),
        ..known.clone()
    })
}

fn urgency_of(finding: &PastFinding) -> Urgency {
    if finding.times > 1 {
        Urgency::Late
    } else {
        Urgency::Now
    }
}

fn short(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}
