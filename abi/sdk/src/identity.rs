//! Statements that are signed with this node's key and verified with the peer's.

use std::fmt;

use spared_abi as abi;

use crate::error;
use crate::host::Host;
use crate::{Error, Plugin};

/// The part `identity`: proves which node made a statement, on any path and without a session.
///
/// The signed data begin with the plugin's name: a signature is valid for no other plugin.
pub trait Identity: Plugin {
    /// Handles this node's signature for a ticket of [`IdentityHandle::sign`].
    fn signed(&mut self, ticket: u64, signature: &[u8]);

    /// Handles the result for a ticket of [`IdentityHandle::verify`]. `genuine` is true if the peer made the signature.
    fn verified(&mut self, ticket: u64, genuine: bool);
}

/// Handle that requests signatures and their verification; from [`Host::identity`].
///
/// At most 20 requests are answered in a second, and an answer may be lost with the process that gives it. Repeat the
/// request after a second.
#[derive(Clone, Copy, Debug)]
pub struct IdentityHandle(pub(crate) Host);

impl IdentityHandle {
    /// Requests this node's signature of a statement; [`Identity::signed`] follows. Never blocks.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn sign(&self, ticket: u64, statement: &[u8]) -> Result<(), IdentityError> {
        queued(self.0.core().sign(ticket, statement))
    }

    /// Requests the verification of the peer's signature of a statement; [`Identity::verified`] follows. Never blocks.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn verify(
        &self,
        ticket: u64,
        statement: &[u8],
        signature: &[u8],
    ) -> Result<(), IdentityError> {
        queued(self.0.core().verify(ticket, statement, signature))
    }
}

fn queued(status: abi::Status) -> Result<(), IdentityError> {
    match status.saturating_neg() {
        ..=0 => Ok(()),
        error::EAGAIN => Err(IdentityError::Busy),
        error::ENOTCONN => Err(IdentityError::NoKeys),
        error::EMSGSIZE => Err(IdentityError::Size),
        errno => Err(IdentityError::Other(errno)),
    }
}

/// Reason why a request to sign or verify was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityError {
    /// Too many requests wait.
    Busy,
    /// No keys are configured, or the process that holds them is being started.
    NoKeys,
    /// The statement is longer than [`abi::IDENTITY_STATEMENT_MAX`] bytes, or the signature does not
    /// have [`abi::IDENTITY_SIGNATURE_SIZE`].
    Size,
    /// A positive errno.
    Other(i32),
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("too many requests to sign or verify wait"),
            Self::NoKeys => f.write_str("no process holds keys of the nodes"),
            Self::Size => write!(
                f,
                "the statement is longer than {}, or the signature is not of {} bytes",
                abi::IDENTITY_STATEMENT_MAX,
                abi::IDENTITY_SIGNATURE_SIZE
            ),
            Self::Other(errno) => std::io::Error::from_raw_os_error(*errno).fmt(f),
        }
    }
}

impl std::error::Error for IdentityError {}

impl From<IdentityError> for Error {
    fn from(error: IdentityError) -> Self {
        Self::Host {
            tried: "have a statement signed or verified".to_owned(),
            errno: match error {
                IdentityError::Busy => error::EAGAIN,
                IdentityError::NoKeys => error::ENOTCONN,
                IdentityError::Size => error::EMSGSIZE,
                IdentityError::Other(errno) => errno,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_request_was_not_queued_can_be_told_apart() {
        for (status, said) in [
            (0, Ok(())),
            (-11, Err(IdentityError::Busy)),
            (-107, Err(IdentityError::NoKeys)),
            (-90, Err(IdentityError::Size)),
            (-5, Err(IdentityError::Other(5))),
        ] {
            assert_eq!(queued(status), said);
        }
    }
}
