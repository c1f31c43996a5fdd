//! Links: dump, virtual-MAC devices, up and down.

use std::io;

use neli::consts::nl::NlmF;
use neli::consts::rtnl::{Ifla, RtAddrFamily, Rtm};
use neli::rtnl::{Ifinfomsg, IfinfomsgBuilder, Rtattr, RtattrBuilder};
use neli::types::{Buffer, RtBuffer};

use crate::constants::*;
use crate::{Message, Requests, attributes, text, u32_of};

const RTM_NEWLINK: u16 = 16;
const IFF_UP: u32 = 0x1;
const IFF_NOARP: u32 = 0x80;
const ARPHRD_ETHER: u16 = 1;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_BOND_MODE: u16 = 1;

/// Network device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub up: bool,
    pub carrier: bool,
    pub mtu: u32,
    pub mac: [u8; 6],
    pub alias: Option<String>,
    /// Type such as "macvlan" or "veth"; None for plain hardware.
    pub kind: Option<String>,
    /// Index of the lower device.
    pub parent: Option<u32>,
    /// Index of the bridge, bond or similar device that takes its frames. A VRF takes none.
    pub port_of: Option<u32>,
    /// Index of the VRF that the device belongs to.
    pub vrf: Option<u32>,
    /// Mode of a bond, as numbered by the kernel.
    pub bond_mode: Option<u8>,
    /// True if neighbours are found by ARP or neighbour discovery.
    pub is_ethernet: bool,
    /// True if neighbours are neither asked nor answered: `ip link set IF arp off`.
    pub is_arp_off: bool,
}

impl Link {
    /// Reads the payload of RTM_NEWLINK or RTM_DELLINK.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        // a bridge's messages about its ports have another family: the end of a port is not the end of a device
        if *payload.first()? != libc::AF_UNSPEC as u8 {
            return None;
        }
        let index = u32_of(payload.get(4..8)?)?;
        let flags = u32_of(payload.get(8..12)?)?;
        let mut is_in_vrf = false;
        let mut link = Self {
            index,
            up: flags & IFF_UP != 0,
            is_ethernet: payload.get(2..4)? == ARPHRD_ETHER.to_ne_bytes(),
            is_arp_off: flags & IFF_NOARP != 0,
            ..Self::default()
        };
        for (kind, value) in attributes(payload.get(16..)?) {
            match kind {
                IFLA_IFNAME => link.name = text(value),
                IFLA_MTU => link.mtu = u32_of(value).unwrap_or(0),
                IFLA_ADDRESS => link.mac = value.try_into().unwrap_or([0; 6]),
                IFLA_LINK => link.parent = u32_of(value),
                IFLA_MASTER => link.port_of = u32_of(value),
                IFLA_CARRIER => link.carrier = value.first() == Some(&1),
                IFLA_IFALIAS => link.alias = Some(text(value)),
                IFLA_LINKINFO => {
                    let part = |wanted| {
                        let mut found = attributes(value).filter(|(kind, _)| *kind == wanted);
                        found.next().map(|(_, part)| part)
                    };
                    link.kind = part(IFLA_INFO_KIND).map(text);
                    is_in_vrf = part(IFLA_INFO_SLAVE_KIND).map(text).as_deref() == Some("vrf");
                    let bond =
                        part(IFLA_INFO_DATA).filter(|_| link.kind.as_deref() == Some("bond"));
                    link.bond_mode = bond.and_then(bond_mode);
                }
                _ => {}
            }
        }
        if is_in_vrf {
            link.vrf = link.port_of.take();
        }
        Some(link)
    }
}

fn bond_mode(data: &[u8]) -> Option<u8> {
    let mut mode = attributes(data).filter(|(kind, _)| *kind == IFLA_BOND_MODE);
    mode.next()?.1.first().copied()
}

impl Requests {
    /// All links of the namespace.
    pub fn links(&mut self) -> io::Result<Vec<Link>> {
        let mut links = Vec::new();
        let request = Message::new(Rtm::Getlink, NlmF::DUMP, link_message(0, &[], None)?)?;
        self.dump(request, |kind, payload| {
            if kind == RTM_NEWLINK {
                links.extend(Link::parse(payload));
            }
        })?;
        Ok(links)
    }
}

impl Message {
    /// Creates a macvlan in mode bridge without link-local address, marked as spared's. In mode private the parent's
    /// sockets would not receive frames of a rival with the same virtual MAC.
    pub fn create_macvlan(parent: u32, name: &str, mac: [u8; 6]) -> io::Result<Self> {
        let mode = attribute(
            IFLA_MACVLAN_MODE,
            MACVLAN_MODE_BRIDGE.to_ne_bytes().to_vec(),
        )?;
        let info = attribute(IFLA_LINKINFO, Vec::new())?
            .nest(&attribute(IFLA_INFO_KIND, b"macvlan".to_vec())?)
            .and_then(|info| {
                let data =
                    attribute(IFLA_INFO_DATA, Vec::new()).map_err(neli::err::SerError::new)?;
                info.nest(&data.nest(&mode)?)
            })
            .map_err(io::Error::other)?;
        let attributes = [
            attribute(IFLA_IFNAME, terminated(name))?,
            attribute(IFLA_LINK, parent.to_ne_bytes().to_vec())?,
            attribute(IFLA_ADDRESS, mac.to_vec())?,
            info,
        ];
        Self::new(
            Rtm::Newlink,
            NlmF::CREATE | NlmF::EXCL,
            link_message(0, &attributes, None)?,
        )
    }

    /// Marks a device as spared's. (The kernel ignores an alias while it creates a device.)
    pub fn set_alias(index: u32) -> io::Result<Self> {
        let alias = attribute(IFLA_IFALIAS, DEVICE_ALIAS.as_bytes().to_vec())?;
        Self::new(
            Rtm::Setlink,
            NlmF::empty(),
            link_message(index, &[alias], None)?,
        )
    }

    /// Prevents an automatic link-local address. Fails if IPv6 is disabled.
    pub fn set_address_generation_none(index: u32) -> io::Result<Self> {
        let mode = attribute(IFLA_INET6_ADDR_GEN_MODE, vec![IN6_ADDR_GEN_MODE_NONE])?;
        let inet6 = attribute(libc::AF_INET6 as u16, Vec::new())?;
        let spec = attribute(IFLA_AF_SPEC, Vec::new())?
            .nest(&inet6.nest(&mode).map_err(io::Error::other)?)
            .map_err(io::Error::other)?;
        Self::new(
            Rtm::Setlink,
            NlmF::empty(),
            link_message(index, &[spec], None)?,
        )
    }

    /// Sets a value of `/proc/sys/net/ipv4/conf/DEVICE`, by its number in linux/ip.h (IPV4_DEVCONF_*).
    pub fn set_ipv4_setting(index: u32, setting: u16, value: u32) -> io::Result<Self> {
        let value = attribute(setting, value.to_ne_bytes().to_vec())?;
        let settings = attribute(IFLA_INET_CONF, Vec::new())?;
        let inet = attribute(libc::AF_INET as u16, Vec::new())?;
        let settings = settings.nest(&value).map_err(io::Error::other)?;
        let spec = attribute(IFLA_AF_SPEC, Vec::new())?
            .nest(&inet.nest(&settings).map_err(io::Error::other)?)
            .map_err(io::Error::other)?;
        Self::new(
            Rtm::Setlink,
            NlmF::empty(),
            link_message(index, &[spec], None)?,
        )
    }

    /// Sets the device up or down.
    pub fn set_up(index: u32, up: bool) -> io::Result<Self> {
        Self::new(
            Rtm::Setlink,
            NlmF::empty(),
            link_message(index, &[], Some(up))?,
        )
    }

    /// Deletes the device.
    pub fn delete_link(index: u32) -> io::Result<Self> {
        Self::new(Rtm::Dellink, NlmF::empty(), link_message(index, &[], None)?)
    }
}

fn link_message(
    index: u32,
    attributes: &[Rtattr<Ifla, Buffer>],
    up: Option<bool>,
) -> io::Result<Ifinfomsg> {
    let mut rtattrs = RtBuffer::new();
    attributes
        .iter()
        .for_each(|attribute| rtattrs.push(attribute.clone()));
    let builder = IfinfomsgBuilder::default()
        .ifi_family(RtAddrFamily::Unspecified)
        .ifi_index(index as i32)
        .rtattrs(rtattrs);
    let builder = match up {
        Some(true) => builder.up(),
        Some(false) => builder.down(),
        None => builder,
    };
    builder.build().map_err(io::Error::other)
}

fn attribute(kind: u16, payload: Vec<u8>) -> io::Result<Rtattr<Ifla, Buffer>> {
    RtattrBuilder::default()
        .rta_type(Ifla::from(kind))
        .rta_payload(Buffer::from(payload))
        .build()
        .map_err(io::Error::other)
}

fn terminated(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(0);
    bytes
}
