//! Encodes messages between peers, and the records of flows in them. Numbers are big-endian.
//!
//! The identity of the nodes, the groups active on each, the drain and requests to resend are messages of
//! `spared_replica::wire`, whose kinds are less than `OWN`. The messages of flows are these:
//!
//! ```text
//! message: kind (1 byte; OWN and what follows it), then
//!   changes    age_us (4), records
//!   resync     number, lease_s (4), serial (4)   the sender reads its whole table now, and has
//!                                           heard the role of that serial
//!   alive      hash (8) ...                 unchanged since they were sent
//!   resynced   number, flows (4)            all that there is has been sent
//!   missing    hash (8) ...                 not in the kernel here: send them again
//!   expect     yes or no, attributes        of the kernel, as they are
//!   addresses  width, address ...           that flows of `dynamic_nat` are translated to
//!   pulse      flows (4), yes or no            notifications were lost, and no resync has made up for them
//!   compare    id (4)
//!   compared   id (4), records
//!   end        id (4)
//!   holds      width, address ...           that the sender's interfaces have
//!
//! record:
//!     0          1          2
//!   +----------+----------+---------+---------+---------+
//!   | head     | protocol | source  | destin. | ports   |  addresses of 4 or 16 bytes, ports of 4
//!   +----------+----------+---------+---------+---------+
//!   head: bits 0-1 kind (whole, part, gone), then IPv6, translated, zone, mark, TCP, extra
//!   zone: of, id (2)              translated: source, destination, ports of the reply
//!   gone: why (4 bits low), incarnation (3 bits above)
//!   the others: status (4 bits low), incarnation (3 bits above), policy (the highest bit), time left in s (LEB128;
//!   0 unknown, else plus one), policy: timeout that packets give it by a policy (LEB128; not 0),
//!   mark (4), TCP: state, scales (4 bits each), flags of both directions;
//!   extra: length (2), attributes
//! ```
//!
//! Version 1 has no timeouts by a policy.
//!
//! A plain TCP flow over IPv4 takes 20 to 24 bytes, four more with a mark. The parser cannot panic on any bytes.

mod reader;

use spared_replica::wire::OWN;
use spared_replica::{Malformed, Reader};

use crate::codec::expectation;
use crate::engine::table::status_byte;
use crate::flow::{Flow, Tuple, Zone};

/// Newest version, and the first one with timeouts by a policy.
pub const VERSION: u32 = 2;
pub const WITH_POLICY_TIMEOUTS: u32 = 2;
/// Limit of a message in bytes: about a thousand flows, so that it blocks the peer's loop only briefly.
pub const MESSAGE_BYTES: usize = 24_000;
/// Size limit of a record in bytes: two IPv6 tuples and all attributes.
pub const RECORD_BYTES_MAX: usize = 1200;
const EXTRA_BYTES_MAX: usize = 1024;
/// Largest number of hashes in a message.
pub const HASHES_MAX: usize = MESSAGE_BYTES / 8;
/// Largest number of addresses in a message; each takes up to 17 bytes.
const ADDRESSES_MAX: usize = (MESSAGE_BYTES - 1) / 17;

const CHANGES: u8 = OWN;
const RESYNC: u8 = OWN + 1;
const ALIVE: u8 = OWN + 2;
const RESYNCED: u8 = OWN + 3;
const MISSING: u8 = OWN + 4;
const EXPECT: u8 = OWN + 5;
const ADDRESSES: u8 = OWN + 6;
const PULSE: u8 = OWN + 7;
const COMPARE: u8 = OWN + 8;
const COMPARED: u8 = OWN + 9;
const END: u8 = OWN + 10;
const HOLDS: u8 = OWN + 11;

/// An address as in flows: IPv6 or not, bytes.
pub type Address = (bool, [u8; 16]);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Changes {
        age_us: u32,
        records: &'a [u8],
    },
    Resync {
        number: u8,
        lease_s: u32,
        serial: u32,
    },
    Alive(&'a [u8]),
    Resynced {
        number: u8,
        flows: u32,
    },
    Missing(&'a [u8]),
    Expect {
        yes: bool,
        request: &'a [u8],
    },
    Addresses(Vec<Address>),
    Pulse {
        flows: u32,
        has_lost_events: bool,
    },
    Compare {
        id: u32,
    },
    Compared {
        id: u32,
        records: &'a [u8],
    },
    End {
        id: u32,
    },
    /// Addresses of the sender's interfaces: the sender decides about flows that are translated to them.
    Holds(Vec<Address>),
}

/// Content of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A record with all attributes.
    Whole,
    /// A record with the changed attributes only; the peer has the others.
    Part,
    /// A record of an end, with original tuple, zone and incarnation only.
    Gone(Why),
}

/// End of a flow in the sender's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The flow expired, or the kernel dropped it. A node where it is still in use sends it again.
    Ended,
    /// The flow was closed by both ends.
    Closed,
    /// The flow was deleted by a program or an administrator.
    Deleted,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Part => 1,
            Self::Gone(_) => 2,
        }
    }
}

mod head {
    pub const KIND: u8 = 3;
    pub const IPV6: u8 = 1 << 2;
    pub const TRANSLATED: u8 = 1 << 3;
    pub const ZONE: u8 = 1 << 4;
    pub const MARK: u8 = 1 << 5;
    pub const TCP: u8 = 1 << 6;
    pub const EXTRA: u8 = 1 << 7;
}

/// Bit above status and incarnation: a timeout by a policy follows.
const POLICY_TIMEOUT: u8 = 1 << 7;

impl Message<'_> {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_to(&mut out);
        out
    }

    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Changes { age_us, records } => {
                begin_changes(out, *age_us);
                out.extend_from_slice(records);
            }
            Self::Resync {
                number,
                lease_s,
                serial,
            } => {
                out.extend([RESYNC, *number]);
                out.extend(lease_s.to_be_bytes());
                out.extend(serial.to_be_bytes());
            }
            Self::Alive(hashes) => put(out, ALIVE, hashes),
            Self::Resynced { number, flows } => {
                out.extend([RESYNCED, *number]);
                out.extend(flows.to_be_bytes());
            }
            Self::Missing(hashes) => put(out, MISSING, hashes),
            Self::Expect { yes, request } => {
                out.extend([EXPECT, u8::from(*yes)]);
                out.extend_from_slice(request);
            }
            Self::Addresses(addresses) => put_addresses(out, ADDRESSES, addresses),
            Self::Holds(addresses) => put_addresses(out, HOLDS, addresses),
            Self::Pulse {
                flows,
                has_lost_events,
            } => {
                put(out, PULSE, &flows.to_be_bytes());
                out.push(u8::from(*has_lost_events));
            }
            Self::Compare { id } => put(out, COMPARE, &id.to_be_bytes()),
            Self::Compared { id, records } => {
                put(out, COMPARED, &id.to_be_bytes());
                out.extend_from_slice(records);
            }
            Self::End { id } => put(out, END, &id.to_be_bytes()),
        }
    }

    /// Decodes a message of flows.
    ///
    /// # Errors
    /// The bytes are no such message.
    pub fn decode(bytes: &[u8]) -> Result<Message<'_>, Malformed> {
        let mut read = Reader(bytes);
        let message = match read.u8()? {
            CHANGES => Message::Changes {
                age_us: read.u32()?,
                records: read.rest(),
            },
            RESYNC => Message::Resync {
                number: read.u8()?,
                lease_s: read.u32()?,
                serial: read.u32()?,
            },
            ALIVE => Message::Alive(reader::hashes(&mut read)?),
            RESYNCED => Message::Resynced {
                number: read.u8()?,
                flows: read.u32()?,
            },
            MISSING => Message::Missing(reader::hashes(&mut read)?),
            EXPECT => {
                let (yes, request) = (read.flag("flag")?, read.rest());
                if expectation::is_valid(request) {
                    Message::Expect { yes, request }
                } else {
                    return Err(Malformed::Field("expectation"));
                }
            }
            ADDRESSES => Message::Addresses(reader::addresses(&mut read)?),
            PULSE => Message::Pulse {
                flows: read.u32()?,
                has_lost_events: read.flag("flag")?,
            },
            COMPARE => Message::Compare { id: read.u32()? },
            COMPARED => Message::Compared {
                id: read.u32()?,
                records: read.rest(),
            },
            END => Message::End { id: read.u32()? },
            HOLDS => Message::Holds(reader::addresses(&mut read)?),
            kind => return Err(Malformed::Kind(kind)),
        };
        match read.0 {
            [] => Ok(message),
            _ => Err(Malformed::Long),
        }
    }
}

/// Begins a message of changes, to which [`record`] appends.
pub fn begin_changes(out: &mut Vec<u8>, age_us: u32) {
    put(out, CHANGES, &age_us.to_be_bytes());
}

/// Begins an answer to a comparison, to which [`record`] appends.
pub fn begin_compared(out: &mut Vec<u8>, id: u32) {
    put(out, COMPARED, &id.to_be_bytes());
}

pub fn hashes(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let chunks = bytes.chunks_exact(8);
    chunks.filter_map(|chunk| Some(u64::from_be_bytes(chunk.try_into().ok()?)))
}

/// Appends a record.
pub fn record(out: &mut Vec<u8>, kind: Kind, flow: &Flow) {
    let start = out.len();
    let original = &flow.original;
    let mut head = kind.code();
    out.extend([head, original.protocol]);
    tuple(out, original);
    if original.is_ipv6 {
        head |= head::IPV6;
    }
    if flow.zone != Zone::default() {
        head |= head::ZONE;
        out.push(flow.zone.of as u8);
        out.extend(flow.zone.id.to_be_bytes());
    }
    match kind {
        Kind::Gone(why) => out.push(why as u8 | flow.incarnation << 4),
        Kind::Whole | Kind::Part => {
            if kind == Kind::Whole && !flow.is_plain() {
                head |= head::TRANSLATED;
                tuple(out, &flow.reply);
            }
            head |= state(out, flow);
        }
    }
    out[start] = head;
}

fn state(out: &mut Vec<u8>, flow: &Flow) -> u8 {
    let mut head = 0;
    let policy = if flow.policy_timeout_s > 0 {
        POLICY_TIMEOUT
    } else {
        0
    };
    out.push(status_byte(flow.status) | flow.incarnation << 4 | policy);
    leb128(
        out,
        flow.timeout_s
            .map_or(0, |timeout_s| timeout_s.saturating_add(1)),
    );
    if flow.policy_timeout_s > 0 {
        leb128(out, flow.policy_timeout_s);
    }
    if flow.mark != 0 {
        head |= head::MARK;
        out.extend(flow.mark.to_be_bytes());
    }
    if let Some(tcp) = flow.tcp {
        head |= head::TCP;
        let scales = tcp.scales[0] << 4 | tcp.scales[1] & 15;
        out.extend([tcp.state, scales, tcp.flags[0], tcp.flags[1]]);
    }
    if !flow.extra.is_empty() && flow.extra.len() <= EXTRA_BYTES_MAX {
        head |= head::EXTRA;
        out.extend((flow.extra.len() as u16).to_be_bytes());
        out.extend_from_slice(&flow.extra);
    }
    head
}

fn tuple(out: &mut Vec<u8>, tuple: &Tuple) {
    out.extend_from_slice(&tuple.source[..tuple.width()]);
    out.extend_from_slice(&tuple.destination[..tuple.width()]);
    out.extend_from_slice(&tuple.ports);
}

fn put_addresses(out: &mut Vec<u8>, kind: u8, addresses: &[Address]) {
    out.push(kind);
    for (is_ipv6, bytes) in addresses.iter().take(ADDRESSES_MAX) {
        let width = if *is_ipv6 { 16 } else { 4 };
        out.push(width);
        out.extend_from_slice(&bytes[..usize::from(width)]);
    }
}

fn put(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    out.extend_from_slice(bytes);
}

fn leb128(out: &mut Vec<u8>, mut number: u32) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Decodes the records of a message. The iterator ends after the first malformed one, which is an error.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Result<(Kind, Flow), Malformed>> {
    let mut read = Reader(bytes);
    std::iter::from_fn(move || {
        if read.0.is_empty() {
            return None;
        }
        let record = reader::record(&mut read);
        if record.is_err() {
            read.0 = &[];
        }
        Some(record)
    })
}

#[cfg(test)]
mod tests;
