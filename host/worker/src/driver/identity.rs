//! `spared.identity/1`: requests to sign and to verify, over the channel to the process that has
//! the keys.

use std::io::IoSlice;

use rustix::io::Errno;
use spared_abi as abi;

use super::Driver;
use super::host::errno;
use spared_contract::channel::{SIGN, SIGNATURE_SIZE, STATEMENT_MAX, VERIFY};

impl Driver {
    pub(super) fn sign(&self, ticket: u64, statement: &[u8]) -> abi::Status {
        if statement.len() > STATEMENT_MAX {
            return errno(Errno::MSGSIZE);
        }
        self.ask(&[
            IoSlice::new(&[SIGN]),
            IoSlice::new(&ticket.to_be_bytes()),
            IoSlice::new(statement),
        ])
    }

    pub(super) fn verify(&self, ticket: u64, statement: &[u8], signature: &[u8]) -> abi::Status {
        if statement.len() > STATEMENT_MAX || signature.len() != SIGNATURE_SIZE {
            return errno(Errno::MSGSIZE);
        }
        self.ask(&[
            IoSlice::new(&[VERIFY]),
            IoSlice::new(&ticket.to_be_bytes()),
            IoSlice::new(signature),
            IoSlice::new(statement),
        ])
    }

    fn ask(&self, request: &[IoSlice<'_>]) -> abi::Status {
        self.peer.transmit(request).map_or_else(errno, |()| 0)
    }

    /// # Errors
    /// What is wrong with the record; `answer` is the record without its kind.
    pub(super) fn signed(&self, answer: &[u8]) -> Result<(), &'static str> {
        let (ticket, bytes) = answer
            .split_first_chunk()
            .ok_or("signature without a ticket")?;
        if bytes.len() != SIGNATURE_SIZE {
            return Err("signature of the wrong length");
        }
        if let Some(signature) = self.plugin.identity.signature {
            let (ticket, bytes) = (u64::from_be_bytes(*ticket), abi::Bytes::of(bytes));
            // SAFETY: the plugin's contract for a created instance; the bytes live through the call.
            self.tell("signature", |instance| unsafe {
                signature(instance, ticket, bytes)
            });
        }
        Ok(())
    }

    /// # Errors
    /// As above.
    pub(super) fn verified(&self, answer: &[u8]) -> Result<(), &'static str> {
        let (ticket, yes) = match answer.split_first_chunk() {
            Some((ticket, [yes @ 0..=1])) => (u64::from_be_bytes(*ticket), u32::from(*yes)),
            _ => return Err("invalid verdict"),
        };
        if let Some(verified) = self.plugin.identity.verified {
            // SAFETY: the plugin's contract for a created instance.
            self.tell("verified", |instance| unsafe {
                verified(instance, ticket, yes)
            });
        }
        Ok(())
    }
}
