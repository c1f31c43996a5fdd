//! Load as counted by the kernel: use of the connection table, and waiting time.

use super::{Root, line_there, number_there};
use crate::config::{Pressure, Resource};
use crate::engine::Finding;

/// Finding about the connection table; None if the kernel tracks no connections.
pub(super) fn connections(root: &Root, max_used: u64) -> Result<Option<Finding>, String> {
    let read = |name: &str| -> Result<Option<u64>, String> {
        let path = format!("/proc/sys/net/netfilter/nf_conntrack_{name}");
        let number = number_there(&root.join(&path)).map_err(|why| format!("{path} {why}"))?;
        Ok(number.and_then(|number| u64::try_from(number).ok()))
    };
    let judge = |count: u64, max: u64| {
        // 0 means no limit
        let percent = count.saturating_mul(100).checked_div(max)?;
        let words = format!("{count} of {max} connections, {percent} %");
        Some(held(percent < max_used, words, max_used))
    };
    let (count, max) = (read("count")?, read("max")?);
    Ok(count.zip(max).and_then(|(count, max)| judge(count, max)))
}

/// Finding about waiting time; None if the kernel does not count it.
pub(super) fn pressure(root: &Root, pressure: Pressure) -> Result<Option<Finding>, String> {
    let (file, what) = match pressure.resource {
        Resource::Cpu => ("cpu", "a processor"),
        Resource::Memory => ("memory", "memory"),
    };
    let path = format!("/proc/pressure/{file}");
    let text = line_there(&root.join(&path)).map_err(|why| format!("{path} {why}"))?;
    let judge = |percent: u64| {
        let words = format!("processes waited for {what} in {percent} % of the last minute");
        held(percent < pressure.max, words, pressure.max)
    };
    Ok(text.as_deref().and_then(some_avg60).map(judge))
}

fn held(is_held: bool, words: String, max: u64) -> Finding {
    if is_held {
        Finding::good(words)
    } else {
        Finding::failed(format!("{words}, the limit is {max} %"))
    }
}

/// Whole percent in a line such as "some avg10=1.00 avg60=2.50 avg300=0.00 total=7".
fn some_avg60(text: &str) -> Option<u64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let mut fields = some.split(' ');
    let avg60 = fields.find_map(|field| field.strip_prefix("avg60="))?;
    avg60.split('.').next()?.parse().ok()
}
