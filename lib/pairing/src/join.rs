//! The second node: it has the code from a person.

use spake2::{Ed25519Group, Spake2};

use crate::proof::{
    FROM_INVITE, FROM_JOIN, HALF, PROOF, PROOF_OF_INVITE, PROOF_OF_JOIN, Shared, Transcript,
    identity, password,
};
use crate::{Channel, Code, Fault, Introduction};

/// The second node before it has said anything.
pub struct Join {
    code: Code,
    own: Introduction,
}

impl Join {
    pub fn new(code: Code, own: Introduction) -> Self {
        Self { code, own }
    }

    /// Returns the hello for a greeting.
    ///
    /// # Errors
    /// The greeting cannot be read, or the nodes cannot be a pair.
    pub fn handle_greeting(self, greeting: &[u8]) -> Result<(Vec<u8>, Joining), Fault> {
        let peer = Introduction::decode(greeting)?;
        self.own.meets(&peer)?;
        let introduction = self.own.encode();
        let (state, half) = Spake2::start_a(
            &password(&self.code),
            &identity(&introduction),
            &identity(greeting),
        );
        let hello = [half, introduction].concat();
        let mut said = Transcript::default();
        said.add(greeting);
        said.add(&hello);
        let joining = Joining {
            state,
            said,
            own: self.own,
            peer,
        };
        Ok((hello, joining))
    }
}

/// The second node after its hello.
pub struct Joining {
    state: Spake2<Ed25519Group>,
    said: Transcript,
    own: Introduction,
    peer: Introduction,
}

impl Joining {
    /// Returns the confirmation for an answer, which proved that the other side knows the code, and the channel.
    ///
    /// # Errors
    /// The other side does not know the code, or heard something else.
    pub fn handle_answer(self, answer: &[u8]) -> Result<(Vec<u8>, Channel), Fault> {
        if answer.len() != HALF + PROOF {
            return Err(Fault::Malformed);
        }
        let (half, proof) = answer.split_at(HALF);
        let mut said = self.said;
        said.add(half);
        let shared = Shared::new(self.state, half, said, [&self.peer, &self.own])?;
        shared.verify(PROOF_OF_INVITE, proof)?;
        let (out, into) = (shared.secret(FROM_JOIN), shared.secret(FROM_INVITE));
        let channel = Channel::new(self.peer, &out, &into)?;
        Ok((shared.proof(PROOF_OF_JOIN), channel))
    }
}
