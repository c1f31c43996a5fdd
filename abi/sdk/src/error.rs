//! Errors of a plugin, grouped by whose fault they are.

use std::fmt;
use std::io;

use spared_abi as abi;

use crate::config::Failure;

/// Greatest errno of Linux.
const ERRNO_MAX: i32 = 4095;

pub(crate) const EPERM: i32 = 1;
pub(crate) const EIO: i32 = 5;
pub(crate) const EAGAIN: i32 = 11;
pub(crate) const EINVAL: i32 = 22;
pub(crate) const EPROTO: i32 = 71;
pub(crate) const EMSGSIZE: i32 = 90;
pub(crate) const ENOTCONN: i32 = 107;

/// Reason why a callback fails. The text reaches the administrator.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Faults of the configuration; an empty list if the reader has them.
    Config(Vec<Failure>),
    /// The peer, or another router, sent something invalid.
    Peer(String),
    /// The kernel refused something.
    Kernel {
        /// Attempted action, such as "open a socket on lan2".
        tried: String,
        /// Error of the kernel.
        source: io::Error,
    },
    /// The host refused something.
    Host {
        /// Attempted action, such as "set a timer".
        tried: String,
        /// Positive errno.
        errno: i32,
    },
    /// A fault of the plugin itself.
    Plugin(String),
    /// Invalid words of a query. The text is the usage, in one or more lines.
    Usage(String),
}

impl Error {
    /// Creates an error of the kernel, for `map_err`: `socket(...).map_err(Error::kernel("open a socket"))`.
    pub fn kernel<E: Into<io::Error>>(tried: impl Into<String>) -> impl FnOnce(E) -> Self {
        let tried = tried.into();
        |source| Self::Kernel {
            tried,
            source: source.into(),
        }
    }

    /// Creates an error with one fault of the configuration.
    pub fn config(key: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Config(vec![Failure {
            key: key.into(),
            why: why.into(),
        }])
    }

    pub(crate) fn status(&self) -> abi::Status {
        let errno = match self {
            Self::Config(_) | Self::Usage(_) => EINVAL,
            Self::Peer(_) => EPROTO,
            Self::Kernel { source, .. } => source.raw_os_error().unwrap_or(EIO),
            Self::Host { errno, .. } => *errno,
            Self::Plugin(_) => EPERM,
        };
        // Kernel and Host can hold any number. A number that is no errno must not become a status.
        match errno {
            1..=ERRNO_MAX => -errno,
            _ => -EIO,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(faults) => {
                let mut between = "";
                for fault in faults {
                    write!(f, "{between}{}: {}", fault.key, fault.why)?;
                    between = "; ";
                }
                Ok(())
            }
            Self::Peer(why) | Self::Plugin(why) | Self::Usage(why) => f.write_str(why),
            Self::Kernel { tried, source } => write!(f, "cannot {tried}: {source}"),
            Self::Host { tried, errno } => {
                write!(
                    f,
                    "cannot {tried}: {}",
                    io::Error::from_raw_os_error(*errno)
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Kernel { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<Failure> for Error {
    fn from(fault: Failure) -> Self {
        Self::Config(vec![fault])
    }
}

impl From<Vec<Failure>> for Error {
    fn from(faults: Vec<Failure>) -> Self {
        Self::Config(faults)
    }
}

/// Converts the status of a host function to a result.
pub(crate) fn check(tried: &str, status: abi::Status) -> Result<(), Error> {
    if status >= 0 {
        return Ok(());
    }
    Err(Error::Host {
        tried: tried.to_owned(),
        errno: status.saturating_neg(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_error_is_a_status() {
        let host = |errno| Error::Host {
            tried: String::new(),
            errno,
        };
        let kernel = |errno| Error::kernel("open")(io::Error::from_raw_os_error(errno));
        for errno in [i32::MIN, -5, 0, 4096, 5000, i32::MAX] {
            assert_eq!(host(errno).status(), -EIO, "{errno}");
            assert_eq!(kernel(errno).status(), -EIO, "{errno}");
        }
        assert_eq!(host(EAGAIN).status(), -EAGAIN);
        assert_eq!(kernel(4095).status(), -4095);
    }

    #[test]
    fn any_status_of_the_host_is_an_error() {
        assert!(check("ask", i32::MAX).is_ok());
        for status in [i32::MIN, -5000, -1] {
            let error = check("ask", status).unwrap_err();
            assert!(error.to_string().starts_with("cannot ask: "), "{error}");
        }
    }
}
