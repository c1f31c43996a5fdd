//! Callbacks that fail: what the host is told of them, so that a state and no flood comes of it.

/// Least time between two reports that a callback fails, and from its last failure to the success that ends it: one that
/// fails for every second message fails.
const PACE_NS: u64 = 1_000_000_000;

/// Callbacks whose last result that counts is a failure.
#[derive(Debug, Default)]
pub(super) struct Failing(Vec<Failed>);

#[derive(Debug)]
struct Failed {
    callback: &'static str,
    /// Time of its last failure.
    at_ns: u64,
    told_ns: u64,
}

impl Failing {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes a failure. True if the host is to be told.
    pub(super) fn note(&mut self, now_ns: u64, callback: &'static str) -> bool {
        let Some(failed) = self.0.iter_mut().find(|it| it.callback == callback) else {
            self.0.push(Failed {
                callback,
                at_ns: now_ns,
                told_ns: now_ns,
            });
            return true;
        };
        failed.at_ns = now_ns;
        let is_due = now_ns.saturating_sub(failed.told_ns) >= PACE_NS;
        if is_due {
            failed.told_ns = now_ns;
        }
        is_due
    }

    /// Notes a success. True if it ends what the host was told.
    pub(super) fn end(&mut self, now_ns: u64, callback: &str) -> bool {
        let is_over =
            |it: &Failed| it.callback == callback && now_ns.saturating_sub(it.at_ns) >= PACE_NS;
        let Some(place) = self.0.iter().position(is_over) else {
            return false;
        };
        self.0.swap_remove(place);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_failure_is_told_at_once_and_then_once_a_second() {
        let mut failing = Failing::default();
        assert!(failing.note(0, "timer"));
        assert!(failing.note(0, "message"), "another one");
        let told = (1..=300).filter(|n| failing.note(n * S / 100, "timer"));
        assert_eq!(told.count(), 3);
    }

    #[test]
    fn a_success_ends_it_if_the_last_failure_is_a_second_ago() {
        let mut failing = Failing::default();
        assert!(!failing.end(0, "message"), "it never failed");
        assert!(failing.note(0, "message"));
        // every second message fails
        for n in 0..100 {
            assert!(!failing.end(n * S / 10 + 1, "message"));
            failing.note(n * S / 10 + 2, "message");
        }
        assert!(!failing.end(11 * S, "timer"));
        assert!(failing.end(11 * S, "message"));
        assert!(!failing.end(12 * S, "message"), "told once");
        assert!(failing.note(12 * S, "message"), "and from the beginning");
    }
}
