//! The key of one node's heartbeats.

use std::fmt;
use std::hint::black_box;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::wire::heartbeat::TAG_LEN;

/// Bytes of a secret.
pub const SECRET_LEN: usize = 32;

/// A secret, and the number by which frames name it.
pub struct Key {
    id: u64,
    secret: Zeroizing<[u8; SECRET_LEN]>,
    /// On the heap, so that a move leaves no copy behind.
    mac: Box<hmac::Key>,
}

/// The system gives no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRandomness;

impl Key {
    pub fn new(id: u64, secret: Zeroizing<[u8; SECRET_LEN]>) -> Key {
        let mac = Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret.as_slice()));
        Key { id, secret, mac }
    }

    /// A key that nobody else has.
    pub fn random() -> Result<Key, NoRandomness> {
        let system = SystemRandom::new();
        let mut id = [0; 8];
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        system.fill(&mut id).map_err(|_| NoRandomness)?;
        system
            .fill(secret.as_mut_slice())
            .map_err(|_| NoRandomness)?;
        Ok(Key::new(u64::from_be_bytes(id), secret))
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    /// What makes a frame this key's.
    pub fn tag(&self, bytes: &[u8]) -> [u8; TAG_LEN] {
        let whole = hmac::sign(&self.mac, bytes);
        let mut tag = [0; TAG_LEN];
        for (to, from) in tag.iter_mut().zip(whole.as_ref()) {
            *to = *from;
        }
        tag
    }

    /// Whether the tag is right, in a time that does not tell where it is wrong.
    pub fn verify(&self, bytes: &[u8], tag: &[u8; TAG_LEN]) -> bool {
        same(&self.tag(bytes), tag)
    }

    pub(super) fn secret(&self) -> &[u8; SECRET_LEN] {
        &self.secret
    }

    /// Whether it is the same key, which a peer offers again at each session.
    pub(super) fn is(&self, other: &Key) -> bool {
        self.id == other.id && same(self.secret(), other.secret())
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // ring's key does not wipe itself, and whoever finds it can forge heartbeats
        *self.mac = hmac::Key::new(hmac::HMAC_SHA256, &[0; SECRET_LEN]);
        black_box(&self.mac);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system gives no random bytes")
    }
}

impl std::error::Error for NoRandomness {}

fn same<const N: usize>(a: &[u8; N], b: &[u8; N]) -> bool {
    let differing = a.iter().zip(b).fold(0, |bits, (a, b)| bits | (a ^ b));
    black_box(differing) == 0
}
