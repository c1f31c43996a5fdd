//! The daemon of this node before and after it becomes one of a pair.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use spared_file::{Access, replace};
use spared_message::control::{Answer, AskError, Fault, Request, Status, UNARMED_MARK, state_dir};

use crate::args::Args;
use crate::ask;
use crate::folder::Folder;
use crate::refusal::Refusal;

/// Maximum wait for the daemon and for the link.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

/// Groups for which this node is active; none if no daemon runs.
///
/// # Errors
/// A daemon runs, and it is not known for what it is active.
pub fn active_groups(args: &Args) -> Result<Vec<String>, Refusal> {
    let groups = status(args)?.map(|it| it.groups).unwrap_or_default();
    let active = groups.into_iter().filter(|it| it.role == "active");
    Ok(active.map(|it| it.name).collect())
}

/// Checks that no reload waits for its confirmation: the files from before it would come back over new ones.
///
/// # Errors
/// One waits, or a daemon runs and does not say; a sentence says what to do.
pub fn no_reload_waits(args: &Args) -> Result<(), Refusal> {
    match status(args)?.and_then(|it| it.orders.unconfirmed_until) {
        None => Ok(()),
        Some(until) => Err(format!(
            "the last reload waits for its confirmation until {until}: run `sparectl confirm` or `sparectl reload --back` first"
        )
        .into()),
    }
}

/// Status of the daemon; None if none runs.
fn status(args: &Args) -> Result<Option<Box<Status>>, Refusal> {
    match ask(args, &Request::Status) {
        Ok(Answer::Status(status)) => Ok(Some(status)),
        Ok(other) => Err(other.into()),
        Err(error) => match error.fault {
            Fault::NotRunning => Ok(None),
            Fault::Silent(_) => Err(Refusal::from(error).with_line(
                "it may be active, so nothing is changed: `systemctl restart spared` ends it and starts it again",
            )),
            _ => Err(error.into()),
        },
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

/// Puts the files in force: by a reload, or by a start where no daemon runs.
///
/// # Errors
/// The daemon refuses the files, or nothing can start it.
pub fn bring_up(args: &Args, folder: &Folder) -> Result<String, Refusal> {
    if reload(args, false)? {
        Ok("the daemon has the configuration in force".to_owned())
    } else {
        Ok(start(folder)?)
    }
}

/// Has the daemon read the files that were written. Returns false if none runs.
///
/// # Errors
/// The daemon refuses the files, or does not say that it has them.
pub fn reload(args: &Args, anyway: bool) -> Result<bool, Refusal> {
    match ask(args, &Request::Reload { anyway }) {
        Ok(answer @ Answer::Error { .. }) => Err(answer.into()),
        Ok(_) => Ok(true),
        Err(error) => not_reloaded(error),
    }
}

/// A daemon that hangs is no reason to start one: for systemd it runs.
fn not_reloaded(error: AskError) -> Result<bool, Refusal> {
    match error.fault {
        Fault::NotRunning => Ok(false),
        Fault::Silent(_) => Err(Refusal::from(error)
            .with_line("the files are written: `systemctl restart spared` puts them in force")),
        _ => Err(error.into()),
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
        let known = status(args).ok().flatten();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EXIT_DOWN;

    #[test]
    fn only_a_daemon_that_does_not_run_is_started() {
        let of = |fault| {
            let path = "control.sock".into();
            not_reloaded(AskError { path, fault })
        };
        assert_eq!(of(Fault::NotRunning), Ok(false));
        let refusal = of(Fault::Silent(PATIENCE)).expect_err("it runs");
        assert_eq!(refusal.code, EXIT_DOWN);
        assert!(
            refusal.why.contains("`systemctl restart spared`"),
            "{refusal}"
        );
        for fault in [Fault::Unfinished(PATIENCE), Fault::Closed] {
            of(fault).expect_err("it ran");
        }
    }
}
