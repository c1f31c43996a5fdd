//! The encrypted channel between two nodes that have proved that they know the code: ChaCha20-Poly1305, a key for each
//! direction, and a number for each message, so that none can be repeated, left out or sent back.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::proof::Secret;
use crate::{Fault, Introduction, Message};

/// Channel to the other node.
pub struct Channel {
    /// The other node, as the code has proved it.
    pub peer: Introduction,
    out: Direction,
    into: Direction,
}

struct Direction {
    key: LessSafeKey,
    number: u64,
}

impl Channel {
    pub(crate) fn new(peer: Introduction, out: &Secret, into: &Secret) -> Result<Self, Fault> {
        Ok(Self {
            peer,
            out: Direction::new(out)?,
            into: Direction::new(into)?,
        })
    }

    /// Encrypts a message.
    ///
    /// # Errors
    /// The message is too long, or the library refuses it.
    pub fn seal(&mut self, message: &Message) -> Result<Vec<u8>, Fault> {
        let mut bytes = message.encode();
        let nonce = self.out.nonce();
        let sealed = self
            .out
            .key
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut bytes);
        sealed.map_err(|_| Fault::Malformed)?;
        if bytes.len() > crate::FRAME_MAX {
            return Err(Fault::TooLong);
        }
        Ok(bytes)
    }

    /// Decrypts the next message.
    ///
    /// # Errors
    /// The bytes are not the next message of the other node.
    pub fn open(&mut self, sealed: Vec<u8>) -> Result<Message, Fault> {
        let mut bytes = Zeroizing::new(sealed);
        let nonce = self.into.nonce();
        let opened = self.into.key.open_in_place(nonce, Aad::empty(), &mut bytes);
        Message::decode(opened.map_err(|_| Fault::WrongCode)?)
    }
}

impl Direction {
    fn new(secret: &Secret) -> Result<Self, Fault> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &**secret).map_err(|_| Fault::Malformed)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            number: 0,
        })
    }

    /// Number of the next message. A channel carries a handful.
    fn nonce(&mut self) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - 8..].copy_from_slice(&self.number.to_be_bytes());
        self.number = self.number.wrapping_add(1);
        Nonce::assume_unique_for_key(nonce)
    }
}
