//! Counters of one path.

use spared_sdk::Value;

use super::{Heard, OpenedPart};
use crate::engine::Table;
use crate::error::HeartbeatDiscard;

/// Counters of heartbeats on a path. A heartbeat counts once for each of its parts.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    pub sent: u64,
    /// Heartbeats that the system refused: no carrier, no neighbour, no room.
    pub send_errors: u64,
    /// Authentic and new on this path.
    pub received: u64,
    /// Received ones that another path had delivered before.
    pub copies: u64,
    dropped: [u64; HeartbeatDiscard::ALL.len()],
    /// Time of the newest authentic one.
    pub heard_ns: Option<u64>,
}

impl Counters {
    pub fn count_sent(&mut self, done: bool) {
        if done {
            self.sent += 1;
        } else {
            self.send_errors += 1;
        }
    }

    /// Counts a part, and passes its groups on.
    pub fn take(
        &mut self,
        now_ns: u64,
        mut opened: OpenedPart<'_, '_>,
        pass_on: &mut impl FnMut(&Heard<'_>),
    ) {
        let mut is_heard = false;
        while let Some(heard) = opened.next_group() {
            is_heard = true;
            pass_on(&heard);
        }
        if opened.has_unknown() {
            self.count_dropped(HeartbeatDiscard::UnknownGroup);
        }
        if !opened.counts() {
            return self.count_dropped(HeartbeatDiscard::SecondRun);
        }
        if !is_heard {
            return;
        }
        self.received += 1;
        self.copies += u64::from(!opened.is_any_new());
        self.heard_ns = Some(now_ns);
    }

    pub fn count_dropped(&mut self, reason: HeartbeatDiscard) {
        if let Some(count) = self.dropped.get_mut(reason as usize) {
            *count += 1;
        }
    }

    pub fn dropped(&self, reason: HeartbeatDiscard) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or(0)
    }

    /// Returns true if anything was sent or received.
    pub fn is_used(&self) -> bool {
        self.sent + self.send_errors + self.received + self.dropped.iter().sum::<u64>() > 0
    }

    /// Returns the rows of a path, with `name` as prefix.
    pub fn rows(&self, name: &str, now_ns: u64, table: Table, rows: &mut Vec<(String, Value)>) {
        if table != Table::Counters {
            if let Some(age_ns) = self.age_ns(now_ns) {
                rows.push((
                    format!("{name}.heartbeat_age_ms"),
                    Value::Number(age_ns / 1_000_000),
                ));
            }
        }
        let mut row =
            |key: &str, value| rows.push((format!("{name}.{key}"), Value::Counter(value)));
        for (key, value) in [
            ("heartbeats_sent", self.sent),
            ("heartbeats_received", self.received),
            ("heartbeats_copies", self.copies),
            ("heartbeats_send_errors", self.send_errors),
        ] {
            let always = table == Table::Counters
                || matches!(key, "heartbeats_sent" | "heartbeats_received");
            if always || value > 0 {
                row(key, value);
            }
        }
        for &reason in HeartbeatDiscard::ALL {
            let count = self.dropped(reason);
            if table == Table::Counters || count > 0 {
                row(&format!("heartbeats_dropped.{}", reason.name()), count);
            }
        }
    }

    /// Returns the age of the newest one.
    pub fn age_ns(&self, now_ns: u64) -> Option<u64> {
        self.heard_ns.map(|at_ns| now_ns.saturating_sub(at_ns))
    }
}
