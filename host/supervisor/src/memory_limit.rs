//! Memory of workers: reports one that comes near its limit, and names the limit as the reason if a worker ended there.

use spared_process::proc;

use super::Supervisor;
use super::worker::Running;

/// Percentage of the limit that counts as near. From there a warning is logged, and the limit is the reason of an end.
const NEAR_PERCENT: u64 = 88;
const MIB: u64 = 1 << 20;
/// Seconds between two checks: the kernel takes longer to report the memory of a process than its times.
const EVERY: u8 = 5;

/// Memory of a worker, compared with its limit.
#[derive(Debug, Default)]
pub(super) struct MemoryLimit {
    /// Limit in bytes; None for a plugin that runs as root.
    limit: Option<u64>,
    /// Number of kills in the control group before the worker began.
    kills: u64,
    /// True if an allocation failed: the standard library of Rust logs that.
    was_refused: bool,
    was_near: bool,
    /// Seconds until the next check.
    due: u8,
}

impl MemoryLimit {
    pub(super) fn new(limit: Option<u64>, kills: u64) -> Self {
        Self {
            limit,
            kills,
            ..Self::default()
        }
    }

    /// Memory limit in MiB; None without a limit.
    pub(super) fn max_mib(&self) -> Option<u64> {
        self.limit.map(|limit| limit / MIB)
    }

    pub(super) fn handle_line(&mut self, line: &str) {
        self.was_refused |= line.starts_with("memory allocation of ");
    }

    /// Returns true if the memory has to be checked in this second. A worker is reported only once.
    fn is_due(&mut self) -> bool {
        let is_due = self.due == 0;
        self.due = self.due.checked_sub(1).unwrap_or(EVERY - 1);
        is_due && !self.was_near && self.limit.is_some()
    }

    /// Returns true if the worker came near its limit for the first time.
    fn look(&mut self, used: u64) -> bool {
        let is_near = self.is_near(used) && !self.was_near;
        self.was_near |= is_near;
        is_near
    }

    fn is_near(&self, bytes: u64) -> bool {
        let share = |limit: u64| limit / 100 * NEAR_PERCENT;
        self.limit.is_some_and(|limit| bytes >= share(limit))
    }

    /// Text that is added to the exit reason if the limit is the cause.
    fn limit_reason(&self, name: &str, peak: u64, kills: u64) -> Option<String> {
        let limit = self.limit? / MIB;
        let is_full = self.was_refused || kills > self.kills || self.is_near(peak);
        is_full.then(|| {
            format!(": it reached its limit of {limit} MiB of memory (memory_mib in {name}.toml)")
        })
    }
}

/// Memory that a worker uses now, in MiB.
pub(super) fn used_mib(pid: u32) -> u64 {
    used(pid) / MIB
}

fn used(pid: u32) -> u64 {
    proc::text(pid, "status").map_or(0, |text| data_of(&text))
}

/// Bytes that only this process has and may write, to which the limit applies.
fn data_of(status: &str) -> u64 {
    let size = |line: &str| {
        line.strip_prefix("VmData:")?
            .trim()
            .strip_suffix(" kB")?
            .parse()
            .ok()
    };
    status.lines().find_map(size).unwrap_or(0_u64) * 1024
}

impl Supervisor {
    pub(super) fn look_at_memory(&mut self, name: &str) {
        let Some(running) = self.running(name) else {
            return;
        };
        if !running.memory.is_due() {
            return;
        }
        let used = used(running.worker.pid());
        if running.memory.look(used) {
            let used = used / MIB;
            let limit = running.memory.max_mib().unwrap_or_default();
            log::warn!(
                "{name} has {used} of {limit} MiB of memory: raise memory_mib in {name}.toml if it \
                 needs more"
            );
        }
    }

    /// Number of kills in the control group of a worker so far.
    pub(super) fn kills(&self, name: &str) -> u64 {
        let Ok(groups) = &self.about.groups else {
            return 0;
        };
        let events = std::fs::read_to_string(groups.of(name).join("memory.events"));
        let events = events.unwrap_or_default();
        let count = |line: &str| line.strip_prefix("oom_kill ")?.parse().ok();
        events.lines().find_map(count).unwrap_or(0)
    }

    /// Exit reason of a worker, with its memory limit if that is the cause.
    pub(super) fn with_memory(&self, name: &str, running: &Running, why: String) -> String {
        let (peak, kills) = (running.worker.peak(), self.kills(name));
        let limit_reason = running.memory.limit_reason(name, peak, kills);
        why + &limit_reason.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_blamed_where_it_was_reached_and_only_there() {
        let mut memory = MemoryLimit::new(Some(256 * MIB), 1);
        assert_eq!(memory.limit_reason("x", 200 * MIB, 1), None);
        let text = ": it reached its limit of 256 MiB of memory (memory_mib in x.toml)";
        assert_eq!(
            memory.limit_reason("x", 250 * MIB, 1).as_deref(),
            Some(text)
        );
        assert_eq!(memory.limit_reason("x", 0, 2).as_deref(), Some(text));
        memory.handle_line("memory allocation of 4096 bytes failed");
        assert_eq!(memory.limit_reason("x", 0, 1).as_deref(), Some(text));
        let root = MemoryLimit::new(None, 0);
        assert_eq!(root.limit_reason("x", u64::MAX, 1), None);
    }

    #[test]
    fn a_worker_is_looked_at_every_five_seconds_until_it_was_near_its_limit() {
        let mut memory = MemoryLimit::new(Some(256 * MIB), 0);
        let dues =
            |memory: &mut MemoryLimit| -> Vec<bool> { (0..11).map(|_| memory.is_due()).collect() };
        let looks = dues(&mut memory)
            .into_iter()
            .enumerate()
            .filter(|(_, due)| *due);
        assert_eq!(looks.map(|(at, _)| at).collect::<Vec<_>>(), [0, 5, 10]);
        assert!(memory.look(250 * MIB) && !memory.look(251 * MIB));
        assert!(!dues(&mut memory).contains(&true));
        assert!(!dues(&mut MemoryLimit::new(None, 0)).contains(&true));
    }

    #[test]
    fn data_is_what_the_limit_is_about() {
        assert_eq!(data_of("VmPeak:\t 9 kB\nVmData:\t   3 kB\n"), 3072);
        assert_eq!(data_of("State: Z\n"), 0);
    }
}
