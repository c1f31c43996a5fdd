//! Checks abilities of the kernel: fence, address protocols, real-time priority, resolution of its tick.

use std::time::Duration;

use rustix::time::{ClockId, clock_getres};
use spared_config::Host;

use super::{Finding, Severity, System};

/// First kernel versions with netdev chains on egress, and with IFA_PROTO.
const FENCE: (u32, u32) = (5, 16);
const ADDRESS_PROTOCOL: (u32, u32) = (5, 18);

/// Bit of CAP_SYS_NICE in CapEff.
const SYS_NICE: u64 = 1 << 23;

/// Longest tick with which an advert interval of 10 ms leaves enough time for a fence lease.
const FINE_TICK: Duration = Duration::from_millis(6);

pub fn examine(system: &System) -> Vec<Finding> {
    let version = system.read("proc/sys/kernel/osrelease").unwrap_or_default();
    let tick = clock_getres(ClockId::RealtimeCoarse);
    let tick = Duration::new(
        tick.tv_sec.try_into().unwrap_or(0),
        tick.tv_nsec.try_into().unwrap_or(0),
    );
    old(&version)
        .into_iter()
        .chain(long_tick(tick))
        .chain(no_real_time(system))
        .collect()
}

/// Warning if the fence is switched off by the configuration.
pub fn fence_off(host: &Host) -> Option<Finding> {
    (!host.fenced).then(|| {
        let sentence = "fence is off: a hung daemon keeps its addresses";
        let fix =
            "set fence = \"required\" in spared.toml, if the kernel has nftables' family netdev";
        Finding::new("fence-off", Severity::Warning, sentence).fix(fix)
    })
}

fn old(release: &str) -> Vec<Finding> {
    let Some(version) = version(release) else {
        return Vec::new();
    };
    let fence = (version < FENCE).then(|| {
        let sentence = format!(
            "kernel {release} has no nftables egress hook (5.16 has): no fence, a hung daemon keeps its addresses"
        );
        Finding::new("kernel-fence", Severity::Error, sentence)
    });
    let protocol = (version < ADDRESS_PROTOCOL).then(|| {
        let sentence = format!(
            "kernel {release} keeps no protocol with an address (5.18 does): after a crash spared cannot tell \
             its addresses from others"
        );
        Finding::new("kernel-address-protocol", Severity::Error, sentence)
    });
    let newer = "install a newer kernel (Debian 12 has 6.1)";
    fence
        .into_iter()
        .chain(protocol)
        .map(|finding| finding.fix(newer))
        .collect()
}

/// Parses "6.1.0-18-amd64" as (6, 1).
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

// Reports a long tick. A lease is at least an interval plus 2 ticks and at most 3 intervals less 1 tick, so the
// interval is at least 1.5 ticks.
fn long_tick(tick: Duration) -> Option<Finding> {
    (tick > FINE_TICK).then(|| {
        let sentence = format!(
            "the kernel's tick is {} ms: advert intervals below {} ms leave the fence no room and are refused",
            tick.as_millis(),
            (tick * 3 / 2).as_millis()
        );
        Finding::new("tick", Severity::Note, sentence).fix("a kernel with CONFIG_HZ=250 or more")
    })
}

fn no_real_time(system: &System) -> Option<Finding> {
    let why = real_time(system).err()?;
    let sentence = format!(
        "no real-time priority ({why}): on a busy node adverts are sent late, and intervals below 100 ms may flap"
    );
    let fix = "run spared as a system service, not in a container without CAP_SYS_NICE";
    Some(Finding::new("real-time", Severity::Warning, sentence).fix(fix))
}

fn real_time(system: &System) -> Result<(), &'static str> {
    if system.setting("kernel/sched_rt_runtime_us") == Some(0) {
        return Err("kernel.sched_rt_runtime_us is 0");
    }
    let limits = system.read("proc/self/limits").unwrap_or_default();
    if may_by_limit(&limits) {
        return Ok(());
    }
    let map = system.read("proc/self/uid_map").unwrap_or_default();
    if !map.split_whitespace().eq(["0", "0", "4294967295"]) {
        return Err("inside a user namespace");
    }
    let status = system.read("proc/self/status").unwrap_or_default();
    if effective(&status) & SYS_NICE == 0 {
        return Err("CAP_SYS_NICE is missing");
    }
    Ok(())
}

fn may_by_limit(limits: &str) -> bool {
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max realtime priority"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3));
    soft.is_some_and(|soft| soft != "0")
}

fn effective(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Root;

    fn ids(findings: &[Finding]) -> Vec<&'static str> {
        findings.iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn an_old_kernel_is_told_what_it_lacks() {
        assert_eq!(
            ids(&old("5.10.0-28-amd64")),
            ["kernel-fence", "kernel-address-protocol"]
        );
        assert_eq!(ids(&old("5.17")), ["kernel-address-protocol"]);
        assert_eq!(old("6.1.0-18-amd64"), []);
        assert_eq!(old("who knows"), []);
    }

    #[test]
    fn a_coarse_tick_names_the_smallest_interval() {
        assert!(long_tick(Duration::from_millis(4)).is_none());
        let found = long_tick(Duration::from_millis(10)).expect("100 Hz");
        assert!(found.sentence.contains("below 15 ms"), "{found}");
    }

    #[test]
    fn without_the_capability_real_time_is_missed() {
        let root = Root::new("realtime");
        root.write(
            "proc/self/limits",
            "Max realtime priority     0                    0                    \n",
        );
        root.write("proc/self/uid_map", "         0          0 4294967295\n");
        root.write("proc/self/status", "Name:\tx\nCapEff:\t0000000000000000\n");
        assert_eq!(real_time(&root.system()), Err("CAP_SYS_NICE is missing"));
        root.write("proc/self/status", "CapEff:\t000001ffffffffff\n");
        assert_eq!(real_time(&root.system()), Ok(()));
        root.write("proc/self/uid_map", "0 1000 1\n");
        assert_eq!(real_time(&root.system()), Err("inside a user namespace"));
        root.write(
            "proc/self/limits",
            "Max realtime priority     99                   99\n",
        );
        assert_eq!(real_time(&root.system()), Ok(()));
    }
}
