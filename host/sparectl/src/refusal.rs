//! Reason why a command was not carried out, with the exit code.

use std::fmt;

use spared_message::control::{Answer, AskError};

use crate::{EXIT_FAILED, exit_code, exit_code_down};

/// Reason why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub why: String,
    /// Exit code, with the same meaning for every verb.
    pub code: u8,
}

impl Refusal {
    /// Refusal with a further line for the reader.
    pub fn with_line(self, line: &str) -> Self {
        let why = format!("{}\n{line}", self.why);
        Self { why, ..self }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        let code = EXIT_FAILED;
        Self { why, code }
    }
}

impl From<&str> for Refusal {
    fn from(why: &str) -> Self {
        why.to_owned().into()
    }
}

impl From<AskError> for Refusal {
    fn from(error: AskError) -> Self {
        Self {
            why: error.to_string(),
            code: exit_code_down(&error),
        }
    }
}

impl From<Answer> for Refusal {
    /// Converts an answer of the wrong kind.
    fn from(answer: Answer) -> Self {
        let code = exit_code(&answer);
        match answer {
            Answer::Error { lines, .. } => Self {
                why: lines.join("\n"),
                code,
            },
            _ => "the daemon answered something else".into(),
        }
    }
}
