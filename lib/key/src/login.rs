//! Password of a login, of which a hash of argon2id is kept.

use std::str::FromStr;

use argon2::password_hash::phc::Output;
use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, PasswordHasher, Version};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::KeyError;

/// Parameters of argon2id for a machine that has other work: 7 MiB and 5 passes, which are as strong as the usual 19 MiB
/// and 2 passes.
const MEMORY_KIB: u32 = 7 * 1024;
const PASSES: u32 = 5;
const LANES: u32 = 1;
/// Maximum parameters of a hash that somebody else made. They bound memory and time of an attempt.
const MEMORY_MAX_KIB: u32 = 19 * 1024;
const PASSES_MAX: u32 = 10;
const LANES_MAX: u32 = 4;
/// Blocks of 1 KiB for which room is reserved. Only what is used is memory; but glibc gives the kernel back at once what is
/// larger than 32 MiB, and keeps what is smaller for the next time.
const SPACE: usize = 33 * 1024;
/// Maximum bytes of a password that is tried.
const PASSWORD_MAX: usize = 256;

/// Hash of a password: "$argon2id$v=19$m=7168,t=5,p=1$SALT$HASH".
#[derive(Clone, PartialEq, Eq)]
pub struct LoginHash(String);

impl LoginHash {
    /// Returns true if the hash is of this password. It takes a tenth of a second and 7 MiB, which are given back.
    pub fn is_of(&self, password: &str) -> bool {
        let fits = password.len() <= PASSWORD_MAX;
        let hash = PasswordHash::new(&self.0).ok().filter(|_| fits);
        hash.and_then(|it| is_of(&it, password)).unwrap_or(false)
    }
}

/// None for a hash that is incomplete, or if argon2 refuses it.
fn is_of(hash: &PasswordHash, password: &str) -> Option<bool> {
    let (salt, expected) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
    let params = Params::try_from(hash).ok()?;
    let version = Version::try_from(hash.version?).ok()?;
    let mut memory = Vec::with_capacity(SPACE);
    memory.resize(params.block_count(), Block::default());
    let mut output = vec![0; expected.len()];
    let hasher = Argon2::new(Algorithm::Argon2id, version, params);
    let password = password.as_bytes();
    hasher
        .hash_password_into_with_memory(password, salt.as_ref(), &mut output, memory.as_mut_slice())
        .ok()?;
    // takes the same time wherever they differ
    Some(Output::new(&output).ok()? == *expected)
}

impl std::fmt::Debug for LoginHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginHash").finish_non_exhaustive()
    }
}

impl FromStr for LoginHash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const NO_HASH: &str = "allowed is a hash of argon2id, \"$argon2id$...\"";
        let hash = PasswordHash::new(text).map_err(|_| NO_HASH)?;
        let is_whole = hash.salt.is_some() && hash.hash.is_some();
        let is_known = hash.algorithm == Algorithm::Argon2id.ident();
        let params = Params::try_from(&hash)
            .ok()
            .filter(|_| is_whole && is_known);
        let params = params.ok_or(NO_HASH)?;
        let fits = params.m_cost() <= MEMORY_MAX_KIB
            && params.t_cost() <= PASSES_MAX
            && params.p_cost() <= LANES_MAX;
        if !fits {
            return Err("the hash takes more than 19 MiB, 10 passes or 4 lanes");
        }
        Ok(Self(text.to_owned()))
    }
}

/// Hash of a new password, with a random salt.
///
/// # Errors
/// The kernel gives no randomness, or argon2 cannot make it, as without memory.
pub fn hash(password: &str) -> Result<String, KeyError> {
    let mut salt = [0; 16];
    let filled = SystemRandom::new().fill(&mut salt);
    filled.map_err(|_| KeyError::NoRandomness)?;
    let refuse = |why: String| KeyError::Passphrase(why);
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None);
    let params = params.map_err(|error| refuse(error.to_string()))?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let made = hasher.hash_password_with_salt(password.as_bytes(), &salt);
    let made = made.map_err(|error| refuse(error.to_string()))?;
    Ok(made.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_password_alone() {
        let text = hash("correct horse battery").unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{text}");
        let hash: LoginHash = text.parse().unwrap();
        assert!(hash.is_of("correct horse battery"));
        assert!(!hash.is_of("correct horse batterz") && !hash.is_of(""));
        assert!(!hash.is_of(&"x".repeat(PASSWORD_MAX + 1)));
        assert!(!format!("{hash:?}").contains("7168"));
    }

    #[test]
    fn what_is_no_hash_or_takes_too_much_is_refused() {
        let text = hash("correct horse battery").unwrap();
        let large = text.replace("m=7168", "m=1048576");
        assert!(large.parse::<LoginHash>().unwrap_err().contains("19 MiB"));
        let slow = text.replace("t=5", "t=100000");
        assert!(slow.parse::<LoginHash>().is_err());
        for wrong in [
            "",
            "secret",
            "$argon2id$v=19$m=7168,t=5,p=1$c2FsdHNhbHRzYWx0",
            "$2y$12$abcdefghijklmnopqrstuv",
        ] {
            assert!(wrong.parse::<LoginHash>().is_err(), "{wrong}");
        }
        let other = text.replace("argon2id", "argon2i");
        assert!(other.parse::<LoginHash>().is_err());
    }
}
