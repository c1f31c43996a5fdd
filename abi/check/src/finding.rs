//! Findings of a check, as the child passes them to its parent.

use std::fmt;

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing was found.
    Ok,
    /// The plugin works, but should be improved.
    Warn,
    /// The plugin breaks the contract.
    Fail,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

/// One finding, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    pub text: String,
}

impl Finding {
    pub fn warn(text: impl Into<String>) -> Self {
        Self {
            level: Level::Warn,
            text: text.into(),
        }
    }

    pub fn fail(text: impl Into<String>) -> Self {
        Self {
            level: Level::Fail,
            text: text.into(),
        }
    }

    /// Parses a line written by [`Display`](fmt::Display). None for lines that a plugin prints itself.
    pub fn parse(line: &str) -> Option<Self> {
        let (level, text) = line.strip_prefix("finding ")?.split_once(' ')?;
        match level {
            "warn" => Some(Self::warn(text)),
            "fail" => Some(Self::fail(text)),
            _ => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "finding {} {}", self.level, self.text.replace('\n', " "))
    }
}
