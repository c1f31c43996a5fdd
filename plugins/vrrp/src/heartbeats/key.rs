//! Key for heartbeats of one run to another.

use std::fmt;
use std::hint::black_box;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use crate::wire::heartbeat::TAG_LEN;

/// Size of a secret in bytes.
pub const SECRET_LEN: usize = 32;

/// A secret, and the run whose heartbeats it signs.
#[cfg_attr(test, derive(Clone))]
pub struct Key {
    run: u64,
    /// MAC key, on the heap, so that a move leaves no copy behind.
    mac: Box<hmac::Key>,
}

/// Returns the random number of a new run, which no earlier start had; never 0.
pub fn random_run() -> Result<u64, NoRandomness> {
    let mut run = [0; 8];
    SystemRandom::new()
        .fill(&mut run)
        .map_err(|_| NoRandomness)?;
    Ok(u64::from_be_bytes(run).max(1))
}

/// The system provides no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRandomness;

impl Key {
    pub fn new(run: u64, secret: &[u8; SECRET_LEN]) -> Key {
        let mac = Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret));
        Key { run, mac }
    }

    pub fn run(&self) -> u64 {
        self.run
    }

    /// Returns the tag of a frame under this key.
    pub fn tag(&self, bytes: &[u8]) -> [u8; TAG_LEN] {
        let whole = hmac::sign(&self.mac, bytes);
        let mut tag = [0; TAG_LEN];
        for (to, from) in tag.iter_mut().zip(whole.as_ref()) {
            *to = *from;
        }
        tag
    }

    /// Verifies a tag in constant time.
    pub fn verify(&self, bytes: &[u8], tag: &[u8; TAG_LEN]) -> bool {
        same(&self.tag(bytes), tag)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // ring's key does not erase itself, and anybody who finds it can forge heartbeats
        *self.mac = hmac::Key::new(hmac::HMAC_SHA256, &[0; SECRET_LEN]);
        black_box(&self.mac);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("run", &self.run)
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
