//! The daemon of this node before and after it becomes one of a pair.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use spared_file::{Access, replace};
use spared_message::control::{Answer, AskError, Fault, Request, Status, UNARMED_MARK, state_dir};
use spared_pairing::Texts;

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

/// Writes the new files of a node that is not active. It does not become active with them, or with half of them, until
/// `sparectl arm`.
///
/// # Errors
/// A file was edited since it was read, and nothing is written; or one cannot be written.
pub fn write_disarmed(
    args: &Args,
    folder: &Folder,
    old: &Texts,
    new: &Texts,
) -> Result<(), String> {
    folder.stays(old)?;
    disarm(args)?;
    folder.write(old, new, || Ok(()))
}

/// Keeps this node from becoming active until `sparectl arm`, from its next start or reload on.
fn disarm(args: &Args) -> Result<(), String> {
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
    use crate::args::Command;
    use crate::folder::HOST_FILE;
    use crate::line::Files;

    #[test]
    fn a_node_with_files_that_somebody_edited_is_not_disarmed() {
        let path = std::env::temp_dir().join(format!("sparectl-service-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        let args = Args {
            runtime_dir: path.join("run"),
            json: false,
            verbose: false,
            node: None,
            command: Command::Watch,
        };
        let files = Files {
            config: Some(path.join(HOST_FILE)),
            plugin_dir: None,
        };
        let folder = Folder::new(&files, &args.runtime_dir).expect("its name fits");
        let texts = |port: u16| Texts::from([(HOST_FILE.to_owned(), format!("port = {port}\n"))]);
        let written = folder.write(&Texts::new(), &texts(1), || Ok(()));
        written.expect("written");
        let is_armed = || !state_dir(&args.runtime_dir).join(UNARMED_MARK).exists();
        let why = write_disarmed(&args, &folder, &texts(2), &texts(3)).expect_err("edited");
        assert!(why.contains("was changed meanwhile"), "{why}");
        assert_eq!((folder.read(), is_armed()), (Ok(texts(1)), true));
        write_disarmed(&args, &folder, &texts(1), &texts(3)).expect("written");
        assert_eq!((folder.read(), is_armed()), (Ok(texts(3)), false));
        fs::remove_dir_all(&path).expect("removed");
    }

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
