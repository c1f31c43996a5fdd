//! Checks if the machine meets the needs of the running daemon: answers for virtual addresses, writable settings,
//! descriptors, routes and real-time priority.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::io::Errno;
use spared_kernel::Answering;
use spared_netlink::Requests;
use spared_process::proc::real_time_priority;
use spared_verdict::{Needs, RealTimeLost, UnansweredArp, ignores_arp, setting_of};

const SETTINGS: &str = "/proc/sys";
/// Folder whose settings are needed. The systemd unit itself mounts others read-only.
const WRITABLE: &str = "/proc/sys/net";

/// Addresses in each half of the internet, for looking up routes: nothing is sent to them. There are two in each half,
/// as one of them may be refused deliberately.
const FAR: [(&str, &[[IpAddr; 2]]); 2] = [
    (
        "IPv4",
        &[
            [v4([9, 9, 9, 9]), v4([45, 45, 45, 45])],
            [v4([130, 130, 130, 130]), v4([200, 200, 200, 200])],
        ],
    ),
    ("IPv6", &[[v6(0x2001, 0x4860), v6(0x2a00, 0x1450)]]),
];

/// Objects whose needs are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedObjects {
    /// Devices that have to answer for virtual addresses.
    pub devices: BTreeMap<String, Answering>,
    /// Settings that a plugin sets with the role.
    pub by_role: Vec<String>,
    /// Families with a default route of a group for which this node is active.
    pub active_defaults: BTreeSet<String>,
    /// Elector plugin, and the id of its process.
    pub elector: Option<(String, u32)>,
}

/// Results of earlier checks.
#[derive(Debug, Default)]
pub struct EarlierResults {
    /// Id of the elector's process that had real-time priority, and that priority.
    real_time: Option<(u32, u32)>,
    /// Families in which a route refused packets at the last check.
    refused: Vec<String>,
}

/// Checks the settings of the machine, and if a file can be opened. If there are `requests`, also checks its routes.
pub fn check(
    objects: &CheckedObjects,
    earlier: &mut EarlierResults,
    requests: Option<&mut Requests>,
) -> Needs {
    let is_read_only = || {
        let there = statvfs(WRITABLE);
        there.is_ok_and(|it| it.f_flag.contains(StatVfsMountFlags::RDONLY))
    };
    let no_descriptor = no_descriptor();
    Needs {
        unanswered: unanswered(objects, &setting),
        unwritable: unwritable(objects, is_read_only, &setting),
        no_descriptor: no_descriptor.map_or(String::new(), |it| it.to_string()),
        refused: earlier.refused(requests.map_or(Vec::new(), |it| refused(objects, it))),
        real_time_lost: earlier.real_time_lost(objects.elector.as_ref(), real_time_priority),
        ..Needs::default()
    }
}

impl EarlierResults {
    // only what was found twice counts: during a role change the group's route is added last
    fn refused(&mut self, now: Vec<String>) -> Vec<String> {
        let before = std::mem::replace(&mut self.refused, now);
        let is_still = |it: &&String| before.contains(it);
        self.refused.iter().filter(is_still).cloned().collect()
    }

    // a process that never had real-time priority has not lost it
    fn real_time_lost(
        &mut self,
        elector: Option<&(String, u32)>,
        priority: impl Fn(u32) -> Option<u32>,
    ) -> Option<RealTimeLost> {
        let (plugin, pid) = elector?;
        match priority(*pid)? {
            0 => {
                let (_, priority) = self.real_time.filter(|(known, _)| known == pid)?;
                Some(RealTimeLost {
                    plugin: plugin.clone(),
                    pid: *pid,
                    priority,
                })
            }
            priority => {
                self.real_time = Some((*pid, priority));
                None
            }
        }
    }
}

fn refused(objects: &CheckedObjects, requests: &mut Requests) -> Vec<String> {
    let families = FAR
        .iter()
        .filter(|(family, _)| objects.active_defaults.contains(*family));
    let mut is_refused = |half: &[IpAddr; 2]| {
        half.iter()
            .all(|address| requests.refuses(*address).unwrap_or(false))
    };
    let found = families.filter(|(_, halves)| halves.iter().any(&mut is_refused));
    found.map(|(family, _)| (*family).to_owned()).collect()
}

const fn v4(octets: [u8; 4]) -> IpAddr {
    let [a, b, c, d] = octets;
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(first: u16, second: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 1))
}

/// Returns the error if no file at all can be opened, as no descriptor is left.
pub fn no_descriptor() -> Option<io::Error> {
    let error = File::open("/dev/null").err()?;
    let codes = [Errno::MFILE, Errno::NFILE].map(|it| Some(it.raw_os_error()));
    codes.contains(&error.raw_os_error()).then_some(error)
}

fn setting(path: &str) -> Option<i64> {
    let text = fs::read_to_string(format!("{SETTINGS}/{path}")).ok()?;
    text.trim().parse().ok()
}

fn unanswered(
    objects: &CheckedObjects,
    setting: &dyn Fn(&str) -> Option<i64>,
) -> Vec<UnansweredArp> {
    let devices = objects.devices.iter();
    let all = |device: (&String, &Answering)| unanswered_on(device.0, device.1, setting);
    let mut found: Vec<UnansweredArp> = devices.filter_map(all).collect();
    // one of several devices on an interface is enough
    found.dedup_by(|one, other| one.interface == other.interface);
    found
}

fn unanswered_on(
    device: &str,
    answering: &Answering,
    setting: &dyn Fn(&str) -> Option<i64>,
) -> Option<UnansweredArp> {
    let interface = &answering.interface;
    let by = |setting: String, value| UnansweredArp {
        interface: interface.clone(),
        setting,
        value,
    };
    if answering.is_arp_off {
        return Some(by(String::new(), 0));
    }
    if !answering.has_ipv4 {
        return None;
    }
    let of = |at: &str, key: &str| setting(&format!("net/ipv4/conf/{at}/{key}")).unwrap_or(0);
    // the greater value is in force
    let (own, all) = (of(device, "arp_ignore"), of("all", "arp_ignore"));
    let value = own.max(all);
    if ignores_arp(value, answering.hosts_only) {
        let at = if all == value { "all" } else { device };
        return Some(by(setting_of("ipv4", at, "arp_ignore"), value));
    }
    // replies to requests for a virtual MAC leave by another interface
    let filter = of("all", "arp_filter");
    (answering.is_virtual && filter == 1)
        .then(|| by(setting_of("ipv4", "all", "arp_filter"), filter))
}

// Returns settings that must be written but are read-only. A container whose settings were always read-only never
// switched IPv6 off, so its devices are not listed.
fn unwritable(
    objects: &CheckedObjects,
    is_read_only: impl FnOnce() -> bool,
    setting: &dyn Fn(&str) -> Option<i64>,
) -> Vec<String> {
    let devices = objects.devices.iter().filter(|it| it.1.has_virtual_ipv6);
    let silent = devices
        .filter(|(device, _)| setting(&format!("net/ipv6/conf/{device}/disable_ipv6")) == Some(1));
    let silent = silent.map(|(device, _)| setting_of("ipv6", device, "disable_ipv6"));
    let by_role = objects.by_role.iter().filter(|it| it.starts_with("net."));
    let needed: Vec<String> = silent.chain(by_role.cloned()).collect();
    if needed.is_empty() || !is_read_only() {
        Vec::new()
    } else {
        needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(device: &str, answering: Answering) -> CheckedObjects {
        let answering = Answering {
            interface: "lan.7".to_owned(),
            ..answering
        };
        CheckedObjects {
            devices: [(device.to_owned(), answering)].into(),
            ..CheckedObjects::default()
        }
    }

    fn of(objects: &CheckedObjects, settings: &[(&str, i64)]) -> Vec<String> {
        let setting = |path: &str| {
            let found = settings.iter().find(|(name, _)| *name == path);
            found.map(|(_, value)| *value)
        };
        let found = unanswered(objects, &setting);
        found
            .iter()
            .map(|it| format!("{} {} {}", it.interface, it.setting, it.value))
            .collect()
    }

    #[test]
    fn settings_by_which_nobody_gets_an_answer_are_found() {
        const OWN: &str = "net/ipv4/conf/lan.7/arp_ignore";
        const ALL: &str = "net/ipv4/conf/all/arp_ignore";
        let plain = Answering {
            has_ipv4: true,
            ..Answering::default()
        };
        let objects = objects("lan.7", plain);
        assert_eq!(of(&objects, &[]), [""; 0]);
        assert_eq!(of(&objects, &[(OWN, 2), (ALL, 1)]), [""; 0]);
        let told = "lan.7 net.ipv4.conf.lan/7.arp_ignore 8";
        assert_eq!(of(&objects, &[(OWN, 8), (ALL, 1)]), [told]);
        let told = "lan.7 net.ipv4.conf.all.arp_ignore 8";
        assert_eq!(of(&objects, &[(OWN, 1), (ALL, 8)]), [told]);
        assert_eq!(
            of(&objects, &[("net/ipv4/conf/all/arp_filter", 1)]),
            [""; 0]
        );
    }

    #[test]
    fn a_virtual_mac_has_host_addresses_and_another_way_back() {
        let answering = Answering {
            is_virtual: true,
            has_ipv4: true,
            hosts_only: true,
            ..Answering::default()
        };
        let objects = objects("vrrp7.lan/7", answering);
        let told = |settings: &[(&str, i64)]| of(&objects, settings);
        // the setting of the interface itself does not matter
        assert_eq!(told(&[("net/ipv4/conf/lan.7/arp_ignore", 8)]), [""; 0]);
        assert_eq!(
            told(&[("net/ipv4/conf/all/arp_ignore", 2)]),
            ["lan.7 net.ipv4.conf.all.arp_ignore 2"]
        );
        assert_eq!(
            told(&[("net/ipv4/conf/all/arp_filter", 1)]),
            ["lan.7 net.ipv4.conf.all.arp_filter 1"]
        );
    }

    #[test]
    fn arp_that_is_switched_off_is_found_for_both_families() {
        let answering = Answering {
            is_arp_off: true,
            ..Answering::default()
        };
        assert_eq!(of(&objects("lan.7", answering), &[]), ["lan.7  0"]);
    }

    #[test]
    fn real_time_is_lost_only_by_a_process_that_had_it() {
        let mut earlier = EarlierResults::default();
        let elector = ("vrrp".to_owned(), 7);
        let mut lost = |pid: u32, priority: Option<u32>| {
            let elector = (elector.0.clone(), pid);
            let lost = earlier.real_time_lost(Some(&elector), |_| priority);
            lost.map(|it| (it.plugin, it.pid, it.priority))
        };
        assert_eq!(lost(7, Some(0)), None, "it is not permitted here");
        assert_eq!(lost(7, Some(40)), None);
        assert_eq!(lost(7, None), None, "/proc hides it");
        assert_eq!(lost(7, Some(0)), Some(("vrrp".to_owned(), 7, 40)));
        assert_eq!(lost(8, Some(0)), None, "another process");
        assert_eq!(real_time_priority(std::process::id()), Some(0));
    }

    #[test]
    fn a_route_that_refuses_is_told_at_the_second_look() {
        let mut earlier = EarlierResults::default();
        let ipv4 = || vec!["IPv4".to_owned()];
        assert_eq!(earlier.refused(ipv4()), [""; 0]);
        assert_eq!(earlier.refused(ipv4()), ipv4());
        assert_eq!(earlier.refused(Vec::new()), [""; 0]);
        assert_eq!(earlier.refused(ipv4()), [""; 0]);
    }

    #[test]
    fn settings_of_the_role_count_only_if_nobody_can_write_them() {
        let answering = Answering {
            has_virtual_ipv6: true,
            ..Answering::default()
        };
        let mut objects = objects("vrrp7", answering);
        let off = |_: &str| Some(1);
        let on = |_: &str| Some(0);
        let setting = "net.ipv6.conf.vrrp7.disable_ipv6";
        assert_eq!(unwritable(&objects, || true, &off), [setting]);
        assert_eq!(unwritable(&objects, || false, &off), [""; 0]);
        assert_eq!(unwritable(&objects, || true, &on), [""; 0]);
        objects.by_role.push("net.ipv4.ip_forward".to_owned());
        let both = [setting, "net.ipv4.ip_forward"];
        assert_eq!(unwritable(&objects, || true, &off), both);
    }
}
