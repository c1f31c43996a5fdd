// SPDX-License-Identifier: MIT OR Apache-2.0
//! A machine that stands still for longer than two intervals of adverts moves roles by itself: a test that fails then
//! begins again. One that fails while the machine ran has failed.

use std::cell::Cell;
use std::process::Command;
use std::{env, thread};

use spared_tests::Result;
use spared_tests::lab::scenario;

/// Set in the process of its own in which a test fails, so that its report is not that of a fault.
const INNER: &str = "SPARED_STANDSTILL";

#[test]
fn a_test_that_fails_after_a_standstill_begins_again() -> Result<()> {
    if env::var_os(INNER).is_none() {
        let (passed, said) = inner()?;
        assert!(
            passed && said.contains("attempt 1: disturbed: a processor stood still for"),
            "{said}"
        );
        return Ok(());
    }
    let attempts = Cell::new(0);
    scenario(0, |_lab| {
        attempts.set(attempts.get() + 1);
        if attempts.get() == 2 {
            return Ok(());
        }
        // all threads of this process stop, as those of the whole machine do
        let stop = "kill -STOP $PPID; sleep 0.3; kill -CONT $PPID";
        Command::new("sh").args(["-c", stop]).status()?;
        Err("the role moved".into())
    });
    Ok(())
}

#[test]
fn a_test_that_fails_while_the_machine_runs_has_failed() -> Result<()> {
    if env::var_os(INNER).is_none() {
        let (passed, said) = inner()?;
        assert!(!passed && said.contains("the role moved"), "{said}");
        assert!(!said.contains("attempt"), "{said}");
        return Ok(());
    }
    scenario(0, |_lab| Err("the role moved".into()));
    Ok(())
}

/// Runs the test of this thread in a process of its own. Returns true if it passes, and its output.
fn inner() -> Result<(bool, String)> {
    let this = thread::current();
    let name = this.name().ok_or("libtest names threads")?;
    let output = Command::new(env::current_exe()?)
        .args([name, "--exact", "--nocapture"])
        .env(INNER, "yes")
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}
