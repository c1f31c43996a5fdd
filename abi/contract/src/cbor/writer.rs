//! Writes CBOR as RFC 8949 §4.2 requires: shortest numbers, definite lengths, ascending keys.

use std::convert::Infallible;

use minicbor::Encoder;
use minicbor::encode::Error;

use super::Wire;

/// Initial capacity in bytes, which is enough for most messages.
const USUAL_BYTES: usize = 128;

/// Record that is being written.
pub(crate) struct Writer {
    encoder: Encoder<Vec<u8>>,
    /// Number of a call, which becomes the first entry of the next map.
    number: Option<u64>,
}

impl Writer {
    /// Writes a message as a record. A body without any entry is an empty map.
    pub(crate) fn message(kind: u32, write_body: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut writer = Self {
            encoder: Encoder::new(Vec::with_capacity(USUAL_BYTES)),
            number: None,
        };
        writer.map(2);
        writer.number(0);
        writer.number(kind.into());
        writer.number(1);
        let before = writer.encoder.writer().len();
        write_body(&mut writer);
        if writer.encoder.writer().len() == before {
            writer.map(0);
        }
        writer.encoder.into_writer()
    }

    /// Number of bytes that a value takes.
    pub(crate) fn size_of<T: Wire>(value: &T) -> usize {
        let mut writer = Self {
            encoder: Encoder::new(Vec::new()),
            number: None,
        };
        value.write(&mut writer);
        writer.encoder.into_writer().len()
    }

    /// Makes this number the entry 0 of the next map, whose own keys begin at 1.
    pub(crate) fn begin_call(&mut self, number: u64) {
        self.number = (number != 0).then_some(number);
    }

    /// Begins a map with this many entries.
    pub(crate) fn map(&mut self, entries: usize) {
        let number = self.number.take();
        let entries = entries + usize::from(number.is_some());
        written(self.encoder.map(entries as u64));
        if let Some(number) = number {
            self.number(0);
            self.number(number);
        }
    }

    /// Writes an entry of a map, unless its value is that of an absent key.
    pub(crate) fn entry<T: Wire>(&mut self, key: u64, value: &T) {
        if !value.is_absent() {
            self.number(key);
            value.write(self);
        }
    }

    pub(crate) fn list<T: Wire>(&mut self, values: &[T]) {
        written(self.encoder.array(values.len() as u64));
        for value in values {
            value.write(self);
        }
    }

    pub(crate) fn number(&mut self, number: u64) {
        written(self.encoder.u64(number));
    }

    pub(crate) fn signed(&mut self, number: i64) {
        written(self.encoder.i64(number));
    }

    pub(crate) fn text(&mut self, text: &str) {
        written(self.encoder.str(text));
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        written(self.encoder.bytes(bytes));
    }

    /// Writes a number in eight bytes, whatever it is: all readers expect one form.
    pub(crate) fn float(&mut self, number: f64) {
        written(self.encoder.f64(number));
    }

    pub(crate) fn flag(&mut self, flag: bool) {
        written(self.encoder.bool(flag));
    }
}

/// Checks that nothing failed. Writing to memory cannot fail, as the type of the error shows.
fn written<T>(outcome: Result<T, Error<Infallible>>) {
    debug_assert!(outcome.is_ok());
}
