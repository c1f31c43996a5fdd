//! Defines how the nodes identify each other: by names, by Ed25519 keys as text, and by keys derived from a passphrase.
//!
//! A public key is `sk1:` and 43 characters of base64url, a private key is `sk1-private:` and 43 characters for its
//! seed.

#![forbid(unsafe_code)]

pub mod login;
mod name;
mod passphrase;

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroize;

pub use name::default_name;
pub use passphrase::{PASSPHRASE_MIN, Strength, derive, rate};

const PUBLIC: &str = "sk1:";
const PRIVATE: &str = "sk1-private:";

/// A node's public key, raw.
pub type PublicKey = [u8; 32];

/// An Ed25519 signature, raw.
pub type Signature = [u8; 64];

/// A node's private key: an Ed25519 seed.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey([u8; 32]);

impl PrivateKey {
    /// Makes a random key.
    ///
    /// # Errors
    /// The kernel provides no random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        let filled = SystemRandom::new().fill(&mut seed);
        filled.map_err(|_| KeyError::NoRandomness)?;
        Ok(Self(seed))
    }

    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(seed)
    }

    /// Parses the output of [`to_text`](Self::to_text); white space around it is ignored.
    ///
    /// # Errors
    /// The fault in the text; the message does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let Some(encoded) = text.strip_prefix(PRIVATE) else {
            return Err(if text.starts_with(PUBLIC) {
                KeyError::PublicForPrivate
            } else {
                KeyError::NotPrivate
            });
        };
        decode(encoded).map(Self)
    }

    /// Returns `sk1-private:...`, for a file of mode 0600.
    pub fn to_text(&self) -> String {
        format!("{PRIVATE}{}", Base64UrlUnpadded::encode_string(&self.0))
    }

    pub fn seed(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn public(&self) -> PublicKey {
        let mut key = [0; 32];
        // Any 32 bytes are a seed; there is no other error.
        if let Ok(pair) = Ed25519KeyPair::from_seed_unchecked(&self.0) {
            key.copy_from_slice(pair.public_key().as_ref());
        }
        key
    }

    /// Returns the Ed25519 signature of a message.
    pub fn sign(&self, message: &[u8]) -> Signature {
        let mut signature = [0; 64];
        // Any 32 bytes are a seed; there is no other error.
        if let Ok(pair) = Ed25519KeyPair::from_seed_unchecked(&self.0) {
            signature.copy_from_slice(pair.sign(message).as_ref());
        }
        signature
    }
}

/// Returns true if `signature` of a message was made with the private key of `key`.
pub fn verify(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let key = UnparsedPublicKey::new(&ED25519, key);
    key.verify(message, signature).is_ok()
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for PrivateKey {
    /// Keeps secrets out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// Returns `sk1:...`.
pub fn public_text(key: &PublicKey) -> String {
    format!("{PUBLIC}{}", Base64UrlUnpadded::encode_string(key))
}

/// Parses `sk1:...`.
///
/// # Errors
/// The fault in the text.
pub fn parse_public(text: &str) -> Result<PublicKey, KeyError> {
    if text.starts_with(PRIVATE) {
        return Err(KeyError::PrivateForPublic);
    }
    let encoded = text.strip_prefix(PUBLIC).ok_or(KeyError::NotPublic)?;
    decode(encoded)
}

fn decode(encoded: &str) -> Result<[u8; 32], KeyError> {
    let mut key = [0; 32];
    let decoded = Base64UrlUnpadded::decode(encoded, &mut key).map(<[u8]>::len);
    if decoded == Ok(key.len()) {
        return Ok(key);
    }
    key.zeroize();
    Err(KeyError::Malformed)
}

/// Reasons why a key is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The text has the prefix, but the rest is not a key.
    Malformed,
    NotPrivate,
    NotPublic,
    /// A private key in place of a public one: others may have seen it.
    PrivateForPublic,
    PublicForPrivate,
    /// The passphrase is not acceptable, for this reason.
    Passphrase(String),
    NoRandomness,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => {
                f.write_str("the key is incomplete or mistyped: 43 letters, digits, \"-\" or \"_\" follow the colon")
            }
            Self::NotPrivate => {
                write!(f, "not a private key: it must begin with \"{PRIVATE}\"")
            }
            Self::NotPublic => write!(f, "not a public key: it must begin with \"{PUBLIC}\""),
            Self::PrivateForPublic => f.write_str(
                "this is a private key, but a public key is needed: make a new pair with \
                 `sparectl keygen`, as this one may have been seen",
            ),
            Self::PublicForPrivate => {
                f.write_str("this is a public key, but the private key is needed")
            }
            Self::Passphrase(why) => f.write_str(why),
            Self::NoRandomness => f.write_str("cannot get random numbers from the kernel"),
        }
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_their_text() {
        let key = PrivateKey::generate().unwrap();
        let text = format!("  {}\n", key.to_text());
        assert_eq!(PrivateKey::parse(&text), Ok(key.clone()));
        assert_eq!(parse_public(&public_text(&key.public())), Ok(key.public()));
        assert_ne!(PrivateKey::generate().unwrap(), key);
    }

    /// RFC 8032, section 7.1, test 1.
    #[test]
    fn the_public_key_is_the_standard_s() {
        let seed = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
        let key = PrivateKey::parse(&format!("{PRIVATE}{seed}")).unwrap();
        let expected = "sk1:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        assert_eq!(public_text(&key.public()), expected);
    }

    #[test]
    fn a_signature_is_of_one_key_and_one_message() {
        let key = PrivateKey::from_seed([7; 32]);
        let other = PrivateKey::from_seed([8; 32]);
        let signature = key.sign(b"who I am");
        assert!(verify(&key.public(), b"who I am", &signature));
        assert!(!verify(&other.public(), b"who I am", &signature));
        assert!(!verify(&key.public(), b"who I was", &signature));
        for garbage in [&signature[..63], &[], &[0; 64], &[0xff; 65]] {
            assert!(!verify(&key.public(), b"who I am", garbage));
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_reason() {
        let public = public_text(&[7; 32]);
        let private = PrivateKey::from_seed([7; 32]).to_text();
        assert_eq!(parse_public(&private), Err(KeyError::PrivateForPublic));
        assert_eq!(PrivateKey::parse(&public), Err(KeyError::PublicForPrivate));
        assert_eq!(parse_public("6Yx0"), Err(KeyError::NotPublic));
        let short = &public[..public.len() - 1];
        for wrong in [short, "sk1:", &format!("{public}A"), &format!("{short}+")] {
            assert_eq!(parse_public(wrong), Err(KeyError::Malformed), "{wrong}");
        }
    }

    #[test]
    fn secrets_stay_out_of_logs() {
        let key = PrivateKey::from_seed([7; 32]);
        assert_eq!(format!("{key:?}"), "PrivateKey(..)");
    }
}
