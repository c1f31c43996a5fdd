// SPDX-License-Identifier: MIT OR Apache-2.0
//! One test: privileges, a fresh lab, a second chance where the machine itself stumbled, and the
//! daemons' logs where it fails.

use std::env;
use std::fmt;
use std::os::unix::process::CommandExt;
use std::panic::{self, AssertUnwindSafe};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::Lab;
use crate::Result;

const ATTEMPTS: u32 = 3;

/// The machine, not the program under test, was late; the run proves nothing either way.
#[derive(Debug)]
pub struct Disturbed(pub String);

impl fmt::Display for Disturbed {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "disturbed: {}", self.0)
    }
}

impl std::error::Error for Disturbed {}

pub fn disturbed(why: impl Into<String>) -> Box<dyn std::error::Error + Send + Sync> {
    Box::new(Disturbed(why.into()))
}

/// Runs a test in a fresh lab. Where the user is not root, runs it in a user namespace; where the
/// kernel has none for him, says so and passes.
#[track_caller]
pub fn scenario(routers: usize, test: impl Fn(&Lab) -> Result<()>) {
    // Labs share two processors and time their neighbours' packets: one at a time.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if !rustix::process::geteuid().is_root() {
        return in_user_namespace();
    }
    for attempt in 1..=ATTEMPTS {
        let lab = match Lab::new(routers) {
            Ok(lab) => lab,
            Err(error) => panic!("no lab: {error}"),
        };
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| test(&lab)));
        match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) if error.is::<Disturbed>() && attempt < ATTEMPTS => {
                eprintln!("attempt {attempt}: {error}");
            }
            Ok(Err(error)) => {
                eprintln!("{}", lab.logs());
                panic!("{error}");
            }
            Err(cause) => {
                eprintln!("{}", lab.logs());
                panic::resume_unwind(cause);
            }
        }
    }
}

// libtest names the thread after the test, which is how one test is started again by itself.
fn in_user_namespace() {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    if !user_namespaces_work() {
        eprintln!("skipped: {name}: not root, and this kernel gives users no namespaces");
        return;
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

/// For programs: goes on as root of a user namespace where the user is not root.
pub fn become_root() -> Result<()> {
    if rustix::process::geteuid().is_root() {
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

fn user_namespaces_work() -> bool {
    let mut trial = Command::new("unshare");
    trial.args(["--user", "--map-root-user", "--mount", "--net", "true"]);
    trial
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
