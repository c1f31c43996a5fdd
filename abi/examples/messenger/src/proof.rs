//! Statements signed with this node's key and verified with the peer's: `prove` and `verify`.

use std::collections::BTreeMap;

use spared_sdk::{Answer, Error, Host, hex};

/// Queries that may wait, bounded as some are never answered.
const ASKERS_MAX: usize = 16;

/// Queries that wait for a signature or its verification, by ticket.
#[derive(Default)]
pub struct Proofs {
    last_ticket: u64,
    askers: BTreeMap<u64, Answer>,
}

impl Proofs {
    pub fn sign(&mut self, host: Host, answer: &Answer, text: &str) -> Result<(), Error> {
        self.last_ticket += 1;
        host.identity().sign(self.last_ticket, text.as_bytes())?;
        self.admit(answer);
        Ok(())
    }

    pub fn verify(
        &mut self,
        host: Host,
        answer: &Answer,
        signature: &[u8],
        text: &str,
    ) -> Result<(), Error> {
        self.last_ticket += 1;
        host.identity()
            .verify(self.last_ticket, text.as_bytes(), signature)?;
        self.admit(answer);
        Ok(())
    }

    pub fn signed(&mut self, ticket: u64, signature: &[u8]) {
        self.end(ticket, "signature", &hex::text(signature, ":"));
    }

    pub fn verified(&mut self, ticket: u64, genuine: bool) {
        self.end(ticket, "genuine", if genuine { "yes" } else { "no" });
    }

    fn admit(&mut self, answer: &Answer) {
        if self.askers.len() >= ASKERS_MAX {
            // the host gives up the oldest after 12 s anyway
            self.askers.pop_first();
        }
        self.askers.insert(self.last_ticket, answer.later());
    }

    // A ticket that nobody waits for is ignored.
    fn end(&mut self, ticket: u64, key: &str, value: &str) {
        if let Some(mut answer) = self.askers.remove(&ticket) {
            let put = answer.text(key, value);
            answer.done(put);
        }
    }
}
