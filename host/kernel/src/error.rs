//! Reports what the kernel refused, with the object that is concerned.

use std::{error, fmt, io};

use spared_netlink::reason;

use super::fence::FenceError;

/// Error with its object: "lan2: cannot add 192.168.1.1/24: permission denied".
#[derive(Debug)]
#[non_exhaustive]
pub enum KernelError {
    /// The kernel refused.
    Refused {
        object: String,
        what: String,
        source: io::Error,
    },
    /// The fence could not be changed.
    Fence(FenceError),
    /// The running kernel lacks what spared needs.
    TooOld { found: String },
    /// The claims are invalid.
    Claim { group: String, why: String },
}

impl KernelError {
    pub(crate) fn new(object: &str, what: impl Into<String>, source: io::Error) -> Self {
        Self::Refused {
            object: object.to_owned(),
            what: what.into(),
            source,
        }
    }
}

impl KernelError {
    /// True if an interface or a gateway is missing for now. The request is retried when that comes
    /// back.
    pub(crate) fn is_for_now(&self) -> bool {
        let Self::Refused { source, .. } = self else {
            return false;
        };
        matches!(
            source.raw_os_error(),
            Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::ENODEV)
        )
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused {
                object,
                what,
                source,
            } => {
                write!(f, "{object}: cannot {what}: {}", reason(source))
            }
            Self::Fence(source) => source.fmt(f),
            Self::TooOld { found } => {
                let (major, minor) = OLDEST;
                write!(
                    f,
                    "kernel {found} is too old, {major}.{minor} or newer is needed"
                )
            }
            Self::Claim { group, why } => write!(f, "{group}: {why}"),
        }
    }
}

impl error::Error for KernelError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Refused { source, .. } => Some(source),
            Self::Fence(source) => Some(source),
            Self::TooOld { .. } | Self::Claim { .. } => None,
        }
    }
}

impl From<FenceError> for KernelError {
    fn from(source: FenceError) -> Self {
        Self::Fence(source)
    }
}

// First kernel version that stores who added an address (IFA_PROTO). All other features that spared
// needs are older.
const OLDEST: (u32, u32) = (5, 18);

/// Refuses a release like "5.10.0-30-amd64" that is too old. A release without numbers is accepted.
pub(crate) fn check_release(release: &str) -> Result<(), KernelError> {
    let mut numbers = release
        .trim()
        .split(['.', '-'])
        .map(|part| part.parse().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) if (major, minor) < OLDEST => {
            let found = release.trim().to_owned();
            Err(KernelError::TooOld { found })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_do_not_remember_who_added_an_address_are_refused() {
        for release in [
            "6.1.0-56-cloud-amd64",
            "5.18.0",
            "6.18.44-fc-v657\n",
            "10.0",
            "strange",
        ] {
            assert!(check_release(release).is_ok(), "{release}");
        }
        let error = check_release("5.10.0-30-amd64\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "kernel 5.10.0-30-amd64 is too old, 5.18 or newer is needed"
        );
        assert!(check_release("5.17.15").is_err());
        assert!(check_release("4.19").is_err());
    }

    #[test]
    fn an_error_names_object_action_and_reason_in_lower_case() {
        let source = io::Error::from_raw_os_error(libc::EPERM);
        let error = KernelError::new("lan2", "add 192.168.1.1/24", source);
        assert_eq!(
            error.to_string(),
            "lan2: cannot add 192.168.1.1/24: operation not permitted"
        );
    }
}
