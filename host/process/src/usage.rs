//! Reads the CPU time of a process from /proc.

use std::time::Duration;

use super::proc::{self, CachedProcFile};

/// CPU time of a process's first thread, the one that answers pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Time for which the thread ran.
    ran: Duration,
    /// Time for which the thread was ready to run, without a CPU.
    waited: Duration,
    /// True if the thread runs, is ready to run, or waits for a disk.
    is_busy: bool,
}

impl Usage {
    /// Reads the usage; None if the kernel does not report it.
    pub fn of(pid: u32) -> Option<Self> {
        Self::parse(&proc::text(pid, "stat")?, &proc::text(pid, "schedstat")?)
    }

    /// Reads the times without the state: the kernel needs longer to report the state than the times.
    fn times(schedstat: &str) -> Option<Self> {
        let mut times = schedstat.split_ascii_whitespace();
        let mut time = || Some(Duration::from_nanos(times.next()?.parse().ok()?));
        Some(Self {
            ran: time()?,
            waited: time()?,
            is_busy: false,
        })
    }

    #[cfg(test)]
    pub fn new(ran_ms: u64, waited_ms: u64, is_busy: bool) -> Self {
        Self {
            ran: Duration::from_millis(ran_ms),
            waited: Duration::from_millis(waited_ms),
            is_busy,
        }
    }

    // Reads both files. The process's name in parentheses may contain anything.
    fn parse(stat: &str, schedstat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(") ")?;
        Some(Self {
            is_busy: rest.starts_with(['R', 'D']),
            ..Self::times(schedstat)?
        })
    }

    /// Part of `passed`, the time since `before`, that the process could use. The kernel counts a wait only when it
    /// ends, so for a process that waits now only its running time is certain.
    pub fn own_since(self, before: Self, passed: Duration) -> Duration {
        let own = if self.is_busy {
            self.ran.saturating_sub(before.ran)
        } else {
            passed.saturating_sub(self.waited.saturating_sub(before.waited))
        };
        own.min(passed)
    }
}

/// CPU time of a process that is checked every second.
#[derive(Debug)]
pub struct UsageReader {
    pid: u32,
    times: CachedProcFile,
}

impl UsageReader {
    pub fn new(pid: u32) -> Self {
        let times = CachedProcFile::new(pid, "schedstat");
        Self { pid, times }
    }

    /// Present usage; None if the kernel does not report it. The state of the process is read only if an answer
    /// `is_late`.
    pub fn read(&mut self, is_late: bool) -> Option<Usage> {
        let times = self.times.text()?;
        if is_late {
            Usage::parse(&proc::text(self.pid, "stat")?, &times)
        } else {
            Usage::times(&times)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn usage(ran_ms: u64, waited_ms: u64, state: &str) -> Usage {
        let stat = format!("7 (a) R (b) {state} 1 7 7");
        let schedstat = format!("{}000000 {}000000 12\n", ran_ms, waited_ms);
        Usage::parse(&stat, &schedstat).unwrap()
    }

    #[test]
    fn who_sleeps_or_spins_has_all_the_time_and_who_waits_has_what_it_ran() {
        let before = usage(100, 50, "S");
        for (now, own_ms) in [
            // asleep: the process hangs in a call, or has nothing to do
            (usage(100, 50, "S"), 1000),
            (usage(100, 950, "S"), 100),
            (usage(110, 5_000, "S"), 0),
            // the process was stopped by a signal
            (usage(100, 50, "T"), 1000),
            // an endless loop, alone and with other processes
            (usage(1_100, 50, "R"), 1000),
            (usage(150, 50, "R"), 50),
            (usage(150, 900, "R"), 50),
            // the process waits for a disk
            (usage(100, 50, "D"), 0),
        ] {
            let own = now.own_since(before, SECOND);
            assert_eq!(own.as_millis(), own_ms, "{now:?}");
        }
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_none() {
        assert_eq!(Usage::parse("", "1 2 3"), None);
        assert_eq!(Usage::parse("7 (a) S 1", "0"), None);
        assert_eq!(Usage::parse("7 (a) S 1", "x y z"), None);
    }

    /// Reads the real file of this process: its first thread exists as long as the process does.
    #[test]
    fn a_process_that_is_there_has_a_usage() {
        assert!(Usage::of(std::process::id()).is_some());
        assert!(Usage::of(u32::MAX).is_none());
    }

    #[test]
    fn a_gauge_tells_what_is_so_at_each_look() {
        let looping = ["-c", "while :; do :; done"];
        let mut child = std::process::Command::new("sh")
            .args(looping)
            .spawn()
            .expect("a shell");
        let mut usage_reader = UsageReader::new(child.id());
        let before = usage_reader.read(false).expect("it lives");
        assert!(!before.is_busy, "its state is not asked for");
        let begun = std::time::Instant::now();
        let is_later = |it: Usage| it.ran > before.ran && it.is_busy;
        while !usage_reader.read(true).is_some_and(is_later) {
            assert!(begun.elapsed() < 20 * SECOND);
        }
        child.kill().expect("our own child");
        child.wait().expect("our own child");
        assert_eq!(usage_reader.read(false), None, "it is gone");
        assert_eq!(UsageReader::new(u32::MAX).read(false), None);
    }
}
