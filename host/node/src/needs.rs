//! What the machine withholds from the daemon while it runs: answers for virtual addresses, settings, descriptors.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::io::Errno;
use spared_kernel::Answering;
use spared_pair::{Needs, Unanswered, ignores_arp};

const SETTINGS: &str = "/proc/sys";
/// Those that matter; of others the unit itself makes a read-only mount.
const WRITABLE: &str = "/proc/sys/net";

/// What has to answer and to be set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Devices that have to answer for virtual addresses.
    pub devices: BTreeMap<String, Answering>,
    /// Settings that a plugin sets with the role.
    pub by_role: Vec<String>,
}

/// Looks at the settings of the machine, and whether a file can be opened.
pub fn look(asked: &Asked) -> Needs {
    let is_read_only = || {
        let there = statvfs(WRITABLE);
        there.is_ok_and(|it| it.f_flag.contains(StatVfsMountFlags::RDONLY))
    };
    let no_descriptor = no_descriptor();
    Needs {
        unanswered: unanswered(asked, &setting),
        unwritable: unwritable(asked, is_read_only, &setting),
        no_descriptor: no_descriptor.map_or(String::new(), |it| it.to_string()),
        ..Needs::default()
    }
}

/// The error by which nothing can be opened, whatever it is: no file is at fault.
pub fn no_descriptor() -> Option<io::Error> {
    let error = File::open("/dev/null").err()?;
    let codes = [Errno::MFILE, Errno::NFILE].map(|it| Some(it.raw_os_error()));
    codes.contains(&error.raw_os_error()).then_some(error)
}

fn setting(path: &str) -> Option<i64> {
    let text = fs::read_to_string(format!("{SETTINGS}/{path}")).ok()?;
    text.trim().parse().ok()
}

fn unanswered(asked: &Asked, setting: &dyn Fn(&str) -> Option<i64>) -> Vec<Unanswered> {
    let devices = asked.devices.iter();
    let all = |device: (&String, &Answering)| unanswered_on(device.0, device.1, setting);
    let mut found: Vec<Unanswered> = devices.filter_map(all).collect();
    // of many devices on an interface one is enough
    found.dedup_by(|one, other| one.interface == other.interface);
    found
}

fn unanswered_on(
    device: &str,
    answering: &Answering,
    setting: &dyn Fn(&str) -> Option<i64>,
) -> Option<Unanswered> {
    let interface = &answering.interface;
    let by = |setting: String, value| Unanswered {
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
    // the greater one counts
    let (own, all) = (of(device, "arp_ignore"), of("all", "arp_ignore"));
    let value = own.max(all);
    if ignores_arp(value, answering.hosts_only) {
        let at = if all == value { "all" } else { device };
        return Some(by(name(at, "arp_ignore"), value));
    }
    // the way back from a virtual MAC address is another interface
    let filter = of("all", "arp_filter");
    (answering.is_virtual && filter == 1).then(|| by(name("all", "arp_filter"), filter))
}

// The dots of a device's name are slashes, as sysctl(8) has it.
fn name(device: &str, key: &str) -> String {
    format!("net.ipv4.conf.{}.{key}", device.replace('.', "/"))
}

// In a container whose settings were always read-only, IPv6 was never switched off.
fn unwritable(
    asked: &Asked,
    is_read_only: impl FnOnce() -> bool,
    setting: &dyn Fn(&str) -> Option<i64>,
) -> Vec<String> {
    let devices = asked.devices.iter().filter(|it| it.1.has_virtual_ipv6);
    let silent = devices
        .filter(|(device, _)| setting(&format!("net/ipv6/conf/{device}/disable_ipv6")) == Some(1));
    let silent = silent
        .map(|(device, _)| format!("net.ipv6.conf.{}.disable_ipv6", device.replace('.', "/")));
    let by_role = asked.by_role.iter().filter(|it| it.starts_with("net."));
    let needed: Vec<String> = silent.chain(by_role.cloned()).collect();
    match needed.is_empty() || !is_read_only() {
        true => Vec::new(),
        false => needed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(device: &str, answering: Answering) -> Asked {
        let answering = Answering {
            interface: "lan.7".to_owned(),
            ..answering
        };
        Asked {
            devices: [(device.to_owned(), answering)].into(),
            by_role: Vec::new(),
        }
    }

    fn of(asked: &Asked, settings: &[(&str, i64)]) -> Vec<String> {
        let setting = |path: &str| {
            let found = settings.iter().find(|(name, _)| *name == path);
            found.map(|(_, value)| *value)
        };
        let found = unanswered(asked, &setting);
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
        let asked = asked("lan.7", plain);
        assert_eq!(of(&asked, &[]), [""; 0]);
        assert_eq!(of(&asked, &[(OWN, 2), (ALL, 1)]), [""; 0]);
        let told = "lan.7 net.ipv4.conf.lan/7.arp_ignore 8";
        assert_eq!(of(&asked, &[(OWN, 8), (ALL, 1)]), [told]);
        let told = "lan.7 net.ipv4.conf.all.arp_ignore 8";
        assert_eq!(of(&asked, &[(OWN, 1), (ALL, 8)]), [told]);
        assert_eq!(of(&asked, &[("net/ipv4/conf/all/arp_filter", 1)]), [""; 0]);
    }

    #[test]
    fn a_virtual_mac_has_host_addresses_and_another_way_back() {
        let answering = Answering {
            is_virtual: true,
            has_ipv4: true,
            hosts_only: true,
            ..Answering::default()
        };
        let asked = asked("vrrp7.lan/7", answering);
        let told = |settings: &[(&str, i64)]| of(&asked, settings);
        // that of the interface itself has no say
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
        assert_eq!(of(&asked("lan.7", answering), &[]), ["lan.7  0"]);
    }

    #[test]
    fn settings_of_the_role_count_only_if_nobody_can_write_them() {
        let answering = Answering {
            has_virtual_ipv6: true,
            ..Answering::default()
        };
        let mut asked = asked("vrrp7", answering);
        let off = |_: &str| Some(1);
        let on = |_: &str| Some(0);
        let setting = "net.ipv6.conf.vrrp7.disable_ipv6";
        assert_eq!(unwritable(&asked, || true, &off), [setting]);
        assert_eq!(unwritable(&asked, || false, &off), [""; 0]);
        assert_eq!(unwritable(&asked, || true, &on), [""; 0]);
        asked.by_role.push("net.ipv4.ip_forward".to_owned());
        let both = [setting, "net.ipv4.ip_forward"];
        assert_eq!(unwritable(&asked, || true, &off), both);
    }
}
