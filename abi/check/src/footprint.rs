//! Resources of a worker, to find what a plugin leaves behind.

use std::time::Duration;

use crate::finding::Finding;

/// Growth of memory that is no finding, as the allocator keeps some.
const GROWTH_KB_MAX: u64 = 1024;
/// Looks until what is on its way has ended, and the time between them.
const GRACE: u32 = 40;
const STEP: Duration = Duration::from_millis(25);

/// Resources of a process.
pub struct Footprint {
    /// None if they may not be counted, as by who is not root.
    descriptors: Option<usize>,
    resident_kb: u64,
}

impl Footprint {
    pub fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|it| it.split_whitespace().next()?.parse().ok());
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"));
        Self {
            descriptors: descriptors.ok().map(Iterator::count),
            resident_kb: resident.unwrap_or(0),
        }
    }

    /// A finding for each kind of which there is more than before, and stays.
    pub fn left_since(before: &Self, pid: u32, what: &str) -> Vec<Finding> {
        let is_less = |now: &Self| now.descriptors <= before.descriptors;
        let now = eventually(|| Some(Self::of(pid)).filter(is_less));
        let now = now.unwrap_or_else(|| Self::of(pid));
        now.more_than(before, what)
    }

    fn more_than(&self, before: &Self, what: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let (Some(now), Some(then)) = (self.descriptors, before.descriptors) {
            if now > then {
                let count = now - then;
                findings.push(Finding::fail(format!(
                    "{what} left {count} descriptors open"
                )));
            }
        }
        let growth_kb = self.resident_kb.saturating_sub(before.resident_kb);
        if growth_kb > GROWTH_KB_MAX {
            findings.push(Finding::fail(format!(
                "{what} left {growth_kb} kB of memory behind"
            )));
        }
        findings
    }
}

/// Looks until there is something; None if there is nothing after a while.
fn eventually<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    (0..GRACE).find_map(|at| {
        if at > 0 {
            std::thread::sleep(STEP);
        }
        look()
    })
}

/// Programs that a process runs.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    let children = tasks.flatten().flatten().filter_map(|task| {
        let children = std::fs::read_to_string(task.path().join("children")).ok()?;
        Some(
            children
                .split_whitespace()
                .filter_map(|it| it.parse().ok())
                .collect::<Vec<u32>>(),
        )
    });
    children.flatten().collect()
}

/// "the program systemctl running", if it does, and does not end by itself.
pub fn still_running(pid: u32) -> Option<String> {
    eventually(|| running(pid).is_none().then_some(()));
    running(pid)
}

fn running(pid: u32) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map_or("?", |value| value.trim())
    };
    let runs = !field("State:").starts_with('Z');
    runs.then(|| format!("the program {} running", field("Name:")))
}
