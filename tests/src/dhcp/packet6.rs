// SPDX-License-Identifier: MIT OR Apache-2.0
//! DHCPv6 messages (RFC 8415 §8, §21): type(1) transaction(3), then options: code(2) length(2) value.
//! Written here for the reason given in `packet4`.

pub const SOLICIT: u8 = 1;
pub const REQUEST: u8 = 3;
pub const RENEW: u8 = 5;
pub const REBIND: u8 = 6;
pub const RELEASE: u8 = 8;
pub const DECLINE: u8 = 9;

pub const CLIENT_ID: u16 = 1;
pub const SERVER_ID: u16 = 2;
pub const IA_NA: u16 = 3;
pub const IA_ADDR: u16 = 5;
pub const ELAPSED: u16 = 8;
pub const IA_PD: u16 = 25;
pub const IA_PREFIX: u16 = 26;
pub const FQDN: u16 = 39;

pub type Options = Vec<(u16, Vec<u8>)>;

#[derive(Clone, Debug)]
pub struct Message {
    pub kind: u8,
    pub transaction: u32,
    pub options: Options,
}

impl Message {
    pub fn option(&self, code: u16) -> Option<&[u8]> {
        find(&self.options, code)
    }

    pub fn encode(&self) -> Vec<u8> {
        let [_, a, b, c] = self.transaction.to_be_bytes();
        let mut out = vec![self.kind, a, b, c];
        out.extend(encode(&self.options));
        out
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<4>()?;
        let [kind, a, b, c] = *head;
        Some(Self {
            kind,
            transaction: u32::from_be_bytes([0, a, b, c]),
            options: decode(rest),
        })
    }
}

pub fn find(options: &Options, code: u16) -> Option<&[u8]> {
    let found = options.iter().find(|(which, _)| *which == code);
    found.map(|(_, value)| value.as_slice())
}

pub fn encode(options: &Options) -> Vec<u8> {
    let mut out = Vec::new();
    for (code, value) in options {
        out.extend(code.to_be_bytes());
        out.extend((value.len() as u16).to_be_bytes());
        out.extend(value);
    }
    out
}

/// Options up to the first one that is cut off.
pub fn decode(mut rest: &[u8]) -> Options {
    let mut options = Options::new();
    while let Some(([a, b, c, d], tail)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([*c, *d]));
        let Some(value) = tail.get(..length) else {
            break;
        };
        options.push((u16::from_be_bytes([*a, *b]), value.to_vec()));
        rest = tail.get(length..).unwrap_or_default();
    }
    options
}
