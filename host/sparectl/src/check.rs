//! `sparectl check`: runs `spared check`, which reads the same files with the same code as the daemon.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use spared_message::control::{Answer, Request, Status};

use crate::args::Args;
use crate::{EXIT_DOWN, EXIT_FAILED, ask, output, render};

const INSTALLED: &str = "/usr/sbin/spared";

/// Checks the files here; with `peer` it also compares the configurations in force on both nodes.
pub fn run(args: &Args, peer: bool, argv: &[OsString]) -> u8 {
    let own = own(&args.runtime_dir, argv);
    if peer {
        own.max(differences(args))
    } else {
        own
    }
}

// Compares the configurations in force in the daemons, not the files.
fn differences(args: &Args) -> u8 {
    let status = match ask(args, &Request::Status) {
        Ok(Answer::Status(status)) => status,
        Ok(_) => return EXIT_FAILED,
        Err(error) => {
            output::errors(&[error.to_string()]);
            return EXIT_DOWN;
        }
    };
    match compared(&status) {
        Ok(lines) if lines.is_empty() => {
            output::text("the configurations in force on both nodes are equal\n");
            0
        }
        Ok(lines) => {
            output::text(&render::sentences(&lines));
            EXIT_FAILED
        }
        Err(why) => {
            output::errors(&[why]);
            EXIT_FAILED
        }
    }
}

fn compared(status: &Status) -> Result<Vec<String>, String> {
    let peer = status.peer.as_deref();
    let peer = peer.ok_or("there is no other node: [nodes] names none")?;
    if !peer.up {
        return Err(format!("{} is not heard over the link", peer.node));
    }
    let differences = peer.differences.iter();
    Ok(differences.map(|it| it.sentence(&peer.node)).collect())
}

fn own(runtime_dir: &Path, argv: &[OsString]) -> u8 {
    let spared = program();
    let mut command = Command::new(&spared);
    command.arg("check").arg("--runtime-dir").arg(runtime_dir);
    match command.args(argv).status() {
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

// Path of `spared`. A build tree has both programs in one folder.
pub fn program() -> PathBuf {
    let beside = std::env::current_exe()
        .ok()
        .map(|path| path.with_file_name("spared"));
    beside
        .filter(|path| path.is_file())
        .unwrap_or_else(|| INSTALLED.into())
}
