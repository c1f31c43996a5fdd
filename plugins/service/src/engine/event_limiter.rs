//! Events of one item, limited in number for each topic.

use std::collections::BTreeMap;

const EVERY_NS: u64 = 60_000_000_000;

/// Topics of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Died,
    Others,
    Failed,
    Missing,
    Killed,
    Recovered,
    UnknownGroup,
    TestFailed,
    Tested,
}

/// Time of the last event of each topic, and the number suppressed since.
#[derive(Clone, Debug, Default)]
pub(super) struct EventLimiter {
    last: BTreeMap<Topic, (u64, u64)>,
}

impl EventLimiter {
    /// Returns the event, unless one of the same topic was reported within a minute. After suppressed ones it has their
    /// number.
    pub(super) fn limit(&mut self, now_ns: u64, topic: Topic, text: String) -> Option<String> {
        let (text, entry) = match self.last.get_mut(&topic) {
            Some((last_ns, left_out)) if now_ns.saturating_sub(*last_ns) < EVERY_NS => {
                *left_out = left_out.saturating_add(1);
                return None;
            }
            Some((_, 0)) | None => (text, (now_ns, 0)),
            Some((_, left_out)) => (
                format!("{text} ({left_out} suppressed before)"),
                (now_ns, 0),
            ),
        };
        self.last.insert(topic, entry);
        Some(text)
    }
}
