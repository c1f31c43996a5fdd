//! The daemon of this node before and after it becomes one of a pair.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use spared_file::{Access, replace};
use spared_message::control::{Answer, Request, Status, UNARMED_MARK, state_dir};

use crate::args::Args;
use crate::ask;
use crate::folder::Folder;
use crate::refusal::Refusal;

/// Maximum wait for the daemon and for the link.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

/// Groups for which this node is active; none if the daemon does not answer.
pub fn active_groups(args: &Args) -> Vec<String> {
    let groups = status(args).map(|it| it.groups).unwrap_or_default();
    let active = groups.into_iter().filter(|it| it.role == "active");
    active.map(|it| it.name).collect()
}

/// Checks that no reload waits for its confirmation: the files from before it would come back over new ones.
///
/// # Errors
/// One waits; a sentence says what to do.
pub fn no_reload_waits(args: &Args) -> Result<(), String> {
    match status(args).and_then(|it| it.orders.unconfirmed_until) {
        None => Ok(()),
        Some(until) => Err(format!(
            "the last reload waits for its confirmation until {until}: run `sparectl confirm` or `sparectl reload --back` first"
        )),
    }
}

fn status(args: &Args) -> Option<Box<Status>> {
    match ask(args, &Request::Status) {
        Ok(Answer::Status(status)) => Some(status),
        _ => None,
    }
}

/// Keeps this node from becoming active until `sparectl arm`, from its next start or reload on.
///
/// # Errors
/// The file cannot be written.
pub fn disarm(args: &Args) -> Result<(), String> {
    let folder = state_dir(&args.runtime_dir);
    let made = fs::create_dir_all(&folder);
    made.map_err(|error| format!("{}: {error}", folder.display()))?;
    replace(&folder.join(UNARMED_MARK), b"", Access::AsBefore, || Ok(()))
}

/// Puts the files in force: by a reload, or by a start where no daemon answers.
///
/// # Errors
/// The daemon refuses the files, or nothing can start it.
pub fn bring_up(args: &Args, folder: &Folder) -> Result<String, Refusal> {
    match ask(args, &Request::Reload { anyway: false }) {
        Ok(answer @ Answer::Error { .. }) => Err(answer.into()),
        Ok(_) => Ok("the daemon has the configuration in force".to_owned()),
        Err(error) if error.is_down() => Ok(start(folder)?),
        Err(error) => Err(error.into()),
    }
}

fn start(folder: &Folder) -> Result<String, String> {
    let by_hand = || "the daemon does not run: start it".to_owned();
    if !folder.is_installed() || !Path::new("/run/systemd/system").exists() {
        return Ok(by_hand());
    }
    let mut command = Command::new("systemctl");
    let started = command
        .args(["start", "spared"])
        .stdin(Stdio::null())
        .status();
    match started {
        Ok(status) if status.success() => Ok("the daemon is started".to_owned()),
        _ => Err("the daemon does not start: `journalctl -u spared` says why".to_owned()),
    }
}

/// Waits until the link is up. Returns a sentence.
pub fn wait_for_link(args: &Args, peer: &str) -> String {
    let begun = Instant::now();
    loop {
        let known = status(args);
        let there = known.as_ref().and_then(|it| it.peer.as_deref());
        if there.is_some_and(|it| it.up && it.node == peer) {
            return format!("the link to {peer} is up");
        }
        if known.is_none() || begun.elapsed() > PATIENCE {
            return format!("the link to {peer} is not up yet: `sparectl status` says why");
        }
        sleep(PAUSE);
    }
}
