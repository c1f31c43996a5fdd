//! The first node: it invites the other one by a code, and verifies the one try that the code allows.

use std::time::Duration;

use spake2::Spake2;

use crate::proof::{
    FROM_INVITE, FROM_JOIN, HALF, PROOF_OF_INVITE, PROOF_OF_JOIN, Shared, Transcript, identity,
    password,
};
use crate::{Channel, Code, Fault, Introduction};

/// Time for which a code can be used.
pub const LIFE: Duration = Duration::from_secs(300);

/// A code that waits for its one try. The code is wiped as soon as it was tried or has expired.
pub struct Invite {
    code: Option<Code>,
    until: Duration,
}

impl Invite {
    pub fn new(code: Code, now: Duration) -> Self {
        Self {
            code: Some(code),
            until: now + LIFE,
        }
    }

    /// Answers the hello of a node that was greeted with `greeting`. A hello that can be read uses the code up, whatever
    /// comes of it; others leave it.
    ///
    /// # Errors
    /// The code is used or too old, the hello cannot be read, or the nodes cannot be a pair.
    pub fn handle_hello(
        &mut self,
        now: Duration,
        own: &Introduction,
        hello: &[u8],
    ) -> Result<(Vec<u8>, Inviting), Fault> {
        if now >= self.until {
            self.code = None;
            return Err(Fault::Expired);
        }
        if self.code.is_none() {
            return Err(Fault::Used);
        }
        let (half, introduction) = hello.split_at_checked(HALF).ok_or(Fault::Malformed)?;
        let peer = Introduction::decode(introduction)?;
        own.meets(&peer)?;
        let code = self.code.take().ok_or(Fault::Used)?;
        let greeting = own.encode();
        let (state, own_half) = Spake2::start_b(
            &password(&code),
            &identity(introduction),
            &identity(&greeting),
        );
        let mut said = Transcript::default();
        for part in [greeting.as_slice(), hello, own_half.as_slice()] {
            said.add(part);
        }
        let shared = Shared::new(state, half, said, [own, &peer])?;
        let answer = [own_half, shared.proof(PROOF_OF_INVITE)].concat();
        Ok((answer, Inviting { shared, peer }))
    }

    /// Time until the code expires; zero if it was tried or has expired.
    pub fn left(&self, now: Duration) -> Duration {
        match self.code {
            Some(_) => self.until.saturating_sub(now),
            None => Duration::ZERO,
        }
    }
}

/// The first node after its answer: the second node has to prove that it knows the code.
pub struct Inviting {
    shared: Shared,
    peer: Introduction,
}

impl Inviting {
    /// # Errors
    /// The other side does not know the code, or heard something else.
    pub fn handle_confirmation(self, confirmation: &[u8]) -> Result<Channel, Fault> {
        self.shared.verify(PROOF_OF_JOIN, confirmation)?;
        let (out, into) = (
            self.shared.secret(FROM_INVITE),
            self.shared.secret(FROM_JOIN),
        );
        Channel::new(self.peer, &out, &into)
    }
}
