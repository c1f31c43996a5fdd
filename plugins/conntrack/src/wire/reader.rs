//! Bytes into messages and records, as far as they are there and nothing else is.

use spared_netlink::attributes;

use super::{ADDRESSES_MAX, Address, EXTRA_BYTES_MAX, Kind, Why, head};
use crate::ctnetlink::{is_passed_on, parse};
use crate::engine::table::status_bits;
use crate::flow::{Direction, Flow, INCARNATIONS, TCP, Tcp, Tuple, Zone};

pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        Some(u8::from_be_bytes(self.array()?))
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.array()?))
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(super) fn hashes(&mut self) -> Option<&'a [u8]> {
        Some(self.rest()).filter(|bytes| bytes.len() % 8 == 0)
    }

    fn leb128(&mut self) -> Option<u32> {
        let mut number = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8()?;
            let bits = u32::from(byte & 0x7f);
            if bits.leading_zeros() < shift {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn addresses(&mut self) -> Option<Vec<Address>> {
        let mut addresses = Vec::new();
        while !self.0.is_empty() && addresses.len() < ADDRESSES_MAX {
            let width = self.u8().filter(|width| matches!(width, 4 | 16))?;
            addresses.push((width == 16, self.address(usize::from(width))?));
        }
        Some(addresses)
    }

    fn address(&mut self, width: usize) -> Option<[u8; 16]> {
        let mut address = [0; 16];
        address[..width].copy_from_slice(self.take(width)?);
        Some(address)
    }

    fn tuple(&mut self, protocol: u8, is_ipv6: bool) -> Option<Tuple> {
        let width = if is_ipv6 { 16 } else { 4 };
        Some(Tuple {
            is_ipv6,
            protocol,
            source: self.address(width)?,
            destination: self.address(width)?,
            ends: self.array()?,
        })
    }

    fn zone(&mut self) -> Option<Zone> {
        let of = match self.u8()? {
            0 => Direction::Both,
            1 => Direction::Original,
            2 => Direction::Reply,
            _ => return None,
        };
        Some(Zone {
            of,
            id: self.u16()?,
        })
    }

    pub(super) fn record(&mut self) -> Option<(Kind, Flow)> {
        let head = self.u8()?;
        let kind = match head & head::KIND {
            0 => Kind::Whole,
            1 => Kind::Part,
            2 => Kind::Gone(Why::Ended),
            _ => return None,
        };
        // a part leaves its translation out, and of what is gone there is only the name
        let unfit = match kind {
            Kind::Whole => 0,
            Kind::Part => head::TRANSLATED,
            Kind::Gone(_) => !(head::KIND | head::IPV6 | head::ZONE),
        };
        if head & unfit != 0 {
            return None;
        }
        let has = |bit: u8| head & bit != 0;
        let protocol = self.u8().filter(|protocol| *protocol != 0)?;
        let mut flow = Flow {
            original: self.tuple(protocol, has(head::IPV6))?,
            ..Flow::default()
        };
        if has(head::ZONE) {
            flow.zone = self.zone()?;
        }
        if let Kind::Gone(_) = kind {
            let (why, incarnation) = halves(self.u8()?)?;
            flow.incarnation = incarnation;
            return Some((Kind::Gone(why_of(why)?), flow));
        }
        flow.reply = match has(head::TRANSLATED) {
            true => self.tuple(protocol, has(head::IPV6))?,
            false => flow.original.inverse(),
        };
        self.state(head, &mut flow)?;
        // the kernel would take a TCP flow without a state, and drop its packets
        let whole = kind != Kind::Whole || protocol != TCP || flow.tcp.is_some();
        whole.then_some((kind, flow))
    }

    fn state(&mut self, head: u8, flow: &mut Flow) -> Option<()> {
        let (status, incarnation) = halves(self.u8()?)?;
        flow.status = status_bits(status);
        flow.incarnation = incarnation;
        flow.timeout_s = self.leb128()?.checked_sub(1);
        if head & head::MARK != 0 {
            flow.mark = self.u32()?;
        }
        if head & head::TCP != 0 {
            let [state, scales, original, reply] = self.array()?;
            if flow.original.protocol != TCP {
                return None;
            }
            flow.tcp = Some(Tcp {
                state,
                scales: [scales >> 4, scales & 15],
                flags: [original, reply],
            });
        }
        if head & head::EXTRA != 0 {
            let length = self.u16().map(usize::from)?;
            let extra = self.take(length).filter(|_| length <= EXTRA_BYTES_MAX)?;
            is_extra(extra, flow.original.protocol).then_some(())?;
            flow.extra = extra.to_vec();
            flow.state = parse::state_in(extra, flow.original.protocol);
        }
        Some(())
    }
}

/// The lower four bits, and the incarnation above them.
fn halves(byte: u8) -> Option<(u8, u8)> {
    let incarnation = byte >> 4;
    (incarnation < INCARNATIONS).then_some((byte & 15, incarnation))
}

fn why_of(code: u8) -> Option<Why> {
    match code {
        0 => Some(Why::Ended),
        1 => Some(Why::Closed),
        2 => Some(Why::Hand),
        _ => None,
    }
}

/// Whether these are attributes that a peer may set, and nothing else.
fn is_extra(bytes: &[u8], protocol: u8) -> bool {
    let mut length = 0;
    let known = attributes(bytes).all(|(kind, value)| {
        length += (value.len() + 4).next_multiple_of(4);
        is_passed_on(kind, protocol)
    });
    known && length == bytes.len()
}
