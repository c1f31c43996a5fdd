//! Times for which a backup waits, by RFC 9568 section 6.1: Active_Down for an active router that is silent, the skew
//! for one that has resigned. In nanoseconds, as 10 ms intervals make skews of 39 microseconds per step of priority.

use crate::wire::vrrp::Version;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Skew_Time: longer for a lower priority, so that the best backup takes over first.
fn skew_ns(version: Version, priority: u8, interval_ns: u64) -> u64 {
    let unit_ns = match version {
        // RFC 3768 section 6.1: ((256 - Priority) / 256) seconds, whatever the interval
        Version::V2 => NS_PER_SECOND,
        Version::V3 => interval_ns,
    };
    (256 - u64::from(priority)).saturating_mul(unit_ns) / 256
}

/// Time for which a backup waits after an advert with priority 0, or another release of the group: the active router has
/// resigned, so only the skew is left (section 6.4.2).
pub fn after_resignation_ns(version: Version, priority: u8, interval_ns: u64) -> u64 {
    skew_ns(version, priority, interval_ns)
}

/// Time for which a backup waits for the active router; `interval_ns` is the advertised one.
pub fn active_down_ns(version: Version, priority: u8, interval_ns: u64, advert_loss: u32) -> u64 {
    interval_ns
        .saturating_mul(u64::from(advert_loss))
        .saturating_add(skew_ns(version, priority, interval_ns))
}
