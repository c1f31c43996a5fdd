//! Why a message or an SA's bytes are not understood. Never with the bytes: keys may be among them.

use std::fmt;

/// Bytes from outside that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It ends before it should.
    Short,
    /// Bytes follow its end.
    Long,
    Kind(u8),
    /// A field with a value that it cannot have.
    Field(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("the message is cut off"),
            Self::Long => f.write_str("bytes follow the message"),
            Self::Kind(kind) => write!(f, "there is no message of kind {kind}"),
            Self::Field(field) => write!(f, "its {field} makes no sense"),
        }
    }
}

impl std::error::Error for Malformed {}
