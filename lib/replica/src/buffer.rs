//! Buffer of the message that waits: it never grows and leaves no copy of a key.

use zeroize::Zeroize;

use crate::wire::{HEAD, Head, KEY_MAX, MESSAGE_MAX, VALUE_MAX, flag};

/// Length of the longest record, in bytes.
const RECORD_MAX: usize = 1 + 4 + 1 + KEY_MAX + 2 + VALUE_MAX;

/// The message that waits for the channel, or an empty slice.
#[derive(Debug)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
}

impl Outgoing {
    pub fn new() -> Self {
        // a buffer that grows would leave its old bytes behind
        Self {
            bytes: Vec::with_capacity(MESSAGE_MAX),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn clear(&mut self) {
        self.bytes.as_mut_slice().zeroize();
        self.bytes.clear();
    }

    pub fn begin(&mut self, kind: u8, head: Head) {
        self.clear();
        self.bytes.extend([kind, head.table, 0, 0]);
        self.put(&head.serial.to_be_bytes());
        self.put(&head.answers.to_be_bytes());
        self.put(&head.applied.to_be_bytes());
    }

    /// True if the message has only its head.
    pub fn has_only_head(&self) -> bool {
        self.bytes.len() <= HEAD
    }

    /// True if this many bytes fit.
    pub fn fits(&self, length: usize) -> bool {
        self.bytes.len() + length <= MESSAGE_MAX
    }

    /// True if a record of any length fits.
    pub fn fits_record(&self) -> bool {
        self.fits(RECORD_MAX)
    }

    /// Appends bytes; bytes that do not fit are dropped, and the peer finds the message too short.
    pub fn put(&mut self, bytes: &[u8]) {
        if self.fits(bytes.len()) {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Appends up to 255 bytes with their number in front.
    pub fn put_short(&mut self, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(KEY_MAX)];
        self.put(&[bytes.len() as u8]);
        self.put(bytes);
    }

    /// Appends a key, which `write` writes.
    pub fn put_key(&mut self, write: impl FnOnce(&mut ValueWriter<'_>)) -> bool {
        self.put_sized(1, KEY_MAX, write)
    }

    /// Appends a record's flags and age.
    pub fn put_flags(&mut self, flags: u8, age_ms: Option<u32>) {
        let age = age_ms.map_or(0, |_| flag::AGE);
        self.put(&[flags | age]);
        if let Some(age_ms) = age_ms {
            self.put(&age_ms.to_be_bytes());
        }
    }

    /// Appends a record's value; false if it is too long.
    pub fn put_value(&mut self, write: impl FnOnce(&mut ValueWriter<'_>)) -> bool {
        self.put_sized(2, VALUE_MAX, write)
    }

    fn put_sized(
        &mut self,
        width: usize,
        limit: usize,
        write: impl FnOnce(&mut ValueWriter<'_>),
    ) -> bool {
        let at = self.bytes.len();
        self.put(&[0; 2][..width]);
        let begin = self.bytes.len();
        let mut writer = ValueWriter {
            limit: (begin + limit).min(MESSAGE_MAX),
            bytes: &mut self.bytes,
            over: false,
        };
        write(&mut writer);
        let fits = !writer.over;
        let length = self.bytes.len() - begin;
        let number = (length as u16).to_be_bytes();
        self.bytes[at..begin].copy_from_slice(&number[2 - width..]);
        fits
    }

    /// Counts one more complete record or key.
    pub fn count(&mut self) {
        if let Some([high, low]) = self.bytes.get_mut(2..4) {
            let count = u16::from_be_bytes([*high, *low]).wrapping_add(1);
            [*high, *low] = count.to_be_bytes();
        }
    }

    /// Offset of the next record.
    pub fn offset(&self) -> usize {
        self.bytes.len()
    }

    /// Removes the bytes put since that offset.
    pub fn truncate(&mut self, offset: usize) {
        self.bytes[offset..].zeroize();
        self.bytes.truncate(offset);
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Destination to which a store writes a key or a value; numbers are in network byte order.
///
/// Keys longer than [`KEY_MAX`](crate::wire::KEY_MAX) and values longer than [`VALUE_MAX`](crate::wire::VALUE_MAX) are
/// not sent, and are counted as too long.
#[derive(Debug)]
pub struct ValueWriter<'a> {
    bytes: &'a mut Vec<u8>,
    limit: usize,
    over: bool,
}

impl ValueWriter<'_> {
    /// Writes into the caller's buffer; false if the bytes exceed the limit.
    pub fn write_to(
        bytes: &mut Vec<u8>,
        limit: usize,
        write: impl FnOnce(&mut ValueWriter<'_>),
    ) -> bool {
        let limit = bytes.len() + limit;
        let mut writer = ValueWriter {
            bytes,
            limit,
            over: false,
        };
        write(&mut writer);
        !writer.over
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        if self.bytes.len() + bytes.len() <= self.limit {
            self.bytes.extend_from_slice(bytes)
        } else {
            self.over = true
        }
    }

    /// Appends a byte.
    pub fn u8(&mut self, number: u8) {
        self.put(&[number]);
    }

    /// Appends a number of 16 bits.
    pub fn u16(&mut self, number: u16) {
        self.put(&number.to_be_bytes());
    }

    /// Appends a number of 32 bits.
    pub fn u32(&mut self, number: u32) {
        self.put(&number.to_be_bytes());
    }

    /// Appends a number of 64 bits.
    pub fn u64(&mut self, number: u64) {
        self.put(&number.to_be_bytes());
    }
}
