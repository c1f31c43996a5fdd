//! The form of [`ToPlugin`](crate::ToPlugin) and [`FromPlugin`](crate::FromPlugin): CBOR (RFC 8949), as `abi/RULES.md`
//! says under "Form of the messages". What a type looks like is said where it is defined, by `record!`, `messages!` or
//! `named!`; here is what these are made of.

mod reader;
mod values;
mod writer;

pub(crate) use reader::Reader;
pub(crate) use writer::Writer;

use crate::codec::Malformed;
use crate::schema::{Kind, Shape};

/// Nesting of maps, lists and tags.
pub const DEPTH_MAX: u32 = 8;
/// Kinds with this bit must be understood: whoever does not know one refuses the record.
pub const MUST_UNDERSTAND: u32 = 1 << 31;
/// Kinds of calls: key 0 of the body is a number, and an answer with that number follows, also to an unknown kind.
pub const CALLS: std::ops::RangeInclusive<u32> = 0x100..=0x1ff;

/// A value that has a form in CBOR.
pub(crate) trait Wire: Sized {
    fn write(&self, writer: &mut Writer);

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// What a key that is absent stands for: 0, false, nothing. None: the key is required.
    fn absent() -> Option<Self>;

    /// Whether it is what an absent key stands for, and is therefore not sent.
    fn is_absent(&self) -> bool;

    /// Its form, for the schema.
    fn shape() -> Shape;
}

/// Messages with a body for each kind.
pub(crate) trait Kinds: Sized {
    fn kind(&self) -> u32;

    fn write_body(&self, writer: &mut Writer);

    fn read_body(kind: u32, reader: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// Its kinds, for the schema.
    fn kinds() -> Vec<Kind>;
}

/// A message as a record.
pub(crate) fn encode<M: Kinds>(message: &M) -> Vec<u8> {
    Writer::message(message.kind(), |writer| message.write_body(writer))
}

/// The message in a record.
pub(crate) fn decode<M: Kinds>(record: &[u8]) -> Result<M, Malformed> {
    Reader::new(record).message(M::read_body)
}

/// The value of a key that was read or is absent.
pub(crate) fn present<T: Wire>(
    found: Option<T>,
    reader: &Reader<'_>,
    name: &'static str,
) -> Result<T, Malformed> {
    found
        .or_else(T::absent)
        .ok_or_else(|| reader.fault("is missing").of(name))
}
