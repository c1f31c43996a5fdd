//! Expected connections (FTP's data, SIP's media). Attributes are passed on unchanged, since only
//! the kernel reads them.

use spared_netlink::{attributes, constants as c};

use super::GENERIC_HEADER;
use super::parse::{self, attribute};
use crate::flow::{Direction, Flow};

/// The attributes that the peer's kernel needs; the id has no meaning there.
const PASSED_ON: [u16; 10] = [
    c::CTA_EXPECT_MASTER,
    c::CTA_EXPECT_TUPLE,
    c::CTA_EXPECT_MASK,
    c::CTA_EXPECT_TIMEOUT,
    c::CTA_EXPECT_HELP_NAME,
    c::CTA_EXPECT_ZONE,
    c::CTA_EXPECT_FLAGS,
    c::CTA_EXPECT_CLASS,
    c::CTA_EXPECT_NAT,
    c::CTA_EXPECT_FN,
];

/// Turns the payload of a notification or a dump into that of a request.
pub fn request(payload: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = payload.split_at_checked(GENERIC_HEADER)?;
    let mut out = vec![*header.first()?, 0, 0, 0];
    for (kind, value) in attributes(rest) {
        if PASSED_ON.contains(&kind) {
            attribute(kind, value, &mut out);
        }
    }
    Some(out)
}

/// Returns the master: the connection whose helper expects this one.
pub fn master(request: &[u8]) -> Option<Flow> {
    let (header, _) = request.split_at_checked(GENERIC_HEADER)?;
    let zone = value(request, c::CTA_EXPECT_ZONE).and_then(|zone| zone.try_into().ok());
    let mut flow = Flow::default();
    flow.zone.id = zone.map_or(0, u16::from_be_bytes);
    let is_ipv6 = *header.first()? == super::AF_INET6;
    let master = value(request, c::CTA_EXPECT_MASTER)?;
    flow.original = parse::tuple(master, is_ipv6, Direction::Original, &mut flow.zone)?;
    Some(flow)
}

/// Returns true if two requests are about one expectation: its timeout and helper may differ.
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    key(one) == key(other)
}

/// Returns what names an expectation: two requests with the same are about one.
pub fn key(request: &[u8]) -> Vec<u8> {
    let mut key: Vec<u8> = request.first().copied().into_iter().collect();
    for kind in [c::CTA_EXPECT_TUPLE, c::CTA_EXPECT_MASK, c::CTA_EXPECT_ZONE] {
        if let Some(value) = value(request, kind) {
            attribute(kind, value, &mut key);
        }
    }
    key
}

fn value(request: &[u8], wanted: u16) -> Option<&[u8]> {
    let (_, rest) = request.split_at_checked(GENERIC_HEADER)?;
    let mut found = attributes(rest).filter(|(kind, _)| *kind == wanted);
    found.next().map(|(_, value)| value)
}

/// Returns true if [`request`] could have made this request, which came from the peer.
pub fn is_valid(request: &[u8]) -> bool {
    let Some((header, rest)) = request.split_at_checked(GENERIC_HEADER) else {
        return false;
    };
    let mut length = 0;
    let known = attributes(rest).all(|(kind, value)| {
        length += (value.len() + 4).next_multiple_of(4);
        PASSED_ON.contains(&kind)
    });
    let family = matches!(header.first(), Some(&super::AF_INET | &super::AF_INET6));
    known && family && length == rest.len() && length > 0
}
