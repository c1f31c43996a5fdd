// SPDX-License-Identifier: MIT OR Apache-2.0
//! Questions to a daemon over its control socket. The answers are those of `sparectl --json`; a process of sparectl for each would cost a test
//! that waits ten times as much.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use spared_message::control::{self, Request};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Returns what `sparectl --json` prints for `status`, or for a plugin's words such as `ipsec status`.
pub fn answer(runtime_dir: &Path, words: &[&str]) -> Value {
    let request = match words {
        ["status"] => Request::Status,
        words => Request::Plugin {
            name: words.first().copied().unwrap_or_default().to_owned(),
            argv: words.iter().skip(1).map(ToString::to_string).collect(),
        },
    };
    match control::ask(runtime_dir, &request, PATIENCE) {
        Ok(answer) => json!(answer),
        Err(error) => json!({
            "answer": "down", "verdict": { "word": "down" }, "lines": [error.to_string()],
        }),
    }
}

/// Returns the rows of a plugin's answer; the whole answer if it has none.
pub fn rows(mut answer: Value) -> Value {
    match answer.get_mut("rows") {
        Some(rows) => rows.take(),
        None => answer,
    }
}
