//! How a message is written as a record: here and nowhere else.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest record in bytes. A longer one is an error of the sender, and is not sent.
pub const MESSAGE_MAX: usize = 192 * 1024;

/// A message that travels as one record. Both ends are of one version, so that the encoding, postcard, carries none.
pub trait Message: Serialize + DeserializeOwned {
    /// The message as a record, of any length.
    ///
    /// # Errors
    /// It has no encoding.
    fn encode(&self) -> Result<Vec<u8>, Malformed> {
        postcard::to_stdvec(self).map_err(Malformed)
    }

    /// The message in a record.
    ///
    /// # Errors
    /// The record is no such message.
    fn decode(record: &[u8]) -> Result<Self, Malformed> {
        postcard::from_bytes(record).map_err(Malformed)
    }
}

/// Why a record is no message, or a message has no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(postcard::Error);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Malformed {}
