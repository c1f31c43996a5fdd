// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads a namespace's flows as its kernel lists them, sorted so that two tables can be compared.

use std::cmp::Ordering;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use spared_netlink::{attributes, messages, text};

use super::ctnetlink::{self as ct, Socket};
use crate::Result;
use crate::lab::Namespace;

pub const ICMP: u8 = 1;
pub const ICMPV6: u8 = 58;

/// Status bits.
const SEEN_REPLY: u32 = 1 << 1;
const ASSURED: u32 = 1 << 2;
const SRC_NAT: u32 = 1 << 4;
const DST_NAT: u32 = 1 << 5;

/// One direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// Source port; for ICMP the identifier.
    pub source_port: u16,
    /// Destination port; for ICMP type and code.
    pub destination_port: u16,
    pub protocol: u8,
    /// Zone of this direction only; else 0.
    pub zone: u16,
}

impl Tuple {
    pub fn new(protocol: u8, from: impl Into<SocketAddr>, to: impl Into<SocketAddr>) -> Self {
        let (from, to) = (from.into(), to.into());
        Self {
            source: from.ip(),
            destination: to.ip(),
            source_port: from.port(),
            destination_port: to.port(),
            protocol,
            zone: 0,
        }
    }

    /// Returns the reverse direction, untranslated.
    pub fn inverse(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            ..self
        }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut tuple = Self {
            source: Ipv4Addr::UNSPECIFIED.into(),
            destination: Ipv4Addr::UNSPECIFIED.into(),
            source_port: 0,
            destination_port: 0,
            protocol: 0,
            zone: 0,
        };
        for (kind, payload) in attributes(bytes) {
            match kind {
                ct::TUPLE_IP => tuple.parse_addresses(payload)?,
                ct::TUPLE_PROTO => tuple.parse_protocol(payload)?,
                ct::TUPLE_ZONE => tuple.zone = u16_of(payload)?,
                _ => {}
            }
        }
        Some(tuple)
    }

    fn parse_addresses(&mut self, bytes: &[u8]) -> Option<()> {
        for (kind, payload) in attributes(bytes) {
            let address: IpAddr = match payload.len() {
                4 => Ipv4Addr::from(*payload.first_chunk()?).into(),
                _ => Ipv6Addr::from(*payload.first_chunk()?).into(),
            };
            match kind {
                1 | 3 => self.source = address,
                2 | 4 => self.destination = address,
                _ => {}
            }
        }
        Some(())
    }

    fn parse_protocol(&mut self, bytes: &[u8]) -> Option<()> {
        for (kind, payload) in attributes(bytes) {
            match kind {
                1 => self.protocol = *payload.first()?,
                // ports, or the identifier of ICMP and of ICMPv6
                2 | 4 | 7 => self.source_port = u16_of(payload)?,
                3 => self.destination_port = u16_of(payload)?,
                5 | 8 => self.destination_port |= u16::from(*payload.first()?) << 8,
                6 | 9 => self.destination_port |= u16::from(*payload.first()?),
                _ => {}
            }
        }
        Some(())
    }
}

impl fmt::Display for Tuple {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let (source, destination) = (self.source, self.destination);
        let (from, to) = (self.source_port, self.destination_port);
        write!(
            out,
            "{}: {source} {from} > {destination} {to}",
            self.protocol
        )?;
        match self.zone {
            0 => Ok(()),
            zone => write!(out, " zone {zone}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub zone: u16,
    pub original: Tuple,
    pub reply: Tuple,
    /// State of TCP, SCTP or DCCP; else 0.
    pub state: u8,
    pub status: u32,
    pub mark: u32,
    pub labels: [u8; 16],
    pub timeout_s: u32,
    pub helper: Option<Box<str>>,
    pub master: Option<Box<Tuple>>,
    /// TCP flags of both directions: 8 is "be liberal".
    pub tcp_flags: [u8; 2],
    /// Shift of sequence numbers by a helper's translation, in both directions: the position of the
    /// last change, the shift before and after it.
    pub adjusted: [[u32; 3]; 2],
}

impl Entry {
    /// Returns an assured flow without translation.
    pub fn new(original: Tuple, reply: Tuple, timeout_s: u32) -> Self {
        Self {
            zone: 0,
            original,
            reply,
            state: 0,
            status: SEEN_REPLY | ASSURED,
            mark: 0,
            labels: [0; 16],
            timeout_s,
            helper: None,
            master: None,
            tcp_flags: [0; 2],
            adjusted: [[0; 3]; 2],
        }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (mut original, mut reply) = (None, None);
        let (mut zone, mut state, mut tcp_flags) = (0, 0, [0; 2]);
        let (mut status, mut mark, mut timeout_s) = (0, 0, 0);
        let (mut helper, mut master, mut labels) = (None, None, [0; 16]);
        let mut adjusted = [[0; 3]; 2];
        for (kind, payload) in attributes(bytes) {
            match kind {
                ct::TUPLE_ORIG => original = Tuple::parse(payload),
                ct::TUPLE_REPLY => reply = Tuple::parse(payload),
                ct::TUPLE_MASTER => master = Tuple::parse(payload).map(Box::new),
                ct::ZONE => zone = u16_of(payload)?,
                ct::STATUS => status = u32_of(payload)?,
                ct::MARK => mark = u32_of(payload)?,
                ct::TIMEOUT => timeout_s = u32_of(payload)?,
                ct::LABELS => labels
                    .iter_mut()
                    .zip(payload)
                    .for_each(|(to, from)| *to = *from),
                ct::HELP => helper = inner(payload, 1).map(|name| text(name).into_boxed_str()),
                ct::SEQ_ADJ_ORIG | ct::SEQ_ADJ_REPLY => {
                    let number = |kind| inner(payload, kind).and_then(u32_of).unwrap_or(0);
                    adjusted[usize::from(kind - ct::SEQ_ADJ_ORIG)] = [1, 2, 3].map(number);
                }
                ct::PROTOINFO => {
                    let (_, protocol) = attributes(payload).next()?;
                    state = *inner(protocol, 1)?.first()?;
                    let flags = |kind| inner(protocol, kind).and_then(<[u8]>::first).copied();
                    tcp_flags = [4, 5].map(|kind| flags(kind).unwrap_or(0));
                }
                _ => {}
            }
        }
        Some(Self {
            zone,
            original: original?,
            reply: reply?,
            state,
            status,
            mark,
            labels,
            timeout_s,
            helper,
            master,
            tcp_flags,
            adjusted,
        })
    }

    pub fn is_assured(&self) -> bool {
        self.status & ASSURED != 0
    }

    /// True if its packets are translated, at source or destination.
    pub fn is_translated(&self) -> bool {
        self.status & (SRC_NAT | DST_NAT) != 0
    }

    /// True if one of its four ends is this address.
    pub fn touches(&self, address: IpAddr) -> bool {
        let ends = [self.original, self.reply];
        ends.iter()
            .any(|end| end.source == address || end.destination == address)
    }

    /// Returns the attributes that must be equal on both routers, without those that only the
    /// kernel knows that carries the packets: timeouts, counters, windows.
    fn essence(&self) -> impl PartialEq + '_ {
        const STATUS: u32 = SEEN_REPLY | ASSURED | SRC_NAT | DST_NAT;
        let key = (self.zone, self.original, self.reply);
        let rest = (self.state, self.status & STATUS, self.mark, self.labels);
        let rest = (rest, self.adjusted);
        (key, rest, self.helper.as_deref(), self.master.as_deref())
    }

    fn order(&self, other: &Self) -> Ordering {
        (self.zone, self.original, self.reply).cmp(&(other.zone, other.original, other.reply))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let (original, reply) = (self.original, self.reply);
        write!(out, "{original} | {reply} state {}", self.state)?;
        write!(out, " status {:#x} mark {:#x}", self.status, self.mark)?;
        write!(out, " zone {} for {} s", self.zone, self.timeout_s)?;
        if self.labels != [0; 16] {
            write!(out, " labels {:x?}", self.labels)?;
        }
        if self.adjusted != [[0; 3]; 2] {
            write!(out, " adjusted {:?}", self.adjusted)?;
        }
        if let Some(helper) = &self.helper {
            write!(out, " helper {helper}")?;
        }
        match &self.master {
            Some(master) => write!(out, " of {master}"),
            None => Ok(()),
        }
    }
}

/// A flow that a helper expects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expectation {
    pub tuple: Tuple,
    pub mask: Tuple,
    pub master: Tuple,
    pub helper: String,
    pub class: u32,
    pub flags: u32,
    /// Direction and target of the translation.
    pub nat: Option<(u32, Tuple)>,
}

impl Expectation {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (mut tuple, mut mask, mut master) = (None, None, None);
        let (mut class, mut flags, mut nat, mut helper) = (0, 0, None, String::new());
        for (kind, payload) in attributes(bytes) {
            match kind {
                1 => master = Tuple::parse(payload),
                2 => tuple = Tuple::parse(payload),
                3 => mask = Tuple::parse(payload),
                6 => helper = text(payload),
                8 => flags = u32_of(payload)?,
                9 => class = u32_of(payload)?,
                10 => {
                    nat = Some((
                        u32_of(inner(payload, 1)?)?,
                        Tuple::parse(inner(payload, 2)?)?,
                    ))
                }
                _ => {}
            }
        }
        Some(Self {
            tuple: tuple?,
            mask: mask?,
            master: master?,
            helper,
            class,
            flags,
            nat,
        })
    }
}

/// Reads the whole table, sorted.
pub fn read(ns: &Namespace) -> Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(count(ns).unwrap_or_default());
    dump(ns, (ct::GET, ct::NEW), |bytes| {
        entries.extend(Entry::parse(bytes));
    })?;
    entries.sort_unstable_by(Entry::order);
    // While flows come and go, a dump may list one twice.
    entries.dedup_by(|one, other| one.order(other).is_eq());
    Ok(entries)
}

/// Reads all expectations of helpers, sorted.
pub fn expectations(ns: &Namespace) -> Result<Vec<Expectation>> {
    let mut found = Vec::new();
    dump(ns, (ct::EXPECT_GET, ct::EXPECT_NEW), |bytes| {
        found.extend(Expectation::parse(bytes));
    })?;
    found.sort_unstable();
    Ok(found)
}

/// Deletes all flows.
pub fn flush(ns: &Namespace) -> Result<()> {
    let socket = Socket::open(ns)?;
    let (mut out, mut answer) = (Vec::new(), [0; 4096]);
    ct::message_of(&mut out, (ct::DELETE, ct::ACK), 1, 0, |_| {});
    socket.send(&out)?;
    socket.receive(&mut answer)?;
    Ok(())
}

/// Returns the number of flows in the kernel, including expired ones that are not removed yet.
pub fn count(ns: &Namespace) -> Result<usize> {
    ns.run(|| {
        let text = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count")?;
        Ok(text.trim().parse()?)
    })
}

pub fn same(one: &[Entry], other: &[Entry]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(one, other)| one.essence() == other.essence())
}

/// Returns the first flows that only one of two sorted tables has (`<`, `>`), or that differ.
pub fn differences(one: &[Entry], other: &[Entry]) -> Vec<String> {
    const SHOWN: usize = 8;
    let (mut lines, mut left, mut right) = (Vec::new(), one.iter(), other.iter());
    let (mut here, mut there) = (left.next(), right.next());
    while lines.len() < SHOWN {
        let order = match (here, there) {
            (None, None) => break,
            (Some(here), Some(there)) => here.order(there),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
        };
        match (here, there) {
            (Some(here), _) if order.is_lt() => lines.push(format!("< {here}")),
            (_, Some(there)) if order.is_gt() => lines.push(format!("> {there}")),
            (Some(here), Some(there)) if here.essence() != there.essence() => {
                lines.push(format!("< {here}\n> {there}"));
            }
            _ => {}
        }
        if order.is_le() {
            here = left.next();
        }
        if order.is_ge() {
            there = right.next();
        }
    }
    lines
}

fn dump(ns: &Namespace, (request, answer): (u16, u16), mut each: impl FnMut(&[u8])) -> Result<()> {
    const HEADER: usize = 4;
    let socket = Socket::open(ns)?;
    let mut out = Vec::new();
    ct::message_of(&mut out, (request, ct::DUMP), 1, 0, |_| {});
    socket.send(&out)?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        for (header, payload) in messages(socket.receive(&mut buffer)?) {
            match header.kind {
                ct::DONE => return Ok(()),
                ct::ERROR => return Err("the kernel refuses to list its flows".into()),
                kind if kind == answer => each(payload.get(HEADER..).unwrap_or_default()),
                _ => {}
            }
        }
    }
}

fn inner(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut found = attributes(bytes).filter(|(kind, _)| *kind == wanted);
    found.next().map(|(_, payload)| payload)
}

fn u16_of(payload: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(payload.try_into().ok()?))
}

fn u32_of(payload: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(payload.try_into().ok()?))
}
