// SPDX-License-Identifier: MIT OR Apache-2.0
//! DHCPv4 messages (RFC 2131 §2). dhcproto is not used, since it adds 44 crates, among them a DNS library; Kea, dnsmasq
//! and dhcpd, which answer these messages, prove the code right.
//!
//! ```text
//!  0 op(1) htype(1) hlen(1) hops(1)   4 xid   8 secs(2) flags(2)
//! 12 ciaddr  16 yiaddr  20 siaddr  24 giaddr  28 chaddr(16)  44 sname(64)  108 file(128)
//! 236 magic cookie  240 options: code(1) length(1) value ... 255
//! ```

use std::net::Ipv4Addr;

pub const DISCOVER: u8 = 1;
pub const OFFER: u8 = 2;
pub const REQUEST: u8 = 3;
pub const DECLINE: u8 = 4;
pub const ACK: u8 = 5;
pub const NAK: u8 = 6;
pub const RELEASE: u8 = 7;

pub const HOSTNAME: u8 = 12;
pub const REQUESTED: u8 = 50;
pub const LIFETIME: u8 = 51;
pub const KIND: u8 = 53;
pub const SERVER: u8 = 54;
pub const WANTED: u8 = 55;
pub const CLIENT_ID: u8 = 61;

const COOKIE: [u8; 4] = [99, 130, 83, 99];
const BOOTREQUEST: u8 = 1;
const OPTIONS: usize = 240;

#[derive(Clone, Debug)]
pub struct Message {
    pub xid: u32,
    /// The answer is to be broadcast.
    pub broadcast: bool,
    pub ciaddr: Ipv4Addr,
    pub yiaddr: Ipv4Addr,
    pub mac: [u8; 6],
    pub options: Vec<(u8, Vec<u8>)>,
}

impl Message {
    pub fn new(kind: u8, xid: u32, mac: [u8; 6]) -> Self {
        Self {
            xid,
            broadcast: true,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            mac,
            options: vec![(KIND, vec![kind])],
        }
    }

    pub fn option(&self, code: u8) -> Option<&[u8]> {
        let found = self.options.iter().find(|(which, _)| *which == code);
        found.map(|(_, value)| value.as_slice())
    }

    pub fn kind(&self) -> u8 {
        self.option(KIND)
            .and_then(|value| value.first())
            .copied()
            .unwrap_or_default()
    }

    pub fn address(&self, code: u8) -> Option<Ipv4Addr> {
        let octets = <[u8; 4]>::try_from(self.option(code)?).ok()?;
        Some(octets.into())
    }

    pub fn number(&self, code: u8) -> Option<u32> {
        let bytes = <[u8; 4]>::try_from(self.option(code)?).ok()?;
        Some(u32::from_be_bytes(bytes))
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; OPTIONS];
        out[..4].copy_from_slice(&[BOOTREQUEST, 1, 6, 0]);
        out[4..8].copy_from_slice(&self.xid.to_be_bytes());
        out[10] = if self.broadcast { 0x80 } else { 0 };
        out[12..16].copy_from_slice(&self.ciaddr.octets());
        out[28..34].copy_from_slice(&self.mac);
        out[236..OPTIONS].copy_from_slice(&COOKIE);
        for (code, value) in &self.options {
            out.extend([*code, value.len() as u8]);
            out.extend(value);
        }
        out.push(255);
        // minimum length that BOOTP relays and some servers accept
        out.resize(out.len().max(300), 0);
        out
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.get(236..OPTIONS)? != COOKIE {
            return None;
        }
        let word = |at: usize| <[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok();
        let mut options = Vec::new();
        let mut rest = bytes.get(OPTIONS..)?;
        while let [code, tail @ ..] = rest {
            match code {
                0 => rest = tail,
                255 => break,
                _ => {
                    let length = usize::from(*tail.first()?);
                    options.push((*code, tail.get(1..1 + length)?.to_vec()));
                    rest = tail.get(1 + length..)?;
                }
            }
        }
        Some(Self {
            xid: u32::from_be_bytes(word(4)?),
            broadcast: bytes.get(10)? & 0x80 != 0,
            ciaddr: word(12)?.into(),
            yiaddr: word(16)?.into(),
            mac: bytes.get(28..34)?.try_into().ok()?,
            options,
        })
    }
}
