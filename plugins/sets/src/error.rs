//! Why a set is not followed, and why a message is not understood.

use std::fmt;
use std::io;

use crate::element::Shape;

/// The peer's message is none.
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

/// What hinders a set of this node.
#[derive(Debug)]
pub enum Hindrance {
    /// Of the kernel here.
    Missing,
    Constant,
    Verdicts,
    Objects,
    Kernel(io::Error),
    /// Of both: this node's shape, and the peer's.
    Shapes(Shape, Shape),
    /// So many elements found no room.
    Full(u64),
    /// So many were refused for another reason, the last with this errno.
    Refused(u64, i32),
    /// The peer does not have it in its file.
    NotConfigured,
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("does not exist here"),
            Self::Constant => f.write_str("is constant: nothing can be added to it"),
            Self::Verdicts => f.write_str("is a verdict map, which does not follow"),
            Self::Objects => f.write_str("is a map to objects, which does not follow"),
            Self::Kernel(error) => write!(f, "cannot be read: {error}"),
            Self::Shapes(here, there) => {
                write!(f, "has keys {here} here and {there} at the peer")
            }
            Self::Full(count) => write!(f, "is full here: {count} elements found no room"),
            Self::Refused(count, errno) => {
                let error = io::Error::from_raw_os_error(*errno);
                write!(f, "the kernel refused {count} elements: {error}")
            }
            Self::NotConfigured => f.write_str("is not in the peer's sets.toml"),
        }
    }
}

impl std::error::Error for Hindrance {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Kernel(error) => Some(error),
            _ => None,
        }
    }
}
