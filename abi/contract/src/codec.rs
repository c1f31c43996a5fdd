//! Encoding of messages as records. No other place encodes them.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Maximum bytes of a record. A longer one is an error of the sender, and is not sent.
pub const MESSAGE_MAX: usize = 192 * 1024;

/// Message that is sent as one record. Programs of one build use postcard, which carries no version. Messages to and
/// from plugins are CBOR, which other versions can read.
pub trait Message: Serialize + DeserializeOwned {
    /// Encodes the message as a record, of any length.
    ///
    /// # Errors
    /// The message has no encoding.
    fn encode(&self) -> Result<Vec<u8>, Malformed> {
        postcard::to_stdvec(self).map_err(|error| Malformed(Fault::Postcard(error)))
    }

    /// Decodes the message in a record.
    ///
    /// # Errors
    /// The record is not such a message.
    fn decode(record: &[u8]) -> Result<Self, Malformed> {
        postcard::from_bytes(record).map_err(|error| Malformed(Fault::Postcard(error)))
    }
}

/// Reason why a record is not a message, or a message has no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(Fault);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Postcard(postcard::Error),
    Cbor {
        at: usize,
        name: Option<&'static str>,
        why: &'static str,
    },
    Unknown {
        kind: u32,
        whose: &'static str,
    },
}

impl Malformed {
    pub(crate) fn at(at: usize, why: &'static str) -> Self {
        let name = None;
        Self(Fault::Cbor { at, name, why })
    }

    pub(crate) fn unknown(kind: u32, whose: &'static str) -> Self {
        Self(Fault::Unknown { kind, whose })
    }

    /// Names the part of the message with the fault, unless a smaller part is named already.
    pub(crate) fn of(mut self, of: &'static str) -> Self {
        if let Fault::Cbor { name, .. } = &mut self.0 {
            name.get_or_insert(of);
        }
        self
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Fault::Postcard(error) => error.fmt(f),
            Fault::Cbor { at, name, why } => {
                let name = name.unwrap_or("the record");
                write!(f, "{name} at byte {at} {why}")
            }
            Fault::Unknown { kind, whose } => write!(
                f,
                "its kind {kind:#x} must be understood and is not known here: update {whose}"
            ),
        }
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
        // {0: 4, 1: {0: 19}}
        let record = [0xa2, 0, 4, 1, 0xa1, 0, 19];
        let line = FromPlugin::Log {
            level: LogLevel::Info,
            text: String::new(),
        };
        assert_eq!(FromPlugin::decode(&record), Ok(line));
    }
}
