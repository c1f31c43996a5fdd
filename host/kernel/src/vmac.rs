//! Creates virtual-MAC devices: a macvlan for each virtual router with a virtual MAC, silent while its group is not
//! active.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use spared_contract::Family;
use spared_message::device_name;
use spared_netlink::constants::DEVICE_ALIAS;
use spared_netlink::{Link, Message, Requests};

use super::interfaces::Interfaces;
use super::{KernelError, sysctl};

/// Identity of a virtual router.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterId {
    pub interface: String,
    pub family: Family,
    pub vrid: u8,
}

impl RouterId {
    /// Returns the virtual MAC (RFC 9568 section 7.3).
    pub fn mac(&self) -> [u8; 6] {
        let family = match self.family {
            Family::V4 => 0x01,
            Family::V6 => 0x02,
        };
        [0x00, 0x00, 0x5e, 0x00, family, self.vrid]
    }

    /// Returns the device, if there is one: ours, on this parent, with this MAC.
    pub fn find<'a>(&self, interfaces: &'a Interfaces) -> Option<&'a Link> {
        let parent = interfaces.link(&self.interface)?;
        // The kernel puts a macvlan that is created on a macvlan onto the device below.
        let lower = parent.parent.filter(|_| is_macvlan(parent));
        let lower = lower.unwrap_or(parent.index);
        interfaces
            .links()
            .find(|link| link.parent == Some(lower) && link.mac == self.mac() && is_ours(link))
    }

    /// Returns the device's name, unless another is configured.
    pub fn name(&self) -> String {
        device_name(&self.interface, self.family, self.vrid)
    }
}

/// Recent creations of each device, with the index of its parent.
#[derive(Default)]
pub struct RecentCreations(BTreeMap<RouterId, (u32, VecDeque<Instant>)>);

impl RecentCreations {
    const TIMES_MAX: usize = 3;
    const WITHIN: Duration = Duration::from_secs(60);

    /// Returns true if the device was created so often recently that somebody must be deleting it.
    pub fn is_contested(&self, key: &RouterId, now: Instant) -> bool {
        let times = self.0.get(key).into_iter().flat_map(|(_, times)| times);
        let recent = times.filter(|at| now.duration_since(**at) < Self::WITHIN);
        recent.count() >= Self::TIMES_MAX
    }

    pub fn note(&mut self, key: &RouterId, parent: u32, now: Instant) {
        let made = self.0.entry(key.clone()).or_default();
        made.0 = parent;
        let times = &mut made.1;
        times.push_back(now);
        if times.len() > Self::TIMES_MAX {
            times.pop_front();
        }
    }

    /// Keeps only the wanted devices whose parent is still the same. A device goes with its parent.
    pub fn retain(&mut self, wanted: &BTreeSet<RouterId>, interfaces: &Interfaces) {
        let parent_of = |key: &RouterId| interfaces.link(&key.interface).map(|link| link.index);
        self.0
            .retain(|key, (parent, _)| wanted.contains(key) && parent_of(key) == Some(*parent));
    }
}

fn is_macvlan(link: &Link) -> bool {
    link.kind.as_deref() == Some("macvlan")
}

pub fn is_ours(link: &Link) -> bool {
    link.alias.as_deref() == Some(DEVICE_ALIAS) && is_macvlan(link)
}

/// Creates the device, down: it is set up when the fence guards it. Also returns the settings that cannot be set here.
pub fn create(
    requests: &mut Requests,
    interfaces: &Interfaces,
    key: &RouterId,
    name: &str,
) -> Result<(Link, Vec<&'static str>), KernelError> {
    let parent = interfaces
        .link(&key.interface)
        .map(|link| link.index)
        .unwrap_or_default();
    let refused = |what: &str, error| KernelError::new(name, what, error);
    let creation = Message::create_macvlan(parent, name, key.mac());
    requests
        .run_one(creation)
        .map_err(|e| refused("create a virtual-MAC device", e))?;
    let link = requests
        .links()
        .map_err(|e| refused("read its index", e))?
        .into_iter()
        .find(|link| link.name == name && link.mac == key.mac())
        .ok_or_else(|| refused("find the new device", io::ErrorKind::NotFound.into()))?;
    let marked = requests.run_one(Message::set_alias(link.index));
    let silenced = marked.and_then(|()| silence(requests, &link));
    let unset = match silenced {
        Ok(unset) => unset,
        Err(error) => {
            // A device that is only half set up is deleted, as it could send.
            let _ = requests.run_one(Message::delete_link(link.index));
            return Err(refused("silence the virtual-MAC device", error));
        }
    };
    let alias = Some(DEVICE_ALIAS.to_owned());
    Ok((Link { alias, ..link }, unset))
}

// Disables IPv6, address generation, and answers for addresses of other devices. Returns the IPv6 settings that are
// read-only here: the fence keeps the device silent without them.
fn silence(requests: &mut Requests, link: &Link) -> io::Result<Vec<&'static str>> {
    let on = sysctl::On {
        name: &link.name,
        index: link.index,
    };
    for (key, value) in [
        ("rp_filter", "2"),
        ("arp_ignore", "1"),
        ("arp_announce", "2"),
    ] {
        sysctl::set_ipv4(requests, on, key, value)?;
    }
    let mut unset = Vec::new();
    if !has_ipv6(&link.name) {
        return Ok(unset);
    }
    requests.run_one(Message::set_address_generation_none(link.index))?;
    for (key, value) in [
        ("disable_ipv6", "1"),
        ("accept_ra", "0"),
        ("accept_dad", "0"),
    ] {
        match sysctl::set_ipv6(&link.name, key, value) {
            Err(error) if sysctl::is_read_only(&error) => unset.push(key),
            other => other?,
        }
    }
    Ok(unset)
}

/// Switches IPv6 on or off; it is on only while the group is active. If the setting is read-only, IPv6 is always on,
/// behind the fence.
pub fn set_ipv6(name: &str, on: bool) -> io::Result<()> {
    if !has_ipv6(name) {
        return Ok(());
    }
    match sysctl::set_ipv6(name, "disable_ipv6", if on { "0" } else { "1" }) {
        Err(error) if !on && sysctl::is_read_only(&error) => Ok(()),
        other => other,
    }
}

fn has_ipv6(name: &str) -> bool {
    std::path::Path::new("/proc/sys/net/ipv6/conf")
        .join(name)
        .exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(interface: &str, family: Family) -> RouterId {
        RouterId {
            interface: interface.into(),
            family,
            vrid: 50,
        }
    }

    #[test]
    fn the_device_of_a_macvlan_is_on_what_that_is_on() {
        let mut interfaces = Interfaces::default();
        let on = |index: u32, name: &str, parent: u32, alias: Option<&str>| Link {
            index,
            name: name.into(),
            kind: Some("macvlan".into()),
            parent: Some(parent),
            mac: key("mv", Family::V4).mac(),
            alias: alias.map(str::to_owned),
            ..Link::default()
        };
        let ours = on(6, "vrrp50.mv", 4, Some(DEVICE_ALIAS));
        interfaces.replace(vec![on(5, "mv", 4, None), ours], Vec::new());
        let found = key("mv", Family::V4).find(&interfaces);
        assert_eq!(found.map(|link| link.index), Some(6));
    }

    #[test]
    fn the_families_have_different_macs() {
        assert_eq!(key("lan2", Family::V4).mac(), [0, 0, 0x5e, 0, 1, 50]);
        assert_eq!(key("lan2", Family::V6).mac(), [0, 0, 0x5e, 0, 2, 50]);
    }
}
