//! Reads CBOR leniently: numbers of any width, keys in any order, unknown keys are skipped. Lengths must be definite.
//! The nesting and the memory that a record can take are bounded.

use minicbor::Decoder;
use minicbor::data::Type;
use minicbor::decode::Error;

use super::{DEPTH_MAX, MUST_UNDERSTAND, Wire};
use crate::codec::Malformed;
use crate::config_table::TABLE_DEPTH_MAX;

/// Maximum memory of lists in bytes, for each byte of the record. A list of empty maps has one byte for each element.
const MEMORY_FACTOR: usize = 64;
/// Maximum number of elements for which memory is reserved before any is read: a list may announce more than it has.
const ROOM: u64 = 16;

/// Record that is being read.
pub(crate) struct Reader<'b> {
    decoder: Decoder<'b>,
    depth: u32,
    depth_max: u32,
    /// Bytes of memory that the record's lists may still take.
    memory: usize,
    /// True if the next map is the body of a call, whose key 0 is its number.
    is_call: bool,
    number: Option<u64>,
}

impl<'b> Reader<'b> {
    pub(crate) fn new(record: &'b [u8]) -> Self {
        Self {
            decoder: Decoder::new(record),
            depth: 0,
            depth_max: DEPTH_MAX,
            memory: record.len().saturating_mul(MEMORY_FACTOR),
            is_call: false,
            number: None,
        }
    }

    /// Reads the message that is the whole record. `read` reads the body according to its kind.
    pub(crate) fn message<T>(
        mut self,
        mut read: impl FnMut(u32, &mut Self) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        let (mut kind, mut message, mut body) = (None, None, None);
        self.map(|reader, key| {
            match (key, kind) {
                (0, None) => kind = Some(reader.named()?),
                (1, Some(kind)) if message.is_none() && body.is_none() => {
                    message = Some(read(kind, reader)?);
                }
                // the kind follows, and only the kind tells where a configuration begins
                (1, None) if body.is_none() => {
                    body = Some(reader.decoder.position());
                    reader.up_to(DEPTH_MAX + TABLE_DEPTH_MAX, Self::skip)?;
                }
                (0 | 1, _) => return Err(reader.fault("comes twice").of("a key of the envelope")),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        if self.remaining() > 0 {
            return Err(self.fault("goes on after the message"));
        }
        let kind = kind.ok_or_else(|| self.fault("is missing").of("the kind"))?;
        match (message, body) {
            (Some(message), _) => Ok(message),
            (None, Some(position)) => {
                self.decoder.set_position(position);
                self.nested(|reader| read(kind, reader))
            }
            (None, None) => read(kind, &mut Self::new(&[0xa0])),
        }
    }

    /// Skips the body of an unknown kind. `whose` names the program that would have to know the kind.
    pub(crate) fn unknown(&mut self, kind: u32, whose: &'static str) -> Result<(), Malformed> {
        if kind & MUST_UNDERSTAND != 0 {
            return Err(Malformed::unknown(kind, whose));
        }
        self.map(|reader, _| reader.skip())
    }

    /// Makes the next map the body of a call.
    pub(crate) fn begin_call(&mut self) {
        self.is_call = true;
    }

    /// Number of the call whose body was read.
    pub(crate) fn end_call(&mut self) -> u64 {
        self.number.take().unwrap_or_default()
    }

    /// Reads a map. `entry` reads the value of each key.
    pub(crate) fn map(
        &mut self,
        mut entry: impl FnMut(&mut Self, u64) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let is_call = std::mem::take(&mut self.is_call);
        self.nested(|reader| {
            for _ in 0..reader.length("is no map", Decoder::map)? {
                let key = reader.item("has a key that is no unsigned number", Decoder::u64)?;
                match (is_call, key) {
                    (true, 0) => {
                        let mut number = reader.number.take();
                        reader.field(&mut number, "the number of a call")?;
                        reader.number = number;
                    }
                    _ => entry(reader, key)?,
                }
            }
            Ok(())
        })
    }

    /// Reads the value of a known key.
    pub(crate) fn field<T: Wire>(
        &mut self,
        field: &mut Option<T>,
        name: &'static str,
    ) -> Result<(), Malformed> {
        if field.is_some() {
            return Err(self.fault("comes twice").of(name));
        }
        *field = Some(T::read(self).map_err(|error| error.of(name))?);
        Ok(())
    }

    pub(crate) fn list<T: Wire>(&mut self) -> Result<Vec<T>, Malformed> {
        self.nested(|reader| {
            let length = reader.length("is no list", Decoder::array)?;
            let mut list = Vec::with_capacity(length.min(ROOM) as usize);
            for _ in 0..length {
                reader.take_memory(size_of::<T>())?;
                list.push(T::read(reader)?);
            }
            Ok(list)
        })
    }

    /// Reads a configuration, whose nesting may be deeper than that of any other value.
    pub(crate) fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        self.up_to(self.depth + TABLE_DEPTH_MAX, read)
    }

    fn up_to<T>(
        &mut self,
        depth: u32,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        let before = std::mem::replace(&mut self.depth_max, depth);
        let read = read(self);
        self.depth_max = before;
        read
    }

    /// Reads a map with texts as keys. Each entry takes this many bytes of memory.
    pub(crate) fn named_values(
        &mut self,
        memory: usize,
        mut entry: impl FnMut(&mut Self, &'b str) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.nested(|reader| {
            for _ in 0..reader.length("is no map", Decoder::map)? {
                reader.take_memory(memory)?;
                let name = reader.item("has a key that is no text", Decoder::str)?;
                entry(reader, name)?;
            }
            Ok(())
        })
    }

    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        self.item("is no unsigned number", Decoder::u64)
    }

    /// Reads an unsigned number of a smaller type.
    pub(crate) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Malformed> {
        let at = self.decoder.position();
        let number = self.number()?;
        T::try_from(number).map_err(|_| Malformed::at(at, "is too large"))
    }

    /// Reads the number of a name.
    pub(crate) fn named(&mut self) -> Result<u32, Malformed> {
        self.small()
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Malformed> {
        self.item("is no whole number of 64 bits", Decoder::i64)
    }

    pub(crate) fn text(&mut self) -> Result<&'b str, Malformed> {
        self.item("is no text of UTF-8 and of a definite length", Decoder::str)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'b [u8], Malformed> {
        self.item("is no byte string of a definite length", Decoder::bytes)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Malformed> {
        self.item("is neither true nor false", Decoder::bool)
    }

    pub(crate) fn float(&mut self) -> Result<f64, Malformed> {
        self.item("is no number with a fraction", Decoder::f64)
    }

    /// Type of the next value.
    pub(crate) fn next_type(&mut self) -> Result<Type, Malformed> {
        self.item("is no CBOR", |decoder| decoder.datatype())
    }

    /// Skips a value of any type.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        match self.next_type()? {
            Type::Map => self.skip_all(2, Decoder::map),
            Type::Array => self.skip_all(1, Decoder::array),
            Type::Tag => {
                self.item("is no CBOR", Decoder::tag)?;
                self.nested(Self::skip)
            }
            Type::MapIndef | Type::ArrayIndef | Type::BytesIndef | Type::StringIndef => {
                Err(self.fault("has no definite length"))
            }
            Type::Break | Type::Unknown(_) => Err(self.fault("is no CBOR")),
            _ => self.item("is no CBOR", Decoder::skip),
        }
    }

    pub(crate) fn position(&self) -> usize {
        self.decoder.position()
    }

    /// Creates an error at this place.
    pub(crate) fn fault(&self, why: &'static str) -> Malformed {
        Malformed::at(self.decoder.position(), why)
    }

    fn skip_all(
        &mut self,
        values: u64,
        head: impl FnOnce(&mut Decoder<'b>) -> Result<Option<u64>, Error>,
    ) -> Result<(), Malformed> {
        self.nested(|reader| {
            let length = reader.length("is no CBOR", head)?;
            (0..length.saturating_mul(values)).try_for_each(|_| reader.skip())
        })
    }

    /// Reads the length of a map or a list, each element of which has at least one byte.
    fn length(
        &mut self,
        what: &'static str,
        head: impl FnOnce(&mut Decoder<'b>) -> Result<Option<u64>, Error>,
    ) -> Result<u64, Malformed> {
        let at = self.decoder.position();
        match self.item(what, head)? {
            None => Err(Malformed::at(at, "has no definite length")),
            Some(length) if length > self.remaining() as u64 => {
                Err(Malformed::at(at, "is longer than the record"))
            }
            Some(length) => Ok(length),
        }
    }

    fn take_memory(&mut self, bytes: usize) -> Result<(), Malformed> {
        let left = self.memory.checked_sub(bytes);
        self.memory = left.ok_or_else(|| self.fault("has too many empty elements"))?;
        Ok(())
    }

    fn remaining(&self) -> usize {
        self.decoder.input().len() - self.decoder.position()
    }

    fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        if self.depth >= self.depth_max {
            return Err(self.fault("is nested too deeply"));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn item<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Decoder<'b>) -> Result<T, Error>,
    ) -> Result<T, Malformed> {
        let at = self.decoder.position();
        read(&mut self.decoder).map_err(|error| {
            let is_cut = error.is_end_of_input();
            Malformed::at(at, if is_cut { "is cut off" } else { what })
        })
    }
}
