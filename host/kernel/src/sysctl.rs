//! Changes settings of interfaces and restores their previous values. If /proc/sys is read-only, as in most containers,
//! IPv4 settings are set by netlink.

use std::collections::BTreeMap;
use std::io;

use spared_netlink::{Message, Requests};

/// Settings that netlink can change, with their numbers (linux/ip.h: IPV4_DEVCONF_*).
const BY_NETLINK: [(&str, u16); 4] = [
    ("rp_filter", 8),
    ("arp_announce", 18),
    ("arp_ignore", 19),
    ("promote_secondaries", 20),
];

/// Interface whose settings are changed.
#[derive(Clone, Copy, Debug)]
pub struct On<'n> {
    pub name: &'n str,
    pub index: u32,
}

/// Original values of the administrator's settings that spared has changed, restored at the end.
#[derive(Default)]
pub struct SavedSettings(BTreeMap<(String, &'static str), (u32, String)>);

impl SavedSettings {
    /// Sets an IPv4 setting while spared runs, and keeps its original value.
    pub fn set(
        &mut self,
        requests: &mut Requests,
        on: On<'_>,
        key: &'static str,
        value: &str,
    ) -> io::Result<()> {
        let old = read("ipv4", on.name, key)?;
        if old != value {
            set_ipv4(requests, on, key, value)?;
            let key = (on.name.to_owned(), key);
            self.0.entry(key).or_insert((on.index, old));
        }
        Ok(())
    }

    /// Restores the settings of interfaces that still exist.
    pub fn restore(&mut self, requests: &mut Requests) {
        for ((name, key), (index, old)) in std::mem::take(&mut self.0) {
            let on = On { name: &name, index };
            // The interface may be gone, and its settings with it.
            let _ = set_ipv4(requests, on, key, &old);
        }
    }
}

/// Sets an IPv4 setting.
pub fn set_ipv4(requests: &mut Requests, on: On<'_>, key: &str, value: &str) -> io::Result<()> {
    let refused = match std::fs::write(path("ipv4", on.name, key), value) {
        Err(error) if is_read_only(&error) => error,
        other => return other,
    };
    let known = BY_NETLINK.iter().find(|(name, _)| *name == key);
    let (Some((_, setting)), Ok(value)) = (known, value.parse()) else {
        return Err(refused);
    };
    requests.run_one(Message::set_ipv4_setting(on.index, *setting, value))
}

/// Sets an IPv6 setting, if its value differs.
pub fn set_ipv6(interface: &str, key: &str, value: &str) -> io::Result<()> {
    if read("ipv6", interface, key)? == value {
        Ok(())
    } else {
        std::fs::write(path("ipv6", interface, key), value)
    }
}

/// Returns true if the error means that settings are read-only here.
pub fn is_read_only(error: &io::Error) -> bool {
    let codes = [libc::EROFS, libc::EACCES, libc::EPERM];
    error.raw_os_error().is_some_and(|it| codes.contains(&it))
}

fn read(family: &str, interface: &str, key: &str) -> io::Result<String> {
    let text = std::fs::read_to_string(path(family, interface, key))?;
    Ok(text.trim().to_owned())
}

fn path(family: &str, interface: &str, key: &str) -> String {
    format!("/proc/sys/net/{family}/conf/{interface}/{key}")
}
