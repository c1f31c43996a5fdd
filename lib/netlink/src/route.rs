//! Routes: dump by protocol or interface, look up, add, delete.

use std::io;
use std::net::IpAddr;

use neli::consts::nl::NlmF;
use neli::consts::rtnl::{RtAddrFamily, RtScope, RtTable, Rta, Rtm, RtmF, Rtn, Rtprot};
use neli::rtnl::{RtattrBuilder, Rtmsg, RtmsgBuilder};
use neli::types::{Buffer, RtBuffer};

use crate::address::{each_family, family, ip, octets};
use crate::{Message, Requests, attributes, u32_of};

const RTM_NEWROUTE: u16 = 24;
pub(crate) const RTM_DELROUTE: u16 = 25;
const RTN_UNICAST: u8 = 1;
pub(crate) const RTN_LOCAL: u8 = 2;
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_TABLE: u16 = 15;
const RT_TABLE_COMPAT: u32 = 252;
const RT_TABLE_MAIN: u32 = 254;
pub(crate) const RT_TABLE_LOCAL: u32 = 255;
const RTM_F_CLONED: u32 = 0x200;
const RTM_F_FIB_MATCH: u32 = 0x2000;

/// Unicast route with at most one next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    pub destination: IpAddr,
    pub prefix: u8,
    pub gateway: Option<IpAddr>,
    pub index: Option<u32>,
    pub source: Option<IpAddr>,
    pub metric: u32,
    pub table: u32,
    pub protocol: u8,
    pub scope: u8,
}

impl Route {
    /// Reads the payload of RTM_NEWROUTE or RTM_DELROUTE; None if it is not a unicast route.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [family, prefix, _, _, table, protocol, scope, kind] = *payload.first_chunk::<8>()?;
        let flags = u32_of(payload.get(8..12)?)?;
        if kind != RTN_UNICAST || flags & RTM_F_CLONED != 0 {
            return None;
        }
        let mut route = Self {
            destination: unspecified(family)?,
            prefix,
            gateway: None,
            index: None,
            source: None,
            metric: 0,
            table: u32::from(table),
            protocol,
            scope,
        };
        for (kind, value) in attributes(payload.get(12..)?) {
            match kind {
                RTA_DST => route.destination = ip(family, value)?,
                RTA_OIF => route.index = u32_of(value),
                RTA_GATEWAY => route.gateway = ip(family, value),
                RTA_PRIORITY => route.metric = u32_of(value).unwrap_or(0),
                RTA_PREFSRC => route.source = ip(family, value),
                RTA_TABLE => route.table = u32_of(value).unwrap_or(route.table),
                _ => {}
            }
        }
        Some(route)
    }
}

/// Route by which this node accepts packets to an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalRoute {
    pub address: IpAddr,
}

impl LocalRoute {
    /// Reads the payload of RTM_NEWROUTE or RTM_DELROUTE; None if it is another route.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [family, .., kind] = *payload.first_chunk::<8>()?;
        let mut all = attributes(payload.get(12..)?);
        let (_, value) = all.find(|(kind, _)| *kind == RTA_DST)?;
        let address = ip(family, value).filter(|_| kind == RTN_LOCAL)?;
        Some(Self { address })
    }
}

/// True for the kernel's errors for a missing route, and for routes that refuse.
fn is_no_way(error: &io::Error) -> bool {
    let none = [
        libc::ENETUNREACH,
        libc::EHOSTUNREACH,
        libc::EINVAL,
        libc::EACCES,
    ];
    error
        .raw_os_error()
        .is_some_and(|errno| none.contains(&errno))
}

impl Requests {
    /// Route of the kernel's tables that this node's packets to an address would take; None without a route, or with
    /// one that refuses. For a route with several next hops it has none.
    pub fn route_to(&mut self, address: IpAddr) -> io::Result<Option<Route>> {
        let mut attributes = RtBuffer::new();
        attributes.push(attribute(RTA_DST, octets(address))?);
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let question = asked(family(address), (bits, 0), RTM_F_FIB_MATCH, attributes)?;
        self.look_up(question, Route::parse)
    }

    /// True if a route refuses this node's packets to an address: blackhole, unreachable or prohibit.
    pub fn refuses(&mut self, address: IpAddr) -> io::Result<bool> {
        // for IPv6 the answer is that route, for IPv4 the error that senders get
        const REFUSING: std::ops::RangeInclusive<u8> = 6..=8;
        let mut attributes = RtBuffer::new();
        attributes.push(attribute(RTA_DST, octets(address))?);
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let question = asked(family(address), (bits, 0), RTM_F_FIB_MATCH, attributes)?;
        let mut refuses = false;
        let request = Message::new(Rtm::Getroute, NlmF::ACK, question)?;
        let answered = self.dump(request, |kind, payload| {
            let of_route = payload.get(7).filter(|_| kind == RTM_NEWROUTE);
            refuses |= of_route.is_some_and(|it| REFUSING.contains(it));
        });
        match answered {
            Ok(()) => Ok(refuses),
            Err(error) if is_no_way(&error) => Ok(error.raw_os_error() != Some(libc::ENETUNREACH)),
            Err(error) => Err(error),
        }
    }

    /// Unicast routes of both families, narrowed by the kernel to a protocol or to an interface.
    pub fn routes(&mut self, protocol: Option<u8>, index: Option<u32>) -> io::Result<Vec<Route>> {
        let mut found = Vec::new();
        each_family(|family| {
            let mut filter = RtBuffer::new();
            if let Some(index) = index {
                filter.push(attribute(RTA_OIF, index.to_ne_bytes().to_vec())?);
            }
            let payload = payload(family, 0, 0, protocol.unwrap_or(0), 0, 0, 0, filter)?;
            self.dump(
                Message::new(Rtm::Getroute, NlmF::DUMP, payload)?,
                |kind, payload| {
                    let route = (kind == RTM_NEWROUTE)
                        .then(|| Route::parse(payload))
                        .flatten();
                    found.extend(route.filter(|route| {
                        protocol.is_none_or(|protocol| protocol == route.protocol)
                            && (index.is_none() || index == route.index)
                    }));
                },
            )
        })?;
        Ok(found)
    }

    /// Gateway and interface through which this node reaches an address from one of its own; None if it cannot, or if
    /// the address is its own.
    pub fn way_to(
        &mut self,
        address: IpAddr,
        source: IpAddr,
    ) -> io::Result<Option<(Option<IpAddr>, u32)>> {
        let mut attributes = RtBuffer::new();
        attributes.push(attribute(RTA_DST, octets(address))?);
        attributes.push(attribute(RTA_SRC, octets(source))?);
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let question = asked(family(address), (bits, bits), 0, attributes)?;
        self.look_up(question, way)
    }

    /// Looks up one route and parses the kernel's answer with `read`; None without a route.
    fn look_up<T>(
        &mut self,
        question: Rtmsg,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let mut found = None;
        // the answer is one route, and the acknowledgement ends it like the end of a dump
        let request = Message::new(Rtm::Getroute, NlmF::ACK, question)?;
        let answered = self.dump(request, |kind, payload| {
            if kind == RTM_NEWROUTE {
                found = read(payload);
            }
        });
        match answered {
            Ok(()) => Ok(found),
            Err(error) if is_no_way(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn way(payload: &[u8]) -> Option<(Option<IpAddr>, u32)> {
    let [family, _, _, _, _, _, _, kind] = *payload.first_chunk::<8>()?;
    let (mut gateway, mut index) = (None, None);
    for (kind, value) in attributes(payload.get(12..)?) {
        match kind {
            RTA_OIF => index = u32_of(value),
            RTA_GATEWAY => gateway = ip(family, value),
            _ => {}
        }
    }
    index
        .filter(|_| kind == RTN_UNICAST)
        .map(|index| (gateway, index))
}

impl Message {
    /// Adds a route before those with the same destination and metric.
    pub fn add_route(route: &Route) -> io::Result<Self> {
        // Without NLM_F_APPEND and NLM_F_EXCL, IPv4 prepends.
        Self::new(Rtm::Newroute, NlmF::CREATE, encode(route)?)
    }

    /// Adds a route, unless one with the same destination and metric exists: EEXIST.
    pub fn add_missing_route(route: &Route) -> io::Result<Self> {
        Self::new(Rtm::Newroute, NlmF::CREATE | NlmF::EXCL, encode(route)?)
    }

    /// Deletes the route that equals this one in everything.
    pub fn delete_route(route: &Route) -> io::Result<Self> {
        Self::new(Rtm::Delroute, NlmF::empty(), encode(route)?)
    }
}

fn encode(route: &Route) -> io::Result<Rtmsg> {
    let mut attributes = RtBuffer::new();
    let table = if route.table == 0 {
        RT_TABLE_MAIN
    } else {
        route.table
    };
    attributes.push(attribute(RTA_TABLE, table.to_ne_bytes().to_vec())?);
    if route.prefix > 0 {
        attributes.push(attribute(RTA_DST, octets(route.destination))?);
    }
    if let Some(index) = route.index {
        attributes.push(attribute(RTA_OIF, index.to_ne_bytes().to_vec())?);
    }
    if let Some(gateway) = route.gateway {
        attributes.push(attribute(RTA_GATEWAY, octets(gateway))?);
    }
    if let Some(source) = route.source {
        attributes.push(attribute(RTA_PREFSRC, octets(source))?);
    }
    if route.metric > 0 {
        attributes.push(attribute(
            RTA_PRIORITY,
            route.metric.to_ne_bytes().to_vec(),
        )?);
    }
    let table = u8::try_from(table).unwrap_or(RT_TABLE_COMPAT as u8);
    payload(
        family(route.destination),
        route.prefix,
        table,
        route.protocol,
        route.scope,
        RTN_UNICAST,
        0,
        attributes,
    )
}

fn unspecified(family: u8) -> Option<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => Some(IpAddr::from([0; 4])),
        libc::AF_INET6 => Some(IpAddr::from([0; 16])),
        _ => None,
    }
}

#[allow(clippy::too_many_arguments)] // the fields of struct rtmsg
fn payload(
    family: RtAddrFamily,
    prefix: u8,
    table: u8,
    protocol: u8,
    scope: u8,
    kind: u8,
    tos: u8,
    attributes: RtBuffer<Rta, Buffer>,
) -> io::Result<Rtmsg> {
    RtmsgBuilder::default()
        .rtm_family(family)
        .rtm_dst_len(prefix)
        .rtm_src_len(0)
        .rtm_tos(tos)
        .rtm_table(RtTable::from(table))
        .rtm_protocol(Rtprot::from(protocol))
        .rtm_scope(RtScope::from(scope))
        .rtm_type(Rtn::from(kind))
        .rtattrs(attributes)
        .build()
        .map_err(io::Error::other)
}

/// Header of a query; `bits` are the prefix lengths of destination and source.
fn asked(
    family: RtAddrFamily,
    bits: (u8, u8),
    flags: u32,
    attributes: RtBuffer<Rta, Buffer>,
) -> io::Result<Rtmsg> {
    RtmsgBuilder::default()
        .rtm_family(family)
        .rtm_dst_len(bits.0)
        .rtm_src_len(bits.1)
        .rtm_flags(RtmF::from(flags))
        .rtm_tos(0)
        .rtm_table(RtTable::from(0))
        .rtm_protocol(Rtprot::from(0))
        .rtm_scope(RtScope::from(0))
        .rtm_type(Rtn::from(0))
        .rtattrs(attributes)
        .build()
        .map_err(io::Error::other)
}

fn attribute(kind: u16, payload: Vec<u8>) -> io::Result<neli::rtnl::Rtattr<Rta, Buffer>> {
    RtattrBuilder::default()
        .rta_type(Rta::from(kind))
        .rta_payload(Buffer::from(payload))
        .build()
        .map_err(io::Error::other)
}
