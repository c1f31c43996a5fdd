//! What the peers say to each other; numbers are in network order.
//!
//! ```text
//!  0        1        2         3
//! +--------+--------+---------+-----------+----------+-----------+------------
//! | kind   | family | table n | table ... | name n   | name ...  | body ...
//! +--------+--------+---------+-----------+----------+-----------+------------
//!
//!  1 role       no set; active 8
//!  2 want       full 8
//!  3 begin      epoch 32, elements 64, key type 32, key 32, data 32, flags 8 (1 timeouts, 2 intervals)
//!  4 elements   element ...
//!  5 offer      element ...
//!  6 delete     (key n 8, key) ...
//!  7 end        epoch 32
//!  8 synced     epoch 32
//!  9 absent     configured 8
//! 10 count      elements 64, refused 64
//!
//! element
//! +--------+--------+---------+-------------------+-------------------+-------------+-------------+
//! | parts  | key n  | key ... | timeout (ms) 64   | left (ms) 64      | data n, ... | comment n...|
//! +--------+--------+---------+-------------------+-------------------+-------------+-------------+
//!   parts: 1 timeout and left, 2 data, 4 comment
//! ```
//!
//! The parser takes any bytes without a panic: [`Message::parse`].

use crate::element::{Element, Family, Key, Life, SetName, Shape};
use crate::error::Malformed;

/// A message is never longer: the channel takes 64 KiB.
pub const MESSAGE_MAX: usize = 60_000;
/// Room for one more element, whatever it is.
pub const ELEMENT_MAX: usize = 3 * 256 + 32;

const TIMED: u8 = 1;
const DATA: u8 = 2;
const COMMENT: u8 = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Of the sender: whether it is active.
    Role {
        active: bool,
    },
    About(SetName, About),
}

/// Of one set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// From a backup: send what you have, or only what changes from now on.
    Request {
        full: bool,
    },
    /// All elements follow, until `End`.
    Begin {
        epoch: u32,
        elements: u64,
        shape: Shape,
    },
    /// They are in the set of the active node.
    Elements(Vec<Element>),
    /// They are in the set of a node that was active alone.
    Offer(Vec<Element>),
    /// They are not in the set any more.
    Delete(Vec<Key>),
    End {
        epoch: u32,
    },
    /// From a backup: all up to that end is in its kernel.
    InSync {
        epoch: u32,
    },
    /// The active node does not have it.
    Absent {
        configured: bool,
    },
    /// For people: elements of the sender's set, and those that its kernel refused.
    Count {
        elements: u64,
        refused: u64,
    },
}

impl Message {
    /// Reads the peer's bytes.
    ///
    /// # Errors
    /// They are no message.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let kind = reader.u8()?;
        let message = match kind {
            1 => Self::Role {
                active: reader.flag("role")?,
            },
            2..=10 => {
                let set = reader.set()?;
                Self::About(set, reader.about(kind)?)
            }
            kind => return Err(Malformed::Kind(kind)),
        };
        if reader.0.is_empty() {
            Ok(message)
        } else {
            Err(Malformed::Long)
        }
    }

    pub fn emit(&self) -> Vec<u8> {
        match self {
            Self::Role { active } => vec![1, u8::from(*active)],
            Self::About(set, about) => {
                let mut bytes = head(about.kind(), set);
                about.emit(&mut bytes);
                bytes
            }
        }
    }
}

/// Where a message about a set begins; keys and elements may be appended by [`put_element`] and
/// [`put_key`].
fn head(kind: u8, set: &SetName) -> Vec<u8> {
    let mut bytes = vec![kind, set.family.number()];
    put_short(&mut bytes, set.table.as_bytes());
    put_short(&mut bytes, set.name.as_bytes());
    bytes
}

impl About {
    fn kind(&self) -> u8 {
        match self {
            Self::Request { .. } => 2,
            Self::Begin { .. } => 3,
            Self::Elements(_) => 4,
            Self::Offer(_) => 5,
            Self::Delete(_) => 6,
            Self::End { .. } => 7,
            Self::InSync { .. } => 8,
            Self::Absent { .. } => 9,
            Self::Count { .. } => 10,
        }
    }

    fn emit(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Request { full: flag } | Self::Absent { configured: flag } => {
                bytes.push(u8::from(*flag));
            }
            Self::Begin {
                epoch,
                elements,
                shape,
            } => {
                bytes.extend(epoch.to_be_bytes());
                bytes.extend(elements.to_be_bytes());
                for number in [shape.key_type, shape.key_len, shape.data_len] {
                    bytes.extend(number.to_be_bytes());
                }
                bytes.push(u8::from(shape.timeouts) | u8::from(shape.intervals) << 1);
            }
            Self::Elements(elements) | Self::Offer(elements) => {
                elements.iter().for_each(|it| put_element(bytes, it));
            }
            Self::Delete(keys) => keys.iter().for_each(|key| put_short(bytes, &key.0)),
            Self::End { epoch } | Self::InSync { epoch } => bytes.extend(epoch.to_be_bytes()),
            Self::Count { elements, refused } => {
                bytes.extend(elements.to_be_bytes());
                bytes.extend(refused.to_be_bytes());
            }
        }
    }
}

/// Bytes that an element takes in a message.
pub fn element_len(element: &Element) -> usize {
    let short = |bytes: &[u8]| if bytes.is_empty() { 0 } else { 1 + bytes.len() };
    let timed = if element.life.is_some() { 16 } else { 0 };
    2 + element.key.0.len() + timed + short(&element.data) + short(&element.comment)
}

fn put_element(bytes: &mut Vec<u8>, element: &Element) {
    let part = |there: bool, bit: u8| if there { bit } else { 0 };
    bytes.push(
        part(element.life.is_some(), TIMED)
            | part(!element.data.is_empty(), DATA)
            | part(!element.comment.is_empty(), COMMENT),
    );
    put_short(bytes, &element.key.0);
    if let Some(life) = element.life {
        bytes.extend(life.timeout_ms.to_be_bytes());
        bytes.extend(life.left_ms.to_be_bytes());
    }
    for part in [&element.data, &element.comment] {
        if !part.is_empty() {
            put_short(bytes, part);
        }
    }
}

/// Up to 255 bytes, their number in front: none of nftables' own is longer.
fn put_short(bytes: &mut Vec<u8>, short: &[u8]) {
    let short = &short[..short.len().min(usize::from(u8::MAX))];
    bytes.push(short.len() as u8);
    bytes.extend_from_slice(short);
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.chunk().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.chunk().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.chunk().map(u64::from_be_bytes)
    }

    fn flag(&mut self, field: &'static str) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::Field(field)),
        }
    }

    fn short(&mut self) -> Result<&'b [u8], Malformed> {
        let length = self.u8()?;
        self.take(length.into())
    }

    fn name(&mut self) -> Result<String, Malformed> {
        let bytes = self.short()?;
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Field("name"))?;
        if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(Malformed::Field("name"));
        }
        Ok(text.to_owned())
    }

    fn set(&mut self) -> Result<SetName, Malformed> {
        let family = Family::from_number(self.u8()?).ok_or(Malformed::Field("family"))?;
        Ok(SetName {
            family,
            table: self.name()?,
            name: self.name()?,
        })
    }

    fn about(&mut self, kind: u8) -> Result<About, Malformed> {
        Ok(match kind {
            2 => About::Request {
                full: self.flag("wish")?,
            },
            3 => About::Begin {
                epoch: self.u32()?,
                elements: self.u64()?,
                shape: self.shape()?,
            },
            4 => About::Elements(self.elements()?),
            5 => About::Offer(self.elements()?),
            6 => About::Delete(self.keys()?),
            7 => About::End { epoch: self.u32()? },
            8 => About::InSync { epoch: self.u32()? },
            9 => About::Absent {
                configured: self.flag("absence")?,
            },
            10 => About::Count {
                elements: self.u64()?,
                refused: self.u64()?,
            },
            kind => return Err(Malformed::Kind(kind)),
        })
    }

    fn shape(&mut self) -> Result<Shape, Malformed> {
        let (key_type, key_len, data_len) = (self.u32()?, self.u32()?, self.u32()?);
        let flags = self.u8()?;
        if flags > 3 {
            return Err(Malformed::Field("shape"));
        }
        Ok(Shape {
            key_type,
            key_len,
            data_len,
            timeouts: flags & 1 != 0,
            intervals: flags & 2 != 0,
        })
    }

    fn elements(&mut self) -> Result<Vec<Element>, Malformed> {
        let mut elements = Vec::new();
        while !self.0.is_empty() {
            elements.push(self.element()?);
        }
        Ok(elements)
    }

    fn element(&mut self) -> Result<Element, Malformed> {
        let parts = self.u8()?;
        if parts & !(TIMED | DATA | COMMENT) != 0 {
            return Err(Malformed::Field("element"));
        }
        let key = Key(self.short()?.into());
        let life = match parts & TIMED {
            0 => None,
            _ => Some(self.life()?),
        };
        let mut part = |bit: u8| match parts & bit {
            0 => Ok(Box::default()),
            _ => match self.short()? {
                [] => Err(Malformed::Field("element")),
                part => Ok(part.into()),
            },
        };
        Ok(Element {
            key,
            life,
            data: part(DATA)?,
            comment: part(COMMENT)?,
        })
    }

    fn life(&mut self) -> Result<Life, Malformed> {
        let (timeout_ms, left_ms) = (self.u64()?, self.u64()?);
        if timeout_ms == 0 || left_ms > timeout_ms {
            return Err(Malformed::Field("timeout"));
        }
        Ok(Life {
            timeout_ms,
            left_ms,
        })
    }

    fn keys(&mut self) -> Result<Vec<Key>, Malformed> {
        let mut keys = Vec::new();
        while !self.0.is_empty() {
            keys.push(Key(self.short()?.into()));
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests;
