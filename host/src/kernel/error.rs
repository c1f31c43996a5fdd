//! What the kernel refused, naming the object.

use std::{error, fmt, io};

use crate::fence::FenceError;

/// "lan2: cannot add 192.168.1.1/24: permission denied".
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
    /// The caller's claims cannot be held.
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
    /// An interface or a gateway is not there now: what comes back brings this back.
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
            Self::Claim { group, why } => write!(f, "{group}: {why}"),
        }
    }
}

impl error::Error for KernelError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Refused { source, .. } => Some(source),
            Self::Fence(source) => Some(source),
            Self::Claim { .. } => None,
        }
    }
}

impl From<FenceError> for KernelError {
    fn from(source: FenceError) -> Self {
        Self::Fence(source)
    }
}

/// An error in our tone: lower case, without its number.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
