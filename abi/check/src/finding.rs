//! What a check found, as it crosses from the child to its parent.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, and should be better.
    Warn,
    /// Will hurt somebody.
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

/// One sentence.
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

    /// A line as [`Display`](fmt::Display) wrote it; what a plugin prints itself is none.
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
