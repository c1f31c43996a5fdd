//! `sparectl check`: runs `spared check`, which reads the same files with the same code as the
//! daemon does.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::{EXIT_FAILED, output};

const INSTALLED: &str = "/usr/sbin/spared";

pub fn run(argv: &[OsString]) -> u8 {
    let spared = program();
    match Command::new(&spared).arg("check").args(argv).status() {
        Ok(status) => status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(EXIT_FAILED),
        Err(error) => {
            output::errors(&[format!("{}: {error}", spared.display())]);
            EXIT_FAILED
        }
    }
}

// A build tree has both programs in one folder.
fn program() -> PathBuf {
    let beside = std::env::current_exe()
        .ok()
        .map(|path| path.with_file_name("spared"));
    beside
        .filter(|path| path.is_file())
        .unwrap_or_else(|| INSTALLED.into())
}
