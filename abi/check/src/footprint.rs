//! Resources of a process, to find what a plugin leaves behind.

use crate::finding::Finding;

/// Resources of a process.
pub struct Footprint {
    descriptors: usize,
    pub threads: u64,
    children: Vec<u32>,
    pub resident_kb: u64,
}

impl Footprint {
    pub fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':')
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        };
        let count = |path: &str| std::fs::read_dir(path).map_or(0, Iterator::count);
        let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
        Self {
            descriptors: count("/proc/self/fd"),
            threads: field("Threads").unwrap_or(0),
            children: children
                .split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect(),
            resident_kb: field("VmRSS").unwrap_or(0),
        }
    }

    /// A finding for each kind of which there are more than before.
    pub fn left_since(&self, before: &Self, what: &str) -> Vec<Finding> {
        let more = [
            (
                "descriptors open",
                self.descriptors.saturating_sub(before.descriptors),
            ),
            (
                "threads",
                usize::try_from(self.threads.saturating_sub(before.threads)).unwrap_or(0),
            ),
        ];
        let more = more.into_iter().filter(|(_, count)| *count > 0);
        let counted = more.map(|(of, count)| format!("{what} left {count} {of}"));
        let children = self.children.iter();
        let children = children.filter(|pid| !before.children.contains(pid));
        let children = children.map(|pid| format!("{what} left {}", child(*pid)));
        counted.chain(children).map(Finding::fail).collect()
    }
}

/// "the program systemctl", or that it has ended and nobody collected its status.
fn child(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map_or("?", |value| value.trim())
    };
    let name = field("Name:");
    match field("State:").starts_with('Z') {
        true => format!("the exit status of {name}, which it has not collected"),
        false => format!("the program {name} running"),
    }
}
