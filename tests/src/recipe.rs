// SPDX-License-Identifier: MIT OR Apache-2.0
//! Scripts that make what tests need and no package installs. Each prints where that is.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::Result;
use crate::lab::skipped;

/// Exit code of a script if there is nothing.
const NONE: i32 = 2;

/// Output of a script, or its exit code and its message.
type Place = std::result::Result<String, (Option<i32>, String)>;

/// A script of tests/ and its arguments. It is run once.
pub struct Recipe {
    command: &'static [&'static str],
    place: OnceLock<Place>,
}

impl Recipe {
    pub const fn new(command: &'static [&'static str]) -> Self {
        Self {
            command,
            place: OnceLock::new(),
        }
    }

    /// Returns what the script prints; skips the test if there is nothing.
    pub fn ask(&self) -> Result<&str> {
        match self.place.get_or_init(|| run(self.command)) {
            Ok(text) => Ok(text),
            Err((Some(NONE), why)) => Err(skipped(why)),
            Err((_, why)) => Err(why.clone().into()),
        }
    }
}

fn run(command: &[&str]) -> Place {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(command[0]);
    let output = Command::new("sh")
        .arg(&script)
        .args(&command[1..])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| (None, format!("{}: {error}", script.display())))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.code() {
        Some(0) => Ok(text(&output.stdout)),
        code => Err((code, text(&output.stderr))),
    }
}
