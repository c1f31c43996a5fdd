//! Lease database of ISC's dhcpd: a journal of declarations, of which the last one for an address
//! counts.
//!
//! dhcpd executes statements in a lease (`on expiry { execute ... }`), so only fields that are
//! known here are written, and each text is quoted.

mod date;
mod journal;
pub(crate) mod lexer;
mod reader;
mod writer;

use std::collections::HashSet;
use std::sync::LazyLock;

pub use journal::Reader;
pub use writer::write;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// Byte order of the machine that wrote the file: dhcpd stores identity associations as they are in
/// its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    /// dhcpd's defaults for values missing in the file.
    const NATIVE: Self = if cfg!(target_endian = "big") {
        Self::Big
    } else {
        Self::Little
    };

    fn parse(word: &[u8]) -> Option<Self> {
        match word {
            b"little-endian" => Some(Self::Little),
            b"big-endian" => Some(Self::Big),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Little => "little-endian",
            Self::Big => "big-endian",
        }
    }

    fn iaid(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    fn bytes(self, iaid: u32) -> [u8; 4] {
        match self {
            Self::Little => iaid.to_le_bytes(),
            Self::Big => iaid.to_be_bytes(),
        }
    }
}

const HARDWARE: [(u16, &str); 4] = [
    (1, "ethernet"),
    (6, "token-ring"),
    (8, "fddi"),
    (32, "infiniband"),
];

/// Names of a lease's extra fields: `set ` goes before a variable's name, the others are used as
/// they are.
const SET: &str = "set ";
const BINDING: &str = "binding";
const RELAY_OPTIONS: [&str; 2] = ["option agent.circuit-id", "option agent.remote-id"];
const FLAGS: [&str; 2] = ["bootp", "reserved"];
/// Longest text in bytes. Longer ones would not pass dhcpd's own lexer, whose limit is 1500 bytes.
const LONGEST_TEXT: usize = 1024;

/// Binding states that count as free here, in addition to `free` itself.
const FREE_BINDINGS: [&str; 4] = ["expired", "released", "reset", "backup"];

/// Words that dhcpd 4.4.3 does not accept as a variable's name; one of them would end its reading.
static KEYWORDS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("keywords.txt").lines().collect());

/// Returns true if dhcpd reads the name as a variable's and as nothing else.
fn is_variable(name: &str) -> bool {
    let begins = name
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic());
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_word = begins && name.len() <= 64 && name.bytes().all(legal);
    is_word && !KEYWORDS.contains(name.to_ascii_lowercase().as_str())
}

/// Escapes a text for quotes: printable characters, the others in octal.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b' '..=b'~' => out.push(*byte),
            _ => {
                let digit = |shift: u8| b'0' + (byte >> shift & 7);
                out.extend_from_slice(&[b'\\', digit(6), digit(3), digit(0)]);
            }
        }
    }
}

/// Reverses `escape` up to a closing quote; also returns the rest after it.
fn unescape(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut plain = Vec::new();
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'"', _) => break,
            (
                b'\\',
                [
                    a @ b'0'..=b'3',
                    b @ b'0'..=b'7',
                    c @ b'0'..=b'7',
                    after @ ..,
                ],
            ) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            (b'\\', [b'x', high, low, after @ ..]) => {
                plain.extend(spared_sdk::hex::byte(&[*high, *low]));
                rest = after;
            }
            (b'\\', [escaped, after @ ..]) => {
                plain.push(match escaped {
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b'b' => 8,
                    other => *other,
                });
                rest = after;
            }
            (other, _) => plain.push(*other),
        }
    }
    (plain, rest)
}
