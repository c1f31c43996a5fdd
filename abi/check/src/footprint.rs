//! Resources of a process, to find what a plugin leaves behind.

use crate::finding::Finding;

/// Resources of a process.
pub struct Footprint {
    descriptors: usize,
    pub threads: u64,
    children: usize,
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
            children: children.split_whitespace().count(),
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
            ("children", self.children.saturating_sub(before.children)),
        ];
        more.into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(of, count)| Finding::fail(format!("{what} left {count} {of}")))
            .collect()
    }
}
