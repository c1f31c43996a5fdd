//! Limits the time that a process may take for one task. Time that it spent waiting for a CPU or a disk does not count,
//! for a while: on an overloaded machine all tasks take longer.

use std::time::{Duration, Instant};

use super::Usage;

/// Maximum own time for a task, similar to the limit of a process that does not answer its pings.
const OWN_MAX: Duration = Duration::from_secs(3);
/// Maximum time for a task, whatever the cause.
const LONGEST: Duration = Duration::from_secs(30);
/// Bounds of the time between two looks. A wait that has ended is known; one that lasts hides what was before it.
const LOOK_MAX: Duration = Duration::from_secs(1);
const LOOK_MIN: Duration = Duration::from_millis(50);

/// Time that a process has taken for one task.
#[derive(Debug)]
pub struct TaskTimer {
    begun: Instant,
    checked: Instant,
    /// Usage at the last look, if the kernel reports it.
    usage: Option<Usage>,
    own: Duration,
}

impl TaskTimer {
    /// Begins the task. `usage` is the present one.
    pub fn new(now: Instant, usage: Option<Usage>) -> Self {
        Self {
            begun: now,
            checked: now,
            usage,
            own: Duration::ZERO,
        }
    }

    /// Time of the next look.
    pub fn next_look(&self) -> Instant {
        let left = OWN_MAX.saturating_sub(self.own);
        let next = self.checked + left.clamp(LOOK_MIN, LOOK_MAX);
        next.min(self.begun + LONGEST)
    }

    /// Looks at the process. Returns a sentence if it took too long.
    pub fn check(&mut self, now: Instant, usage: Option<Usage>) -> Option<String> {
        // this process may have been stopped itself
        let passed = now.saturating_duration_since(self.checked).min(LOOK_MAX);
        let used = self.usage.zip(usage);
        self.own += used.map_or(passed, |(last, now)| now.own_since(last, passed));
        (self.checked, self.usage) = (now, usage);
        if self.own >= OWN_MAX {
            return Some(format!("took longer than {} s", OWN_MAX.as_secs()));
        }
        let is_over = now.saturating_duration_since(self.begun) >= LONGEST;
        is_over.then(|| {
            let longest = LONGEST.as_secs();
            format!(
                "took longer than {longest} s, as it waited for a processor or a disk: try again"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds until the process takes too long, and the sentence, if it is looked at whenever it is due.
    fn spent(usage: impl Fn(u64) -> Option<Usage>) -> (u64, String) {
        let begun = Instant::now();
        let mut time = TaskTimer::new(begun, usage(0));
        loop {
            let now = time.next_look();
            let passed = now - begun;
            let passed_ms = u64::try_from(passed.as_millis()).unwrap();
            if let Some(why) = time.check(now, usage(passed_ms)) {
                return (passed.as_secs(), why);
            }
        }
    }

    #[test]
    fn who_hangs_or_computes_takes_too_long_after_three_seconds() {
        for usage in [
            |_| None,
            |_| Some(Usage::new(5, 5, false)),
            |passed_ms| Some(Usage::new(passed_ms, 0, true)),
        ] {
            let usage: fn(u64) -> Option<Usage> = usage;
            assert_eq!(spent(usage), (3, "took longer than 3 s".to_owned()));
        }
    }

    #[test]
    fn who_waits_for_a_processor_or_a_disk_has_longer_but_not_for_ever() {
        let (passed_s, why) = spent(|passed_ms| Some(Usage::new(passed_ms / 20, 0, true)));
        assert_eq!(passed_s, 30);
        assert!(why.contains("waited for a processor or a disk"), "{why}");
        // a process that gets a third of a processor
        let (passed_s, why) = spent(|passed_ms| Some(Usage::new(passed_ms / 3, 0, true)));
        assert_eq!((passed_s, why.as_str()), (9, "took longer than 3 s"));
    }

    #[test]
    fn while_nobody_looks_little_time_counts() {
        let begun = Instant::now();
        let usage = Some(Usage::new(5, 5, false));
        let mut time = TaskTimer::new(begun, usage);
        assert_eq!(time.check(begun + Duration::from_secs(20), usage), None);
    }
}
