//! Encoding of [`ToPlugin`](crate::ToPlugin) and [`FromPlugin`](crate::FromPlugin): CBOR (RFC 8949), as `abi/RULES.md`
//! describes under "Form of the messages". The macros `record!`, `messages!` and `named!` define the form of each type;
//! this module contains what they use.

mod reader;
mod values;
mod writer;

pub(crate) use reader::Reader;
pub(crate) use writer::Writer;

use crate::codec::Malformed;
use crate::schema::{Kind, Shape};

/// Maximum nesting of maps, lists and tags.
pub const DEPTH_MAX: u32 = 8;
/// Bit of kinds that must be understood: a receiver that does not know such a kind refuses the record.
pub const MUST_UNDERSTAND: u32 = 1 << 31;
/// Kinds of calls. Key 0 of the body is a number. An answer with that number follows, also for an unknown kind.
pub const CALLS: std::ops::RangeInclusive<u32> = 0x100..=0x1ff;

/// Value that has a form in CBOR.
pub(crate) trait Wire: Sized {
    fn write(&self, writer: &mut Writer);

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// Value of an absent key: 0, false, nothing. None if the key is required.
    fn absent() -> Option<Self> {
        None
    }

    /// Returns true if the value is that of an absent key, so that it is not sent.
    fn is_absent(&self) -> bool {
        false
    }

    /// Form of the type, for the schema.
    fn shape() -> Shape;
}

/// Messages with a body for each kind.
pub(crate) trait Kinds: Sized {
    fn kind(&self) -> u32;

    fn write_body(&self, writer: &mut Writer);

    fn read_body(kind: u32, reader: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// Kinds of the messages, for the schema.
    fn kinds() -> Vec<Kind>;
}

/// Encodes a message as a record.
pub(crate) fn encode<M: Kinds>(message: &M) -> Vec<u8> {
    Writer::message(message.kind(), |writer| message.write_body(writer))
}

/// Decodes the message in a record.
pub(crate) fn decode<M: Kinds>(record: &[u8]) -> Result<M, Malformed> {
    Reader::new(record).message(M::read_body)
}

/// Value of a key that was read or is absent.
pub(crate) fn present<T: Wire>(
    found: Option<T>,
    reader: &Reader<'_>,
    name: &'static str,
) -> Result<T, Malformed> {
    found
        .or_else(T::absent)
        .ok_or_else(|| reader.fault("is missing").of(name))
}
