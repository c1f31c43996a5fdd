//! `spared.identity/1`: what the plugin wants signed and verified.

use rustix::io::Errno;
use spared_abi as abi;

use super::Driver;
use super::host::errno;

impl Driver {
    pub(super) fn sign(&self, _ticket: u64, statement: &[u8]) -> abi::Status {
        if statement.len() > abi::IDENTITY_STATEMENT_MAX as usize {
            return errno(Errno::MSGSIZE);
        }
        errno(Errno::NOTCONN)
    }

    pub(super) fn verify(&self, _ticket: u64, statement: &[u8], signature: &[u8]) -> abi::Status {
        if statement.len() > abi::IDENTITY_STATEMENT_MAX as usize
            || signature.len() != abi::IDENTITY_SIGNATURE_SIZE as usize
        {
            return errno(Errno::MSGSIZE);
        }
        errno(Errno::NOTCONN)
    }
}
