//! Combines two key shares to a secret, and derives two keys from it, one for each direction.

use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

use crate::heartbeats::key::{Key, NoRandomness, SECRET_LEN};
use crate::wire::offer::Public;

/// Purpose of the keys, so that no other use of a secret derives the same ones.
const PURPOSE: &[u8] = b"spared heartbeats 1";

/// Keys between two runs.
#[derive(Debug)]
pub struct AgreedKeys {
    /// The peer's run.
    pub run: u64,
    /// Key for heartbeats of this run to the peer's.
    pub send_key: Key,
    /// Key for heartbeats of the peer's run to this one.
    pub receive_key: Key,
}

/// This node's key share.
#[derive(Debug)]
pub struct KeyShare {
    /// Private key; None once it was used.
    private: Option<EphemeralPrivateKey>,
    pub public: Public,
}

impl KeyShare {
    pub fn generate() -> Result<KeyShare, NoRandomness> {
        let random = SystemRandom::new();
        let private = EphemeralPrivateKey::generate(&X25519, &random).map_err(|_| NoRandomness)?;
        let computed = private.compute_public_key().map_err(|_| NoRandomness)?;
        let public = Public::try_from(computed.as_ref()).map_err(|_| NoRandomness)?;
        Ok(KeyShare {
            private: Some(private),
            public,
        })
    }
}

/// A node, its run and its key share.
#[derive(Clone, Copy, Debug)]
pub struct Side<'n> {
    name: &'n str,
    run: u64,
    public: Public,
}

impl<'n> Side<'n> {
    pub fn new(name: &'n str, run: u64, public: Public) -> Side<'n> {
        Side { name, run, public }
    }
}

/// Derives the keys between this node's side and the peer's; None if the share was used, or the peer's is invalid.
pub fn agree(share: &mut KeyShare, [own, peer]: [Side<'_>; 2]) -> Option<AgreedKeys> {
    let private = share.private.take()?;
    let theirs = UnparsedPublicKey::new(&X25519, peer.public);
    let mut sides = [own, peer];
    sides.sort_by_key(|side| side.name);
    let context = context(sides);
    let keys = agree_ephemeral(private, &theirs, |secret| {
        let secret = Salt::new(HKDF_SHA256, PURPOSE).extract(secret);
        let key = |side: Side<'_>| expand(&secret, &context, side.run);
        Some((key(own)?, key(peer)?))
    });
    let (send_key, receive_key) = keys.ok()??;
    Some(AgreedKeys {
        run: peer.run,
        send_key,
        receive_key,
    })
}

/// Derives the key for heartbeats of one run to the other.
fn expand(secret: &Prk, context: &[u8], sender: u64) -> Option<Key> {
    let sender_bytes = sender.to_be_bytes();
    let info = [context, &sender_bytes];
    let mut bytes = Zeroizing::new([0; SECRET_LEN]);
    let expanded = secret.expand(&info, Length).ok()?;
    expanded.fill(bytes.as_mut_slice()).ok()?;
    Some(Key::new(sender, &bytes))
}

/// Returns the bytes of both sides in the order of their names.
fn context(sides: [Side<'_>; 2]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for side in sides {
        bytes.push(u8::try_from(side.name.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(side.name.as_bytes());
        bytes.extend_from_slice(&side.run.to_be_bytes());
        bytes.extend_from_slice(&side.public);
    }
    bytes
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        SECRET_LEN
    }
}
