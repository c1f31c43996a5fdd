//! Runs the administrator's commands as transient units, if systemd is the first process.
//!
//! spared's unit is confined: it cannot write /etc, and its children have fewer rights than root. systemd-run has
//! systemd start a command instead, in a control group of its own, which can be killed as a whole. Processes that the
//! command leaves running (a daemon that it was to start) stay.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use spared_sdk::child::{Child, Program};

use crate::manager;

/// Maximum time for each of two steps at the end of the plugin: stopping units, and killing others. The daemon waits 1
/// s.
const END_WAIT: Duration = Duration::from_millis(400);

/// Prefix of the names of transient units.
const UNITS: &str = "spared-run-";

/// Lines of systemd-run itself in a command's output: at the start, and at the end.
const BEGUN: &str = "Running as unit: ";
const FINISHED: &str = "Finished with result: ";
const FAILED: i32 = 1;

#[derive(Debug)]
pub(super) struct TransientUnits {
    systemd: bool,
    /// Path of the bus's socket: without the bus only the success of a unit is reported.
    bus: PathBuf,
    /// Part of the name that distinguishes the units of this worker from those of earlier ones.
    started_ns: u64,
    count: u64,
}

impl TransientUnits {
    pub(super) fn detect(root: &Path, now_ns: u64) -> Self {
        Self {
            systemd: manager::is_systemd(root) && !is_in_own_namespace(root),
            bus: root.join("run/dbus/system_bus_socket"),
            started_ns: now_ns,
            count: 0,
        }
    }

    pub(super) fn is_available(&self) -> bool {
        self.systemd
    }

    /// Command to run instead, and the name of its unit; None if the command is to be a child.
    pub(super) fn wrap(
        &mut self,
        argv: &[String],
        environment: &[(String, String)],
        account: Option<(u32, u32)>,
        quiet: bool,
    ) -> Option<(Vec<String>, String)> {
        // a query needs the exit code, which only the bus reports
        let bus = self.bus.exists();
        if !self.systemd || (quiet && !bus) {
            return None;
        }
        self.count = self.count.saturating_add(1);
        let unit = format!("{UNITS}{:x}-{}.service", self.started_ns, self.count);
        // for a query it has to say which of the two set the exit code
        let says: &[&str] = if quiet { &[] } else { &["--quiet"] };
        let how: &[&str] = if bus {
            &["--wait", "--pipe"]
        } else {
            // the start of a oneshot ends when the command does
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
        if let Some((user, group)) = account {
            words.push(format!("--uid={user}"));
            words.push(format!("--gid={group}"));
        }
        words.push("--property=KillMode=process".to_owned());
        // so that it may start while the machine shuts down: for example the hooks of a backup
        words.push("--property=DefaultDependencies=no".to_owned());
        // the start and end of each query need no log lines
        let level = if quiet { "err" } else { "notice" };
        words.push(format!("--property=LogLevelMax={level}"));
        words.push("--setenv=LANG=C.UTF-8".to_owned());
        for (key, value) in environment {
            // systemd would refuse the whole command because of a control character
            let value = value.replace(|c: char| c.is_control(), " ");
            words.push(format!("--setenv={key}={value}"));
        }
        words.push("--".to_owned());
        let mut theirs = argv.iter();
        words.extend(theirs.next().cloned());
        // systemd expands variables in arguments; two dollars become one
        words.extend(theirs.map(|word| word.replace('$', "$$")));
        Some((words, unit))
    }

    /// Runs a command, and waits a short time for its end.
    pub(super) fn run_briefly(&self, argv: &[String]) {
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

/// Exit code and output of a query's command. systemd-run itself fails with a code that many commands use for a dead
/// service: that code counts only if systemd-run says that the command ended with it.
pub(super) fn parse_output(code: Option<i32>, text: &str) -> (Option<i32>, String) {
    let (said, result) = text.rsplit_once(FINISHED).unwrap_or((text, ""));
    let result = result.lines().next().unwrap_or("");
    let is_theirs = code != Some(FAILED) || result == "exit-code";
    let said = said.lines().filter(|line| !line.starts_with(BEGUN));
    let why = (!is_theirs && !result.is_empty()).then(|| format!("its command failed: {result}"));
    let lines: Vec<&str> = said.chain(why.as_deref()).collect();
    (code.filter(|_| is_theirs), lines.join("\n"))
}

/// True if this router runs in a network namespace of its own, in which systemd does not start processes. A confined
/// process may not look; it is in the namespace of its service manager.
fn is_in_own_namespace(root: &Path) -> bool {
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
