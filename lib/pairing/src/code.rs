//! The code: three words of a list, 21 bits, for one try.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize, Zeroizing};

use crate::words::{WORDS, nearest};

/// Number of words of a code.
const LENGTH: usize = 3;

/// A code of words; wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(Zeroizing<String>);

impl Code {
    /// Makes a random code.
    ///
    /// # Errors
    /// The kernel provides no random numbers.
    pub fn generate() -> Result<Self, CodeError> {
        let mut bytes = [0; LENGTH];
        let filled = SystemRandom::new().fill(&mut bytes);
        filled.map_err(|_| CodeError::NoRandomness)?;
        let words = bytes.map(|byte| WORDS[usize::from(byte) % WORDS.len()]);
        bytes.zeroize();
        Ok(Self(Zeroizing::new(words.join("-"))))
    }

    /// Parses a code that a person typed: case does not count, and words are separated by spaces or hyphens.
    ///
    /// # Errors
    /// A word is in no code, or there are not three. A misspelt code is found here and costs no try.
    pub fn parse(typed: &str) -> Result<Self, CodeError> {
        let typed = Zeroizing::new(typed.to_lowercase());
        let words = typed.split(|c: char| c == '-' || c.is_whitespace());
        let words: Vec<&str> = words.filter(|it| !it.is_empty()).collect();
        if words.len() != LENGTH {
            return Err(CodeError::Length(words.len()));
        }
        if let Some(word) = words.iter().find(|it| !WORDS.contains(it)) {
            return Err(CodeError::Unknown((*word).to_owned()));
        }
        Ok(Self(Zeroizing::new(words.join("-"))))
    }

    /// The words with hyphens between them.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Code {
    /// Keeps the code out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

/// Reasons why a text is no code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeError {
    /// Number of words that were typed.
    Length(usize),
    /// Word that is in no code.
    Unknown(String),
    NoRandomness,
}

impl fmt::Display for CodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(found) => write!(
                f,
                "found {found} words, a code has {LENGTH}: type it as the other node shows it, such as lemon-tulip-raven"
            ),
            Self::Unknown(word) => match nearest(word) {
                Some(near) => write!(
                    f,
                    "\"{word}\" is not a word of a code: did you mean \"{near}\"?"
                ),
                None => write!(
                    f,
                    "\"{word}\" is not a word of a code: type the three words as the other node shows them"
                ),
            },
            Self::NoRandomness => f.write_str("cannot get random numbers from the kernel"),
        }
    }
}

impl std::error::Error for CodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = Code::generate().unwrap();
        let shown = code.text().to_owned();
        for typed in [
            shown.clone(),
            format!("  {}\n", shown.to_uppercase()),
            shown.replace('-', " "),
            shown.replace('-', "  - "),
        ] {
            assert_eq!(Code::parse(&typed), Ok(code.clone()), "{typed}");
        }
        assert_ne!(Code::generate().unwrap(), code);
        assert_eq!(format!("{code:?}"), "Code(..)");
    }

    #[test]
    fn a_misspelt_code_is_none_and_the_word_is_named() {
        let said = |typed| Code::parse(typed).unwrap_err().to_string();
        assert!(said("acorn-aple-arrow").ends_with("did you mean \"apple\"?"));
        assert!(said("acorn-xyzzy-arrow").starts_with("\"xyzzy\" is not a word"));
        assert!(said("acorn apple").starts_with("found 2 words, a code has 3"));
        assert!(said("").starts_with("found 0 words"));
    }
}
