//! Checks the statuses that a callback may return; a plugin can return any number.

use std::fmt;

use rustix::io::Errno;
use spared_abi as abi;

/// MAX_ERRNO of Linux, its greatest error number.
const ERRNO_MAX: abi::Status = 4095;

/// Status that replaces an invalid one: -EPROTO.
pub const INVALID: abi::Status = -Errno::PROTO.raw_os_error();

/// Number that the callback may not return, treated as [`INVALID`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    callback: String,
    status: abi::Status,
}

/// Checks the status that a callback returned.
///
/// # Errors
/// The callback may not return this number.
pub fn returned(callback: &str, status: abi::Status) -> Result<abi::Status, Invalid> {
    let may_wait = ["start", "stop", "drain", "settle", "role", "query"].contains(&callback);
    if status == abi::PENDING && may_wait {
        return Ok(status);
    }
    ended(callback, status)
}

/// Checks the status with which a callback has ended, at once or by done().
///
/// # Errors
/// The callback may not end with this number.
pub fn ended(callback: &str, status: abi::Status) -> Result<abi::Status, Invalid> {
    let is_one = match status {
        abi::RESTART => callback == "configure",
        abi::ATTENTION => callback == "query",
        status => (-ERRNO_MAX..=0).contains(&status),
    };
    if is_one {
        Ok(status)
    } else {
        Err(Invalid {
            callback: callback.to_owned(),
            status,
        })
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { callback, status } = self;
        write!(
            f,
            "{callback} returned {status}, not a valid status: treated as -EPROTO"
        )
    }
}

impl std::error::Error for Invalid {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_is_a_status_of_every_callback() {
        for status in [0, -1, -4095] {
            assert_eq!(returned("start", status), Ok(status));
            assert_eq!(ended("query", status), Ok(status));
        }
    }

    #[test]
    fn other_numbers_are_invalid_and_named() {
        for status in [i32::MIN, -5000, -4096, 4, 4095, i32::MAX] {
            assert!(returned("configure", status).is_err(), "{status}");
            assert!(ended("query", status).is_err(), "{status}");
        }
        let invalid = returned("start", -5000).unwrap_err();
        assert_eq!(
            invalid.to_string(),
            "start returned -5000, not a valid status: treated as -EPROTO"
        );
    }

    #[test]
    fn positive_statuses_belong_to_their_callbacks() {
        assert!(returned("role", abi::PENDING).is_ok());
        assert!(returned("start", abi::PENDING).is_ok());
        assert!(returned("configure", abi::PENDING).is_err());
        // a callback that has ended cannot be pending again
        assert!(ended("role", abi::PENDING).is_err());
        assert!(returned("configure", abi::RESTART).is_ok());
        assert!(returned("start", abi::RESTART).is_err());
        assert!(ended("query", abi::ATTENTION).is_ok());
        assert!(ended("role", abi::ATTENTION).is_err());
    }
}
