//! Reads fields and records. Missing and excess bytes are errors.

use spared_netlink::attributes;
use spared_replica::{Malformed, Reader};

use super::{ADDRESSES_MAX, Address, EXTRA_BYTES_MAX, Kind, POLICY_TIMEOUT, Why, head};
use crate::codec::{is_passed_on, parse};
use crate::engine::table::status_bits;
use crate::flow::{Direction, Flow, INCARNATIONS, TCP, Tcp, Tuple, Zone};

/// Returns an error that names `field`, unless `holds`.
fn check(holds: bool, field: &'static str) -> Result<(), Malformed> {
    holds.then_some(()).ok_or(Malformed::Field(field))
}

pub(super) fn hashes<'a>(read: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    check(read.0.len() % 8 == 0, "hash")?;
    Ok(read.rest())
}

pub(super) fn addresses(read: &mut Reader<'_>) -> Result<Vec<Address>, Malformed> {
    let mut addresses = Vec::new();
    while !read.0.is_empty() && addresses.len() < ADDRESSES_MAX {
        let width = read.u8()?;
        check(matches!(width, 4 | 16), "address")?;
        addresses.push((width == 16, address(read, usize::from(width))?));
    }
    Ok(addresses)
}

fn leb128(read: &mut Reader<'_>) -> Result<u32, Malformed> {
    let mut number = 0u32;
    for shift in [0, 7, 14, 21, 28] {
        let byte = read.u8()?;
        let bits = u32::from(byte & 0x7f);
        check(bits.leading_zeros() >= shift, "time")?;
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Malformed::Field("time"))
}

fn address(read: &mut Reader<'_>, width: usize) -> Result<[u8; 16], Malformed> {
    let mut address = [0; 16];
    address[..width].copy_from_slice(read.take(width)?);
    Ok(address)
}

fn tuple(read: &mut Reader<'_>, protocol: u8, is_ipv6: bool) -> Result<Tuple, Malformed> {
    let width = if is_ipv6 { 16 } else { 4 };
    Ok(Tuple {
        is_ipv6,
        protocol,
        source: address(read, width)?,
        destination: address(read, width)?,
        ports: read.array()?,
    })
}

fn zone(read: &mut Reader<'_>) -> Result<Zone, Malformed> {
    let of = match read.u8()? {
        0 => Direction::Both,
        1 => Direction::Original,
        2 => Direction::Reply,
        _ => return Err(Malformed::Field("zone")),
    };
    let id = read.u16()?;
    Ok(Zone { of, id })
}

pub(super) fn record(read: &mut Reader<'_>) -> Result<(Kind, Flow), Malformed> {
    let head = read.u8()?;
    let kind = match head & head::KIND {
        0 => Kind::Whole,
        1 => Kind::Part,
        2 => Kind::Gone(Why::Ended),
        _ => return Err(Malformed::Field("kind of record")),
    };
    // a partial record has no translation, and a record of an end has only the key
    let unfit = match kind {
        Kind::Whole => 0,
        Kind::Part => head::TRANSLATED,
        Kind::Gone(_) => !(head::KIND | head::IPV6 | head::ZONE),
    };
    check(head & unfit == 0, "head of a record")?;
    let has = |bit: u8| head & bit != 0;
    let protocol = read.u8()?;
    check(protocol != 0, "protocol")?;
    let mut flow = Flow {
        original: tuple(read, protocol, has(head::IPV6))?,
        ..Flow::default()
    };
    if has(head::ZONE) {
        flow.zone = zone(read)?;
    }
    if let Kind::Gone(_) = kind {
        let (why, incarnation) = halves(read.u8()?)?;
        flow.incarnation = incarnation;
        return Ok((Kind::Gone(why_of(why)?), flow));
    }
    flow.reply = if has(head::TRANSLATED) {
        tuple(read, protocol, has(head::IPV6))?
    } else {
        flow.original.inverse()
    };
    state(read, head, &mut flow)?;
    // the kernel would accept a TCP flow without a state, and drop its packets
    let whole = kind != Kind::Whole || protocol != TCP || flow.tcp.is_some();
    check(whole, "state")?;
    Ok((kind, flow))
}

fn state(read: &mut Reader<'_>, head: u8, flow: &mut Flow) -> Result<(), Malformed> {
    let byte = read.u8()?;
    let (status, incarnation) = halves(byte & !POLICY_TIMEOUT)?;
    flow.status = status_bits(status);
    flow.incarnation = incarnation;
    flow.timeout_s = leb128(read)?.checked_sub(1);
    if byte & POLICY_TIMEOUT != 0 {
        flow.policy_timeout_s = leb128(read)?;
        check(flow.policy_timeout_s > 0, "time")?;
    }
    if head & head::MARK != 0 {
        flow.mark = read.u32()?;
    }
    if head & head::TCP != 0 {
        let [state, scales, original, reply] = read.array()?;
        check(flow.original.protocol == TCP, "state")?;
        flow.tcp = Some(Tcp {
            state,
            scales: [scales >> 4, scales & 15],
            flags: [original, reply],
        });
    }
    if head & head::EXTRA != 0 {
        let length = read.u16().map(usize::from)?;
        let extra = read.take(length)?;
        let is_known = is_extra(extra, flow.original.protocol);
        check(length <= EXTRA_BYTES_MAX && is_known, "attribute")?;
        flow.extra = extra.to_vec();
        flow.state = parse::state_in(extra, flow.original.protocol);
    }
    Ok(())
}

/// Splits a byte into its lower four bits and the incarnation above them.
fn halves(byte: u8) -> Result<(u8, u8), Malformed> {
    let incarnation = byte >> 4;
    check(incarnation < INCARNATIONS, "incarnation")?;
    Ok((byte & 15, incarnation))
}

fn why_of(code: u8) -> Result<Why, Malformed> {
    match code {
        0 => Ok(Why::Ended),
        1 => Ok(Why::Closed),
        2 => Ok(Why::Deleted),
        _ => Err(Malformed::Field("end of a flow")),
    }
}

/// Returns true if these are only attributes that a peer may set.
fn is_extra(bytes: &[u8], protocol: u8) -> bool {
    let mut length = 0;
    let known = attributes(bytes).all(|(kind, value)| {
        length += (value.len() + 4).next_multiple_of(4);
        is_passed_on(kind, protocol)
    });
    known && length == bytes.len()
}
