//! The administrator's commands, where systemd is the first process: as units of its own.
//!
//! spared's unit is confined: it cannot write /etc, and its children may less than root. systemd-run
//! has systemd start a command instead, which is then in a control group of its own and can be killed
//! as a whole. What it leaves running (a daemon that it was to start) is left alone.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use spared_sdk::child::{Child, Program, trusted};

use crate::manager;

const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Time for which the end of the plugin waits for each of two steps: stopping units, killing
/// others. The host waits a second.
const END_WAIT: Duration = Duration::from_millis(400);

/// Prefix of the names of its units.
const UNITS: &str = "spared-run-";

/// What systemd-run says of its own beside a command's words: at the start, and at the end.
const BEGUN: &str = "Running as unit: ";
const FINISHED: &str = "Finished with result: ";
const FAILED: i32 = 1;

#[derive(Debug)]
pub(super) struct Outside {
    systemd: bool,
    /// Without the bus nobody can be told how a unit ends, but for its success.
    bus: PathBuf,
    /// Part of the name that distinguishes the units of this worker from those of earlier ones.
    birth_ns: u64,
    count: u64,
}

impl Outside {
    pub(super) fn find(root: &Path, now_ns: u64) -> Self {
        Self {
            systemd: manager::is_systemd(root) && !is_elsewhere(root),
            bus: root.join("run/dbus/system_bus_socket"),
            birth_ns: now_ns,
            count: 0,
        }
    }

    pub(super) fn is_there(&self) -> bool {
        self.systemd
    }

    /// The command to run instead, and the unit that it makes; None where it is to be a child.
    pub(super) fn wrap(
        &mut self,
        argv: &[String],
        environment: &[(String, String)],
        quiet: bool,
    ) -> Option<(Vec<String>, String)> {
        // an exit code is what a question is for
        let bus = self.bus.exists();
        if !self.systemd || (quiet && !bus) {
            return None;
        }
        self.count = self.count.saturating_add(1);
        let unit = format!("{UNITS}{:x}-{}.service", self.birth_ns, self.count);
        // of a question it has to tell whose the exit code is
        let says: &[&str] = if quiet { &[] } else { &["--quiet"] };
        let how: &[&str] = if bus {
            &["--wait", "--pipe"]
        } else {
            // the start of a oneshot ends when it does
            &["--service-type=oneshot"]
        };
        let parts = [
            &["systemd-run"],
            says,
            &["--collect", "--no-ask-password"],
            how,
        ];
        let mut words: Vec<String> = parts.concat().into_iter().map(str::to_owned).collect();
        words.push(format!("--unit={unit}"));
        words.push("--property=KillMode=process".to_owned());
        // while the machine goes down nothing is started that it would stop: a backup's hooks, for one
        words.push("--property=DefaultDependencies=no".to_owned());
        // that it was started and has ended, each time that it is asked, is no news
        let level = if quiet { "err" } else { "notice" };
        words.push(format!("--property=LogLevelMax={level}"));
        words.push("--setenv=LANG=C.UTF-8".to_owned());
        for (key, value) in environment {
            // systemd would refuse the whole command for one of them
            let value = value.replace(|c: char| c.is_control(), " ");
            words.push(format!("--setenv={key}={value}"));
        }
        words.push("--".to_owned());
        let mut theirs = argv.iter();
        words.extend(theirs.next().cloned());
        // systemd puts variables into words, but for two dollars, which are one
        words.extend(theirs.map(|word| word.replace('$', "$$")));
        Some((words, unit))
    }

    /// Whether the program behind `name` may be run by that name: where it is a link, as a busybox's,
    /// nobody else may have made it lead there, or lead it elsewhere meanwhile.
    pub(super) fn refused(&self, name: &str) -> Option<String> {
        if let Err(why) = trusted(Path::new(name)) {
            return Some(why.to_string());
        }
        let folder = Path::new(name).parent().map(fs::canonicalize)?;
        let folder = folder.unwrap_or_default();
        let foreign = folder.ancestors().find(|part| {
            let about = fs::metadata(part);
            !about.is_ok_and(|it| it.uid() == 0 && it.mode() & WRITABLE_BY_OTHERS == 0)
        })?;
        let foreign = foreign.display();
        Some(format!(
            "is not run: {foreign} can be changed by users other than root"
        ))
    }

    /// Runs a command to its end, if that comes soon.
    pub(super) fn end(&self, argv: &[String]) {
        let program = Program {
            argv,
            ..Program::default()
        };
        let Ok(mut child) = Child::start(&program) else {
            return;
        };
        let until = Instant::now() + END_WAIT;
        while child.end().is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The exit code and the words of a question's command. systemd-run fails with a code by which many
/// commands say that a service is dead: that one counts only where it says that the command ended so.
pub(super) fn answer(code: Option<i32>, text: &str) -> (Option<i32>, String) {
    let (said, result) = text.rsplit_once(FINISHED).unwrap_or((text, ""));
    let result = result.lines().next().unwrap_or("");
    let is_theirs = code != Some(FAILED) || result == "exit-code";
    let said = said.lines().filter(|line| !line.starts_with(BEGUN));
    let why = (!is_theirs && !result.is_empty()).then(|| format!("its command failed: {result}"));
    let lines: Vec<&str> = said.chain(why.as_deref()).collect();
    (code.filter(|_| is_theirs), lines.join("\n"))
}

/// Whether this router lives in a network namespace of its own: what systemd starts is not in it. A
/// confined process may not look; it is where its service manager is.
fn is_elsewhere(root: &Path) -> bool {
    let of = |process: &str| fs::read_link(root.join(format!("proc/{process}/ns/net")));
    matches!((of("1"), of("self")), (Ok(first), Ok(own)) if first != own)
}

pub(super) fn kill_leftovers() -> Vec<String> {
    kill(&[format!("{UNITS}*.service")])
}

pub(super) fn kill(units: &[String]) -> Vec<String> {
    let words = [
        "systemctl",
        "--no-ask-password",
        "kill",
        "--signal=KILL",
        "--",
    ];
    let words = words.iter().map(|word| (*word).to_owned());
    words.chain(units.iter().cloned()).collect()
}
