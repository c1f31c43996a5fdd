//! Encodes and parses frames, the messages inside TLS. TLS records may split them anywhere.
//!
//! ```text
//!  0               1               2               3
//! +---------------+---------------+-------------------------------+
//! |     type      |   reserved    |        length of body         |
//! +---------------+---------------+-------------------------------+
//! ```
//!
//! Numbers are big-endian. A type with the high bit set is *numbered*: its body begins with a
//! sequence number of 8 bytes. It is sent again over another path until it is acknowledged, and the
//! receiver handles it once, in order. A frame of an unknown type is skipped, but its number
//! counts.
//!
//! [`Splitter`] finds frames in a stream, and [`Frame::parse`] reads one. Neither panics on any
//! bytes.

use serde::{Deserialize, Serialize};

use spared_message::clean;

use crate::word::Introduction;

/// Lowest and highest version of this protocol that this program supports.
pub const VERSION_MIN: u16 = 1;
pub const VERSION_MAX: u16 = 1;

pub const HEADER: usize = 4;
/// Maximum length of a body, in bytes.
pub const BODY_MAX: usize = u16::MAX as usize;
/// Maximum length in bytes of a piece of a message in one frame, so that a frame fits into one TLS
/// record.
pub const FRAGMENT_MAX: usize = 16 * 1024 - 64;
/// Maximum length of a channel's name, in bytes.
pub const NAME_MAX: usize = 64;

const HELLO: u8 = 1;
const REFUSED: u8 = 2;
const PING: u8 = 3;
const PONG: u8 = 4;
const ACK: u8 = 5;
const CREDIT: u8 = 6;
const NUMBERED: u8 = 0x80;
const OFFER: u8 = 0x80;
const WITHDRAW: u8 = 0x81;
const DATA: u8 = 0x82;
const MARK: u8 = 0x83;
const WORD: u8 = 0x84;

/// Flag of the last piece of a message.
const LAST: u8 = 1;

/// First frame on each path, as JSON, which every version understands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hello {
    pub version_min: u16,
    pub version_max: u16,
    /// Random number of the sender's run. Sequence numbers belong to an association, which is a
    /// pair of runs.
    pub run: u64,
    /// Run with which the sender has an association. `taken` is the last number received in it.
    pub knows: u64,
    pub taken: u64,
    pub introduction: Introduction,
}

impl Hello {
    /// # Errors
    /// No version in common; a sentence says so.
    pub fn common_version(&self) -> Result<u16, String> {
        let highest = self.version_max.min(VERSION_MAX);
        if highest >= self.version_min.max(VERSION_MIN) {
            return Ok(highest);
        }
        Err(format!(
            "{} (spared {}) supports link versions {} to {}, this node {VERSION_MIN} to {VERSION_MAX}: update the older one",
            plain(&self.introduction.node),
            plain(&self.introduction.version),
            self.version_min,
            self.version_max
        ))
    }
}

/// Shortens a text of the peer to one line, for use in a sentence.
pub fn plain(text: &str) -> String {
    clean::short(text, NAME_MAX)
}

/// One frame, which borrows from its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    Hello(Box<Hello>),
    /// The sender closes the session, for this reason.
    Refused(&'a str),
    Ping {
        number: u32,
    },
    /// Wall-clock times of the sender, in microseconds.
    Pong {
        number: u32,
        received_us: u64,
        sent_us: u64,
    },
    /// Acknowledges all numbered frames up to this one.
    Ack {
        sequence: u64,
    },
    /// Amount of data that the worker of a channel has read since the channel is up.
    Credit {
        channel: u16,
        /// Epochs of the sender and of the receiver of the data.
        epochs: (u32, u32),
        bytes: u64,
        messages: u64,
    },
    Numbered(u64, Numbered<'a>),
}

/// The part of a numbered frame after its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Numbered<'a> {
    /// A worker exists on the sender's node. A higher epoch replaces the previous one.
    Offer {
        channel: u16,
        epoch: u32,
        wire_min: u32,
        wire_max: u32,
        name: &'a str,
    },
    Withdraw {
        channel: u16,
    },
    /// Piece of a message. `epoch` is that of the receiver's worker for which it is meant.
    Data {
        channel: u16,
        epoch: u32,
        last: bool,
        piece: &'a [u8],
    },
    Mark {
        channel: u16,
        epoch: u32,
        id: u64,
    },
    /// A piece of a message of the host, as JSON.
    Word {
        last: bool,
        piece: &'a [u8],
    },
    /// Frame of a later version.
    Unknown,
}

/// Error: the bytes are not a frame, and the session cannot continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl<'a> Frame<'a> {
    /// Parses a frame. None is a frame of a later version, to be skipped.
    ///
    /// # Errors
    /// A known type with an invalid body.
    pub fn parse(kind: u8, body: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let mut read = Reader(body);
        let frame = match kind {
            HELLO => Self::Hello(
                serde_json::from_slice(body)
                    .map_err(|_| Malformed("a greeting that is not JSON"))?,
            ),
            REFUSED => Self::Refused(text(body)?),
            PING => Self::Ping {
                number: read.u32()?,
            },
            PONG => Self::Pong {
                number: read.u32()?,
                received_us: read.u64()?,
                sent_us: read.u64()?,
            },
            ACK => Self::Ack {
                sequence: read.u64()?,
            },
            CREDIT => Self::Credit {
                channel: read.u16()?,
                epochs: (read.u32()?, read.u32()?),
                bytes: read.u64()?,
                messages: read.u64()?,
            },
            NUMBERED.. => Self::Numbered(read.u64()?, Numbered::parse(kind, read)?),
            _ => return Ok(None),
        };
        Ok(Some(frame))
    }
}

impl<'a> Numbered<'a> {
    fn parse(kind: u8, mut read: Reader<'a>) -> Result<Self, Malformed> {
        Ok(match kind {
            OFFER => Self::Offer {
                channel: read.u16()?,
                epoch: read.u32()?,
                wire_min: read.u32()?,
                wire_max: read.u32()?,
                name: name(read.0)?,
            },
            WITHDRAW => Self::Withdraw {
                channel: read.u16()?,
            },
            DATA => Self::Data {
                channel: read.u16()?,
                epoch: read.u32()?,
                last: read.u8()? & LAST != 0,
                piece: read.0,
            },
            MARK => Self::Mark {
                channel: read.u16()?,
                epoch: read.u32()?,
                id: read.u64()?,
            },
            WORD => Self::Word {
                last: read.u8()? & LAST != 0,
                piece: read.0,
            },
            _ => Self::Unknown,
        })
    }

    /// Returns header and fields, with room for the number. The piece or name, of `piece` bytes, is
    /// sent after them without being copied.
    pub fn head(&self, piece: usize) -> Head {
        let mut head = Head::default();
        let kind = match *self {
            Self::Offer {
                channel,
                epoch,
                wire_min,
                wire_max,
                ..
            } => {
                head.put(&channel.to_be_bytes());
                for number in [epoch, wire_min, wire_max] {
                    head.put(&number.to_be_bytes());
                }
                OFFER
            }
            Self::Withdraw { channel } => {
                head.put(&channel.to_be_bytes());
                WITHDRAW
            }
            Self::Data {
                channel,
                epoch,
                last,
                ..
            } => {
                head.put(&channel.to_be_bytes());
                head.put(&epoch.to_be_bytes());
                head.put(&[u8::from(last)]);
                DATA
            }
            Self::Mark { channel, epoch, id } => {
                head.put(&channel.to_be_bytes());
                head.put(&epoch.to_be_bytes());
                head.put(&id.to_be_bytes());
                MARK
            }
            Self::Word { last, .. } => {
                head.put(&[u8::from(last)]);
                WORD
            }
            Self::Unknown => u8::MAX,
        };
        head.finish(kind, piece);
        head
    }
}

/// Beginning of a numbered frame: header, number, fields.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    bytes: [u8; Self::MOST],
    length: usize,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            bytes: [0; Self::MOST],
            length: Self::FIELDS,
        }
    }
}

impl Head {
    const FIELDS: usize = HEADER + 8;
    /// Maximum length, with the fields of an offer, which is the longest.
    const MOST: usize = Self::FIELDS + 14;

    fn put(&mut self, field: &[u8]) {
        let end = self.length + field.len();
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(field);
            self.length = end;
        }
    }

    fn finish(&mut self, kind: u8, piece: usize) {
        let body = u16::try_from(self.length - HEADER + piece).unwrap_or(u16::MAX);
        let [high, low] = body.to_be_bytes();
        self.bytes[..HEADER].copy_from_slice(&[kind, 0, high, low]);
    }

    pub fn set_sequence(&mut self, sequence: u64) {
        self.bytes[HEADER..Self::FIELDS].copy_from_slice(&sequence.to_be_bytes());
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Appends a frame without a number.
pub fn append(out: &mut Vec<u8>, frame: &Frame<'_>) {
    let start = out.len();
    out.extend([0; HEADER]);
    let kind = match frame {
        Frame::Hello(hello) => {
            // A struct of numbers and texts can always be written as JSON.
            out.extend(serde_json::to_vec(hello).unwrap_or_default());
            HELLO
        }
        Frame::Refused(why) => {
            out.extend(why.bytes().take(1024));
            REFUSED
        }
        Frame::Ping { number } => {
            out.extend(number.to_be_bytes());
            PING
        }
        Frame::Pong {
            number,
            received_us,
            sent_us,
        } => {
            out.extend(number.to_be_bytes());
            out.extend(received_us.to_be_bytes());
            out.extend(sent_us.to_be_bytes());
            PONG
        }
        Frame::Ack { sequence } => {
            out.extend(sequence.to_be_bytes());
            ACK
        }
        Frame::Credit {
            channel,
            epochs,
            bytes,
            messages,
        } => {
            out.extend(channel.to_be_bytes());
            out.extend(epochs.0.to_be_bytes());
            out.extend(epochs.1.to_be_bytes());
            out.extend(bytes.to_be_bytes());
            out.extend(messages.to_be_bytes());
            CREDIT
        }
        Frame::Numbered(..) => {
            debug_assert!(false, "numbered frames are queued by their heads");
            out.truncate(start);
            return;
        }
    };
    let body = u16::try_from(out.len() - start - HEADER).unwrap_or(u16::MAX);
    let [high, low] = body.to_be_bytes();
    if let Some(header) = out.get_mut(start..start + HEADER) {
        header.copy_from_slice(&[kind, 0, high, low]);
    }
}

/// Finds frames in a stream that arrives in pieces. Only frames that are split between pieces are
/// copied.
#[derive(Debug, Default)]
pub struct Splitter {
    /// Beginning of an incomplete frame.
    held: Vec<u8>,
}

impl Splitter {
    /// Calls `take` with type and body of each frame that `bytes` completes.
    ///
    /// # Errors
    /// The error of `take`. Nothing may be fed after it.
    pub fn feed<E>(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(u8, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !self.held.is_empty() && !bytes.is_empty() {
            let wanted = match wanted(&self.held) {
                Some(length) => HEADER + length,
                None => HEADER,
            };
            let missing = wanted.saturating_sub(self.held.len()).min(bytes.len());
            let (piece, rest) = bytes.split_at(missing);
            self.held.extend_from_slice(piece);
            bytes = rest;
            if let Some((kind, body, _)) = first(&self.held) {
                take(kind, body)?;
                self.held.clear();
            }
        }
        while let Some((kind, body, rest)) = first(bytes) {
            take(kind, body)?;
            bytes = rest;
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }
}

/// Returns the length of the body, once the header has arrived.
fn wanted(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [_, _, high, low, ..] => Some(usize::from(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

/// Returns the first frame, if it is complete: type, body, and the remaining bytes.
fn first(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let length = wanted(bytes)?;
    let (frame, rest) = bytes.split_at_checked(HEADER + length)?;
    match frame {
        [kind, _, _, _, body @ ..] => Some((*kind, body, rest)),
        _ => None,
    }
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("a text that is not UTF-8"))
}

fn name(bytes: &[u8]) -> Result<&str, Malformed> {
    if bytes.is_empty() || bytes.len() > NAME_MAX {
        return Err(Malformed("a channel with an invalid name"));
    }
    text(bytes)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Malformed> {
        let (bytes, rest) = self
            .0
            .split_first_chunk()
            .ok_or(Malformed("a frame that is too short"))?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.take().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.take().map(u64::from_be_bytes)
    }
}
