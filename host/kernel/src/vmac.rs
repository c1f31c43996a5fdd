//! Virtual-MAC devices: a macvlan for each virtual router with a virtual MAC, silent while its
//! group is not active.

use std::io;

use spared_message::worker::Family;
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
    /// Virtual MAC, RFC 9568 section 7.3.
    pub fn mac(&self) -> [u8; 6] {
        let family = match self.family {
            Family::V4 => 0x01,
            Family::V6 => 0x02,
        };
        [0x00, 0x00, 0x5e, 0x00, family, self.vrid]
    }

    /// The device, if there is one: ours, on this parent, with this MAC.
    pub fn find<'a>(&self, interfaces: &'a Interfaces) -> Option<&'a Link> {
        let parent = interfaces.link(&self.interface)?.index;
        interfaces
            .links()
            .find(|link| link.parent == Some(parent) && link.mac == self.mac() && is_ours(link))
    }

    // As in "vrrp50.lan2" and "vrrp50v6.lan2"; cut to the 15 letters of the kernel, and numbered if
    // it is taken.
    fn name(&self, interfaces: &Interfaces) -> String {
        const LETTERS_MAX: usize = 15;
        let family = match self.family {
            Family::V4 => "",
            Family::V6 => "v6",
        };
        let full = format!("vrrp{}{family}.{}", self.vrid, self.interface);
        let cut = |length: usize| full.chars().take(length).collect::<String>();
        (1..100)
            .map(|number| match number {
                1 => cut(LETTERS_MAX),
                number => format!("{}~{number}", cut(LETTERS_MAX - 3)),
            })
            .find(|name| interfaces.link(name).is_none())
            .unwrap_or(full)
    }
}

pub fn is_ours(link: &Link) -> bool {
    link.alias.as_deref() == Some(DEVICE_ALIAS) && link.kind.as_deref() == Some("macvlan")
}

/// Creates the device, down. It comes up when the fence guards it.
pub fn create(
    requests: &mut Requests,
    interfaces: &Interfaces,
    key: &RouterId,
) -> Result<Link, KernelError> {
    let parent = interfaces
        .link(&key.interface)
        .map(|link| link.index)
        .unwrap_or_default();
    let name = key.name(interfaces);
    let refused = |what: &str, error| KernelError::new(&name, what, error);
    let creation = Message::create_macvlan(parent, &name, key.mac());
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
    if let Err(error) = silenced {
        // A device that is only half set up is deleted, as it could send.
        let _ = requests.run_one(Message::delete_link(link.index));
        return Err(refused("silence the virtual-MAC device", error));
    }
    Ok(Link {
        alias: Some(DEVICE_ALIAS.to_owned()),
        ..link
    })
}

// Leaves it without an address, IPv6, and answers for addresses of other devices.
fn silence(requests: &mut Requests, link: &Link) -> io::Result<()> {
    for (key, value) in [
        ("rp_filter", "2"),
        ("arp_ignore", "1"),
        ("arp_announce", "2"),
    ] {
        sysctl::set("ipv4", &link.name, key, value)?;
    }
    if !has_ipv6(&link.name) {
        return Ok(());
    }
    requests.run_one(Message::set_address_generation_none(link.index))?;
    for (key, value) in [
        ("disable_ipv6", "1"),
        ("accept_ra", "0"),
        ("accept_dad", "0"),
    ] {
        sysctl::set("ipv6", &link.name, key, value)?;
    }
    Ok(())
}

/// Switches IPv6 on or off; on only while the group is active.
pub fn set_ipv6(name: &str, on: bool) -> io::Result<()> {
    if !has_ipv6(name) {
        return Ok(());
    }
    sysctl::set("ipv6", name, "disable_ipv6", if on { "0" } else { "1" })
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
    fn a_name_says_router_and_interface_and_fits() {
        let interfaces = Interfaces::default();
        assert_eq!(key("lan2", Family::V4).name(&interfaces), "vrrp50.lan2");
        assert_eq!(key("lan2", Family::V6).name(&interfaces), "vrrp50v6.lan2");
        assert_eq!(
            key("enp0s31f6.4000", Family::V4).name(&interfaces),
            "vrrp50.enp0s31f"
        );
    }

    #[test]
    fn a_taken_name_is_numbered() {
        let mut interfaces = Interfaces::default();
        let taken = Link {
            index: 5,
            name: "vrrp50.lan2".into(),
            ..Link::default()
        };
        interfaces.replace(vec![taken], Vec::new());
        assert_eq!(key("lan2", Family::V4).name(&interfaces), "vrrp50.lan2~2");
    }

    #[test]
    fn the_families_have_different_macs() {
        assert_eq!(key("lan2", Family::V4).mac(), [0, 0, 0x5e, 0, 1, 50]);
        assert_eq!(key("lan2", Family::V6).mac(), [0, 0, 0x5e, 0, 2, 50]);
    }
}
