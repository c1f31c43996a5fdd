//! Derives keys from a passphrase that both nodes know: argon2id, salted with the nodes' names.

use argon2::{Algorithm, Argon2, Params, Version};

use crate::{KeyError, PrivateKey};

/// Minimum length of a passphrase, in characters.
pub const PASSPHRASE_MIN: usize = 12;

/// Parameters of argon2id: RFC 9106's second choice, for machines with little memory. 64 MiB, 3 passes, 4 lanes.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;

/// Resistance of a passphrase to guessing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    Weak,
    Fair,
    Strong,
}

impl Strength {
    pub fn word(self) -> &'static str {
        match self {
            Self::Weak => "weak",
            Self::Fair => "fair",
            Self::Strong => "strong",
        }
    }
}

/// Rates a passphrase by an upper bound of its entropy, from its length and kinds of characters.
///
/// # Errors
/// The passphrase is too short or trivial; a sentence says which.
pub fn rate(passphrase: &str) -> Result<Strength, KeyError> {
    let refuse = |why: &str| Err(KeyError::Passphrase(why.to_owned()));
    let characters: Vec<char> = passphrase.chars().collect();
    if characters.len() < PASSPHRASE_MIN {
        return refuse(&format!(
            "the passphrase has {} characters; it needs at least {PASSPHRASE_MIN}",
            characters.len()
        ));
    }
    let mut different = characters.clone();
    different.sort_unstable();
    different.dedup();
    if different.len() < 5 {
        return refuse("the passphrase repeats a few characters and is easy to guess");
    }
    if is_run(&characters) {
        return refuse(
            "the passphrase is a sequence of neighbouring characters and is easy to guess",
        );
    }
    let digits = characters.iter().all(char::is_ascii_digit);
    if digits && characters.len() < 20 {
        return refuse("a passphrase of digits alone needs at least 20 of them");
    }
    Ok(match bits(&characters, different.len()) {
        ..60 => Strength::Weak,
        60..90 => Strength::Fair,
        90.. => Strength::Strong,
    })
}

/// Returns true for a run such as "abcdefghijkl", "cba..." or "2222": every step is the same.
fn is_run(characters: &[char]) -> bool {
    let step = |pair: &[char]| match pair {
        [first, second] => i64::from(u32::from(*second)) - i64::from(u32::from(*first)),
        _ => 0,
    };
    let mut steps = characters.windows(2).map(step);
    let first = steps.next();
    first.is_some_and(|first| first.abs() <= 1 && steps.all(|step| step == first))
}

/// Computes the bound of the entropy: length times bits of a character. A repeated character counts a quarter.
fn bits(characters: &[char], different: usize) -> usize {
    let has = |kind: fn(&char) -> bool| usize::from(characters.iter().any(kind));
    let alphabet = 10 * has(char::is_ascii_digit)
        + 26 * has(char::is_ascii_lowercase)
        + 26 * has(char::is_ascii_uppercase)
        + 30 * has(|c| !c.is_ascii_alphanumeric());
    let per_character = usize::try_from(alphabet.max(2).ilog2()).unwrap_or(1);
    let again = characters.len().saturating_sub(different);
    per_character * (4 * different + again) / 4
}

/// Derives the private keys of two nodes from the passphrase. Both are derived at once, as that takes a second on a
/// slow or busy machine. Each node has its own key, so that its own messages never pass for its peer's.
///
/// # Errors
/// The passphrase is too short or trivial, or there is no memory for the derivation.
pub fn derive(passphrase: &str, nodes: [&str; 2]) -> Result<[PrivateKey; 2], KeyError> {
    rate(passphrase)?;
    let failed = |error: argon2::Error| {
        KeyError::Passphrase(format!(
            "no key can be derived from the passphrase: {error}"
        ))
    };
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(64)).map_err(failed)?;
    let mut seeds = [[0; 32]; 2];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(
            passphrase.as_bytes(),
            &salt(nodes),
            seeds.as_flattened_mut(),
        )
        .map_err(failed)?;
    // the first seed belongs to the name that is first in the alphabet
    if nodes[1] < nodes[0] {
        seeds.reverse();
    }
    Ok(seeds.map(PrivateKey::from_seed))
}

/// Returns the salt: the names with their lengths, so that different names never have the same salt.
fn salt(mut nodes: [&str; 2]) -> Vec<u8> {
    nodes.sort_unstable();
    let mut salt = b"spared link keys 2".to_vec();
    for name in nodes {
        salt.extend((name.len() as u64).to_be_bytes());
        salt.extend(name.as_bytes());
    }
    salt
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "wet horses battle a stapler";

    #[test]
    fn both_nodes_derive_the_same_keys_and_each_its_own() {
        let [r1, r2] = derive(GOOD, ["r1", "r2"]).unwrap();
        assert_eq!(
            derive(GOOD, ["r2", "r1"]).unwrap(),
            [r2.clone(), r1.clone()]
        );
        assert_ne!(r1, r2);
        assert_ne!(derive(GOOD, ["r1", "r3"]).unwrap()[0], r1);
        let other = derive("wet horses battle a staplar", ["r1", "r2"]);
        assert_ne!(other.unwrap()[0], r1);
    }

    #[test]
    fn trivial_passphrases_are_refused() {
        for trivial in [
            "",
            "elevenchars",
            "aaaaaaaaaaaaaaaa",
            "abababababababab",
            "abcdefghijklmnop",
            "zyxwvutsrqpon",
            "183920571638294",
        ] {
            assert!(rate(trivial).is_err(), "{trivial}");
            assert!(derive(trivial, ["a", "b"]).is_err(), "{trivial}");
        }
    }

    #[test]
    fn longer_and_more_varied_is_stronger() {
        assert_eq!(rate("password1234"), Ok(Strength::Weak));
        assert_eq!(rate("horsebattery5"), Ok(Strength::Weak));
        assert_eq!(rate("Tr0ub4dor&3-x9"), Ok(Strength::Fair));
        assert_eq!(rate("x7Rq!mB2vK9#pL4wZ8s"), Ok(Strength::Strong));
        assert!(rate(GOOD).unwrap() >= Strength::Fair);
    }
}
