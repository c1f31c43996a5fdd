//! `sparectl report`: one file with the state of both nodes, secrets masked.
//!
//! `spared report` gathers the half of this node, so that no daemon is needed for it. The half of the other node comes
//! in parts through both daemons.

mod bundle;
mod peer;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spared_file::{Access, replace};
use spared_message::control::{Answer, NodeReport, Request};

use crate::args::Args;
use crate::check::program;
use crate::{EXIT_FAILED, output};
use bundle::{Bundle, pack};
use peer::Fetching;

const PATIENCE: Duration = Duration::from_secs(5);

/// Gathers both halves and writes the file. `argv` is passed to `spared report`.
pub fn run(args: &Args, out: Option<&Path>, argv: &[OsString]) -> u8 {
    let mut bundle = Bundle::default();
    // the other node gathers at the same time as this one
    let mut peer = begin(args, &mut bundle);
    match own(args, argv) {
        Ok(report) => bundle.set_own(report),
        Err(why) => bundle.missing(format!("report of this node: {why}")),
    }
    if let Some(peer) = &mut peer {
        match peer.fetch(&mut |request| ask_through(args, &request)) {
            Ok(report) => bundle.set_peer(&peer.node, report),
            Err(why) => bundle.missing(format!("report of {}: {why}", peer.node)),
        }
    }
    let stem = stem(&bundle);
    let path = out.map_or_else(|| PathBuf::from(format!("{stem}.tar.gz")), Path::to_owned);
    let packed = pack(&bundle, &stem, seconds());
    let packed = packed.map_err(|error| format!("{}: {error}", path.display()));
    let written = packed.and_then(|bytes| write(&path, &bytes));
    output::errors(bundle.lacks());
    match written {
        Ok(()) => {
            output::text(&bundle.summary(&path.display().to_string()));
            0
        }
        Err(why) => {
            output::errors(&[why]);
            EXIT_FAILED
        }
    }
}

// Begins to gather on the peer, which only the daemon of this node can name.
fn begin(args: &Args, bundle: &mut Bundle) -> Option<Fetching> {
    let status = match ask_through(args, &Request::Status) {
        Ok(Answer::Status(status)) => status,
        Ok(_) => return None,
        Err(why) => {
            bundle.missing(format!(
                "report of the other node: it comes through spared: {why}"
            ));
            return None;
        }
    };
    let peer = status.peer.filter(|it| !it.node.is_empty());
    let Some(peer) = peer else {
        bundle.missing("report of the other node: [nodes] names no other node".to_owned());
        return None;
    };
    let mut fetching = Fetching::of(&peer.node);
    fetching.begin(&mut |request| ask_through(args, &request));
    Some(fetching)
}

fn ask_through(args: &Args, request: &Request) -> Result<Answer, String> {
    let answer = spared_message::control::ask(&args.runtime_dir, request, PATIENCE);
    answer.map_err(|error| error.to_string())
}

fn own(args: &Args, argv: &[OsString]) -> Result<NodeReport, String> {
    let spared = program();
    let fault = |error: io::Error| format!("{}: {error}", spared.display());
    let output = Command::new(&spared)
        .args(["report", "--runtime-dir"])
        .arg(&args.runtime_dir)
        .args(argv)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(fault)?;
    if !output.status.success() {
        return Err(format!("{} report: {}", spared.display(), output.status));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{} report: invalid output: {error}", spared.display()))
}

// Name such as "spared-report-r1-20261122-084600", which no earlier bundle has.
fn stem(bundle: &Bundle) -> String {
    let digits: String = bundle
        .at()
        .chars()
        .take(19)
        .map(|c| if c == 'T' { '-' } else { c })
        .filter(|c| c.is_ascii_digit() || *c == '-')
        .collect();
    let at = match digits.rsplit_once('-') {
        Some((day, time)) => format!("{}-{time}", day.replace('-', "")),
        None => seconds().to_string(),
    };
    format!("spared-report-{}-{at}", bundle.name())
}

fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

// Writes the file. Nobody else may read it, it overwrites nothing, and it never exists in part.
fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    replace(
        path,
        bytes,
        Access::Private,
        || match fs::symlink_metadata(path) {
            Ok(_) => Err(format!("{} exists already", path.display())),
            Err(_) => Ok(()),
        },
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_for_its_owner_and_overwrites_none() {
        let folder = std::env::temp_dir().join(format!("sparectl-report-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("bundle");
        write(&path, b"one").unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert!(write(&path, b"two").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert!(write(&folder.join("no/folder"), b"x").is_err());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_name_says_which_node_and_when() {
        let mut bundle = Bundle::default();
        assert!(stem(&bundle).starts_with("spared-report-node-1"));
        bundle.set_own(NodeReport {
            node: "r1".to_owned(),
            at: "2026-11-22T08:46:00.123+00:00".to_owned(),
            ..NodeReport::default()
        });
        assert_eq!(stem(&bundle), "spared-report-r1-20261122-084600");
    }
}
