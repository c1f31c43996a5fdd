//! Counts callbacks that took longer than allowed. They are logged once an hour, because a busy machine has hundreds of
//! them.

const HOUR_NS: u64 = 3_600 * 1_000_000_000;

/// Slow callbacks since the last log line.
#[derive(Debug, Default)]
pub struct Slow {
    /// Number of slow callbacks since the plugin was loaded.
    total: u64,
    count: u64,
    worst: Option<(u64, String)>,
    /// Time of the last log line.
    told_ns: Option<u64>,
}

impl Slow {
    /// Number of slow callbacks since the plugin was loaded.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Counts a slow callback. Returns a log line if one is due.
    pub fn note(&mut self, now_ns: u64, callback: &str, took_ns: u64) -> Option<String> {
        self.total += 1;
        self.count += 1;
        if self.worst.as_ref().is_none_or(|worst| took_ns > worst.0) {
            self.worst = Some((took_ns, callback.to_owned()));
        }
        let told_ns = self.told_ns;
        if told_ns.is_some_and(|told_ns| now_ns.saturating_sub(told_ns) < HOUR_NS) {
            return None;
        }
        self.told_ns = Some(now_ns);
        let count = std::mem::take(&mut self.count);
        let (took_ns, callback) = self.worst.take()?;
        let worst = took_ns / 1_000_000;
        Some(match count {
            1 => format!("{callback} took {worst} ms, limit is 50 ms"),
            _ => {
                format!("{count} calls took longer than the limit of 50 ms, {callback} {worst} ms")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_then_all_of_an_hour_in_a_line() {
        const MS: u64 = 1_000_000;
        let mut slow = Slow::default();
        let first = slow.note(0, "timer", 57 * MS);
        assert_eq!(first.as_deref(), Some("timer took 57 ms, limit is 50 ms"));
        for minute in 1..60 {
            let (took, callback) = if minute == 7 {
                (900, "fd")
            } else {
                (60, "timer")
            };
            assert_eq!(slow.note(minute * 60_000 * MS, callback, took * MS), None);
        }
        let line = "60 calls took longer than the limit of 50 ms, fd 900 ms";
        assert_eq!(slow.note(HOUR_NS, "timer", 51 * MS).as_deref(), Some(line));
        assert_eq!(slow.total(), 61);
    }
}
