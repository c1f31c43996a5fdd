//! Errors of kernel interfaces.

use std::fmt;
use std::io;

/// Failure of a kernel interface that the plugin needs.
#[derive(Debug)]
pub enum Error {
    /// A socket for connections could not be opened.
    Open(io::Error),
    /// A table cannot be read.
    Dump(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => write!(f, "cannot open the kernel's conntrack table: {error}"),
            Self::Dump(error) => write!(f, "cannot read the kernel's conntrack table: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(error) | Self::Dump(error) => Some(error),
        }
    }
}

impl From<Error> for spared_sdk::Error {
    fn from(error: Error) -> Self {
        let (tried, source) = match error {
            Error::Open(source) => ("open the kernel's conntrack table", source),
            Error::Dump(source) => ("read the kernel's conntrack table", source),
        };
        Self::Kernel {
            tried: tried.to_owned(),
            source,
        }
    }
}
