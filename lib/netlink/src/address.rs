//! Addresses: dump, add, delete.

use std::io;
use std::net::IpAddr;

use neli::consts::nl::NlmF;
use neli::consts::rtnl::{Ifa, IfaF, RtAddrFamily, RtScope, Rtm};
use neli::rtnl::{Ifaddrmsg, IfaddrmsgBuilder, RtattrBuilder};
use neli::types::{Buffer, RtBuffer};

use crate::constants::*;
use crate::{Message, Requests, attributes, u32_of};

const RTM_NEWADDR: u16 = 20;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_CACHEINFO: u16 = 6;
const FOREVER: u32 = u32::MAX;

/// Address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    pub index: u32,
    pub address: IpAddr,
    pub prefix: u8,
    /// Flags, IFA_F_*.
    pub flags: u32,
    /// Protocol of the program that added it: [`ADDRESS_PROTOCOL`] is spared, zero is unknown.
    pub protocol: u8,
}

impl Address {
    /// Reads the payload of RTM_NEWADDR or RTM_DELADDR.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [family, prefix, flags, _scope] = *payload.first_chunk::<4>()?;
        let index = u32_of(payload.get(4..8)?)?;
        let (mut flags, mut protocol) = (u32::from(flags), 0);
        let (mut address, mut local) = (None, None);
        for (kind, value) in attributes(payload.get(8..)?) {
            match kind {
                IFA_ADDRESS => address = ip(family, value),
                IFA_LOCAL => local = ip(family, value),
                IFA_FLAGS => flags = u32_of(value).unwrap_or(flags),
                IFA_PROTO => protocol = *value.first()?,
                _ => {}
            }
        }
        Some(Self {
            index,
            address: local.or(address)?,
            prefix,
            flags,
            protocol,
        })
    }

    /// True if another IPv4 address of the same network comes before it.
    pub fn is_secondary(&self) -> bool {
        self.flags & IFA_F_SECONDARY != 0
    }

    /// True if spared added the address.
    pub fn is_ours(&self) -> bool {
        self.protocol == ADDRESS_PROTOCOL
    }
}

impl Requests {
    /// All addresses of the namespace, of both families.
    pub fn addresses(&mut self) -> io::Result<Vec<Address>> {
        let mut found = Vec::new();
        each_family(|family| {
            let payload = payload(family, 0, 0, 0, RtBuffer::new())?;
            let request = Message::new(Rtm::Getaddr, NlmF::DUMP, payload)?;
            self.dump(request, |kind, payload| {
                if kind == RTM_NEWADDR {
                    found.extend(Address::parse(payload));
                }
            })
        })?;
        Ok(found)
    }
}

impl Message {
    /// Adds an address of spared: without duplicate detection, and for IPv6 deprecated, so that the router's own
    /// traffic does not use it by default.
    pub fn add_address(
        index: u32,
        address: IpAddr,
        prefix: u8,
        prefix_route: bool,
    ) -> io::Result<Self> {
        Self::add_labelled_address(index, address, prefix, prefix_route, "")
    }

    /// Adds an address of spared, with a label if it is an IPv4 address; an empty label is the device's name.
    pub fn add_labelled_address(
        index: u32,
        address: IpAddr,
        prefix: u8,
        prefix_route: bool,
        label: &str,
    ) -> io::Result<Self> {
        let mut flags = IFA_F_NODAD;
        if !prefix_route {
            flags |= IFA_F_NOPREFIXROUTE;
        }
        let mut attributes = RtBuffer::new();
        for (kind, value) in [
            (IFA_LOCAL, octets(address)),
            (IFA_ADDRESS, octets(address)),
            (IFA_FLAGS, flags.to_ne_bytes().to_vec()),
            (IFA_PROTO, vec![ADDRESS_PROTOCOL]),
        ] {
            attributes.push(attribute(kind, value)?);
        }
        if address.is_ipv4() && !label.is_empty() {
            let label = [label.as_bytes(), &[0]].concat();
            attributes.push(attribute(IFA_LABEL, label)?);
        }
        if address.is_ipv6() && !is_link_local(address) {
            // struct ifa_cacheinfo: preferred and valid lifetime, two timestamps.
            let lifetimes = [0, FOREVER, 0, 0].map(u32::to_ne_bytes).concat();
            attributes.push(attribute(IFA_CACHEINFO, lifetimes)?);
        }
        let payload = payload(family(address), index, prefix, scope(address), attributes)?;
        Self::new(Rtm::Newaddr, NlmF::CREATE | NlmF::EXCL, payload)
    }

    /// Deletes an address.
    pub fn delete_address(index: u32, address: IpAddr, prefix: u8) -> io::Result<Self> {
        let mut attributes = RtBuffer::new();
        attributes.push(attribute(IFA_LOCAL, octets(address))?);
        attributes.push(attribute(IFA_ADDRESS, octets(address))?);
        let payload = payload(family(address), index, prefix, scope(address), attributes)?;
        Self::new(Rtm::Deladdr, NlmF::empty(), payload)
    }
}

/// Dumps both families. A kernel without IPv6 has no IPv6 entries; any other failure leaves a part of the table unread.
pub(crate) fn each_family(mut dump: impl FnMut(RtAddrFamily) -> io::Result<()>) -> io::Result<()> {
    dump(RtAddrFamily::Inet)?;
    dump(RtAddrFamily::Inet6).or_else(|error| {
        if is_unknown_family(&error) {
            Ok(())
        } else {
            Err(error)
        }
    })
}

/// True if the error says that the kernel lacks the family.
fn is_unknown_family(error: &io::Error) -> bool {
    let unknown = [libc::EAFNOSUPPORT, libc::EOPNOTSUPP];
    let errno = error.raw_os_error();
    errno.is_some_and(|errno| unknown.contains(&errno))
}

pub(crate) fn family(address: IpAddr) -> RtAddrFamily {
    if address.is_ipv4() {
        RtAddrFamily::Inet
    } else {
        RtAddrFamily::Inet6
    }
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

pub(crate) fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?)),
        libc::AF_INET6 => Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?)),
        _ => None,
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80)
}

fn scope(address: IpAddr) -> u8 {
    const LINK: u8 = 253;
    if is_link_local(address) { LINK } else { 0 }
}

fn payload(
    family: RtAddrFamily,
    index: u32,
    prefix: u8,
    scope: u8,
    attributes: RtBuffer<Ifa, Buffer>,
) -> io::Result<Ifaddrmsg> {
    IfaddrmsgBuilder::default()
        .ifa_family(family)
        .ifa_prefixlen(prefix)
        .ifa_flags(IfaF::empty())
        .ifa_scope(RtScope::from(scope))
        .ifa_index(index)
        .rtattrs(attributes)
        .build()
        .map_err(io::Error::other)
}

fn attribute(kind: u16, payload: Vec<u8>) -> io::Result<neli::rtnl::Rtattr<Ifa, Buffer>> {
    RtattrBuilder::default()
        .rta_type(Ifa::from(kind))
        .rta_payload(Buffer::from(payload))
        .build()
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kernel_without_ipv6_may_fail_to_dump_it() {
        let of = io::Error::from_raw_os_error;
        for (errno, is_unknown) in [
            (libc::EAFNOSUPPORT, true),
            (libc::EOPNOTSUPP, true),
            (libc::ENOBUFS, false),
            (libc::ENOMEM, false),
            (libc::EINVAL, false),
            (libc::ENODEV, false),
            (libc::EPERM, false),
            (libc::EINTR, false),
        ] {
            for family in [RtAddrFamily::Inet, RtAddrFamily::Inet6] {
                let failing = |it| if it == family { Err(of(errno)) } else { Ok(()) };
                let is_fine = is_unknown && family == RtAddrFamily::Inet6;
                assert_eq!(each_family(failing).is_ok(), is_fine, "{errno}, {family:?}");
            }
        }
        // the table keeps changing
        assert!(!is_unknown_family(&io::Error::other("interrupted")));
    }
}
