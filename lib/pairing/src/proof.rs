//! Keys of an exchange, from the result of SPAKE2 and all that was said before.

use ring::digest::{SHA256, digest};
use ring::hmac::{self, HMAC_SHA256};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use zeroize::Zeroizing;

use crate::{Code, Fault, Introduction};

/// Bytes of a half of SPAKE2: the side, and a point of the curve.
pub(crate) const HALF: usize = 33;
/// Bytes of a proof.
pub(crate) const PROOF: usize = 32;

/// Key of one purpose; wiped from memory when dropped.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// All that was said, in order, each part with its length.
#[derive(Clone, Default)]
pub(crate) struct Transcript(Vec<u8>);

impl Transcript {
    pub(crate) fn add(&mut self, part: &[u8]) {
        self.0.extend((part.len() as u64).to_be_bytes());
        self.0.extend(part);
    }
}

/// Result of SPAKE2, with what it is bound to.
pub(crate) struct Shared {
    key: hmac::Key,
    said: Vec<u8>,
}

impl Shared {
    pub(crate) fn new(
        state: Spake2<Ed25519Group>,
        half: &[u8],
        mut transcript: Transcript,
        keys: [&Introduction; 2],
    ) -> Result<Self, Fault> {
        // another side's half, a mirrored one, and what is no point
        let raw = state.finish(half).map_err(|_| Fault::WrongCode)?;
        let raw = Zeroizing::new(raw);
        for node in keys {
            transcript.add(&node.key);
        }
        Ok(Self {
            key: hmac::Key::new(HMAC_SHA256, &raw),
            said: digest(&SHA256, &transcript.0).as_ref().to_vec(),
        })
    }

    /// Key of a purpose.
    pub(crate) fn secret(&self, purpose: &str) -> Secret {
        let mut secret = Zeroizing::new([0; 32]);
        secret.copy_from_slice(self.tag(purpose).as_ref());
        secret
    }

    /// Proof that this side knows the code and heard what the other side said.
    pub(crate) fn proof(&self, purpose: &str) -> Vec<u8> {
        self.tag(purpose).as_ref().to_vec()
    }

    /// Compares a proof in constant time.
    pub(crate) fn verify(&self, purpose: &str, proof: &[u8]) -> Result<(), Fault> {
        let message = self.message(purpose);
        hmac::verify(&self.key, &message, proof).map_err(|_| Fault::WrongCode)
    }

    fn tag(&self, purpose: &str) -> hmac::Tag {
        hmac::sign(&self.key, &self.message(purpose))
    }

    fn message(&self, purpose: &str) -> Vec<u8> {
        let mut message = Transcript::default();
        message.add(b"spared pairing 1");
        message.add(purpose.as_bytes());
        message.add(&self.said);
        message.0
    }
}

/// Purposes of keys and proofs. Each side has its own, so that nothing can be sent back to it.
pub(crate) const PROOF_OF_INVITE: &str = "proof of the first node";
pub(crate) const PROOF_OF_JOIN: &str = "proof of the second node";
pub(crate) const FROM_INVITE: &str = "messages of the first node";
pub(crate) const FROM_JOIN: &str = "messages of the second node";

/// Password of the exchange: a digest, because the library keeps copies that it does not wipe, and they have no word of
/// the code.
pub(crate) fn password(code: &Code) -> Password {
    Password::new(digest(&SHA256, code.text().as_bytes()))
}

/// Identity of a side: all that it said of itself.
pub(crate) fn identity(introduction: &[u8]) -> Identity {
    Identity::new(introduction)
}
