//! Why a message of the peer is not understood.

use std::fmt;

/// The peer's message is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not what any message looks like.
    Coding(postcard::Error),
    /// Bytes follow its end.
    Long,
    /// A name or a list is longer than it may be.
    Length(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coding(error) => write!(f, "it cannot be read: {error}"),
            Self::Long => f.write_str("bytes follow the message"),
            Self::Length(field) => write!(f, "its {field} is too long"),
        }
    }
}

impl std::error::Error for Malformed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Coding(error) => Some(error),
            _ => None,
        }
    }
}
