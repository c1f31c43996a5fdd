//! The boot of this machine: its id, and ends of a time that outlive a process but no boot.

use std::time::Duration;

use crate::monotonic::now_ns;

/// The kernel's id of this boot. Empty if it has none.
pub fn id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.unwrap_or_default().trim().to_owned()
}

/// Text of the end of a time from now on: the boot's id, and its monotonic clock in ns.
pub fn end_after(time: Duration) -> String {
    let time_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    format!("{} {}\n", id(), now_ns().saturating_add(time_ns))
}

/// Time until the end that such a text tells, zero after it; None if it is of another boot, or no such text.
pub fn left(end: &str) -> Option<Duration> {
    left_of(end, &id(), now_ns())
}

fn left_of(end: &str, boot: &str, now_ns: u64) -> Option<Duration> {
    let (of, until_ns) = end.trim().split_once(' ')?;
    let until_ns: u64 = until_ns.parse().ok()?;
    (of == boot).then(|| Duration::from_nanos(until_ns.saturating_sub(now_ns)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_ends_by_its_clock_and_with_the_boot() {
        let text = end_after(Duration::from_secs(60));
        let (boot, now_ns) = (id(), now_ns());
        let left = left_of(&text, &boot, now_ns).expect("of this boot");
        assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(50));
        let later_ns = now_ns + 61_000_000_000;
        assert_eq!(left_of(&text, &boot, later_ns), Some(Duration::ZERO));
        assert_eq!(left_of(&text, "another", now_ns), None);
        for text in ["", "1", &format!("{boot} soon")] {
            assert_eq!(left_of(text, &boot, now_ns), None, "{text}");
        }
    }
}
