// SPDX-License-Identifier: MIT OR Apache-2.0
//! A test in a lab: privileges, a fresh lab, another attempt if the machine itself was late, and the
//! daemons' logs if it fails.

use std::env;
use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::panic::{self, AssertUnwindSafe};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::{Lab, Namespace};
use crate::Result;
use crate::machine::standstill;
use crate::probe::Control;

const ATTEMPTS: u32 = 3;

/// Reason why a test has no verdict.
#[derive(Debug)]
enum NoVerdict {
    /// The machine, not the program under test, was late.
    Disturbed(String),
    /// Something that the test needs is missing.
    Skipped(String),
}

impl fmt::Display for NoVerdict {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Disturbed(why) => write!(out, "disturbed: {why}"),
            Self::Skipped(why) => write!(out, "skipped: {why}"),
        }
    }
}

impl std::error::Error for NoVerdict {}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Error of a test during which the machine itself was late: the test is repeated.
pub fn disturbed(why: impl Into<String>) -> Failure {
    Box::new(NoVerdict::Disturbed(why.into()))
}

/// Returns true for an error of [`disturbed`], which proves nothing about the program under test.
pub fn is_disturbed(error: &Failure) -> bool {
    matches!(error.downcast_ref(), Some(NoVerdict::Disturbed(_)))
}

/// Error of a test that cannot run here.
pub fn skipped(why: impl Into<String>) -> Failure {
    Box::new(NoVerdict::Skipped(why.into()))
}

/// Runs a test in a fresh lab, in a user namespace if the user may not make namespaces. If that is not
/// possible either, the test is noted as skipped and passes.
#[track_caller]
pub fn scenario(routers: usize, test: impl Fn(&Lab) -> Result<()>) {
    // One at a time: labs share two processors, and measure the times of packets.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if !may_make_namespaces() {
        return in_user_namespace();
    }
    for attempt in 1..=ATTEMPTS {
        let lab = match Lab::new(routers) {
            Ok(lab) => lab,
            Err(error) => panic!("no lab: {error}"),
        };
        let control = Control::of_standstills();
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| test(&lab)));
        let stood = standstill::take().or_else(|| control.standstill());
        let error = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => stood.map_or(error, disturbed),
            Err(_) if stood.is_some() && attempt < ATTEMPTS => {
                eprintln!("attempt {attempt}: {}", stood.unwrap_or_default());
                continue;
            }
            Err(cause) => {
                eprintln!("{}", lab.logs());
                panic::resume_unwind(cause);
            }
        };
        match error.downcast_ref() {
            Some(NoVerdict::Skipped(why)) => return note_skip(why),
            Some(NoVerdict::Disturbed(_)) if attempt < ATTEMPTS => {
                eprintln!("attempt {attempt}: {error}");
            }
            _ => {
                eprintln!("{}", lab.logs());
                panic!("{error}");
            }
        }
    }
}

/// Notes that a test cannot run here. The output of a passing test is not shown, so `make test` prints this note at its
/// end.
pub fn note_skip(why: &str) {
    let thread = std::thread::current();
    let line = format!("skipped: {}: {why}\n", thread.name().unwrap_or("?"));
    eprint!("{line}");
    note("SPARED_SKIPPED", &line);
}

/// Appends a line to the file that this environment variable names, if it is set, for the end of `make test`.
pub(crate) fn note(variable: &str, line: &str) {
    let file =
        env::var_os(variable).map(|path| fs::File::options().create(true).append(true).open(path));
    if let Some(Err(error)) = file.map(|file| file?.write_all(line.as_bytes())) {
        eprintln!("{variable}: {error}");
    }
}

fn may_make_namespaces() -> bool {
    Namespace::new("trial").is_ok()
}

// libtest names the thread after the test, so the name selects this test.
fn in_user_namespace() {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    if !user_namespaces_work() {
        return note_skip("not root, and users get no namespaces of their own here");
    }
    let own = env::current_exe().expect("a test knows its own path");
    let status = user_namespace(&own)
        .args([name, "--exact", "--nocapture"])
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{name} failed in a user namespace"
    );
}

/// Continues a program as root of a user namespace, if the user is not root.
pub fn become_root() -> Result<()> {
    if may_make_namespaces() {
        return Ok(());
    }
    if !user_namespaces_work() {
        return Err("this needs root, or a kernel that gives users namespaces of their own".into());
    }
    let failed = user_namespace(&env::current_exe()?)
        .args(env::args_os().skip(1))
        .exec();
    Err(format!("unshare: {failed}").into())
}

fn user_namespace(program: &std::path::Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "--"])
        .arg(program);
    command
}

/// True in a user namespace that has root as its only user.
pub fn maps_one_user() -> Result<bool> {
    let map = fs::read_to_string("/proc/self/uid_map")?;
    Ok(map.split_whitespace().nth(2) == Some("1"))
}

fn user_namespaces_work() -> bool {
    let mut trial = Command::new("unshare");
    trial.args(["--user", "--map-root-user", "--mount", "--net", "true"]);
    trial
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
