//! Load counted by the kernel: use of the connection table, and waiting time.

use super::{Root, line, number};
use crate::config::{Pressure, Resource};
use crate::engine::Finding;

/// None if the kernel tracks no connections.
pub(super) fn connections(root: &Root, max_used: u64) -> Option<Finding> {
    let read = |name: &str| {
        let path = root.join(&format!("/proc/sys/net/netfilter/nf_conntrack_{name}"));
        u64::try_from(number(&path)?).ok()
    };
    let (count, max) = (read("count")?, read("max")?);
    // 0: without a limit
    let percent = count.saturating_mul(100).checked_div(max)?;
    let words = format!("{count} of {max} connections, {percent} %");
    Some(held(percent < max_used, words, max_used))
}

/// None if the kernel does not count it.
pub(super) fn pressure(root: &Root, pressure: Pressure) -> Option<Finding> {
    let (file, what) = match pressure.resource {
        Resource::Cpu => ("cpu", "a processor"),
        Resource::Memory => ("memory", "memory"),
    };
    let text = line(&root.join(&format!("/proc/pressure/{file}")))?;
    let percent = some_avg60(&text)?;
    let words = format!("processes waited for {what} in {percent} % of the last minute");
    Some(held(percent < pressure.max, words, pressure.max))
}

fn held(is_held: bool, words: String, max: u64) -> Finding {
    match is_held {
        true => Finding::good(words),
        false => Finding::failed(format!("{words}, the limit is {max} %")),
    }
}

/// Whole percent of "some avg10=1.00 avg60=2.50 avg300=0.00 total=7".
fn some_avg60(text: &str) -> Option<u64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let mut fields = some.split(' ');
    let avg60 = fields.find_map(|field| field.strip_prefix("avg60="))?;
    avg60.split('.').next()?.parse().ok()
}
