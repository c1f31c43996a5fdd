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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FromPlugin, InterfaceEvent, LogLevel, SocketKind, ToPlugin};

    fn comes_back<M: Message + PartialEq + fmt::Debug>(message: &M) {
        let record = message.encode().unwrap();
        assert_eq!(M::decode(&record).as_ref(), Ok(message));
        for length in 0..record.len() {
            assert!(M::decode(&record[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_message_comes_back_as_it_was_and_a_part_of_it_is_none() {
        comes_back(&ToPlugin::Interface(InterfaceEvent {
            name: "lan2".to_owned(),
            sockets: vec![SocketKind::VrrpLink, SocketKind::Other(99)],
            ..InterfaceEvent::default()
        }));
        comes_back(&FromPlugin::Log {
            level: LogLevel::Conflict,
            text: "office: another router is active".to_owned(),
        });
    }

    #[test]
    fn a_level_that_is_none_is_information() {
        let line = |level: LogLevel| FromPlugin::Log {
            level,
            text: String::new(),
        };
        let mut record = line(LogLevel::Conflict).encode().unwrap();
        let number = record.iter_mut().find(|it| **it == 7).unwrap();
        *number = 77;
        assert_eq!(FromPlugin::decode(&record), Ok(line(LogLevel::Info)));
    }
}
