// SPDX-License-Identifier: MIT OR Apache-2.0
//! The example in Python, which exec runs in a pair: its table, its check, its verbs and its key, over a switchover, the
//! death of the program on either node, and reloads.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use spared_tests::Result;
use spared_tests::lab::{Lab, Wire, scenario, skipped};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::router::{Plan, PluginFile, Spared};

const PYTHON: &str = "/usr/bin/python3";

/// Text of exec.toml.
fn toml(program: &Path, limit: u32) -> String {
    format!("program = {program:?}\n[settings]\nlimit = {limit}\n")
}

/// The example, in the lab's folder.
fn program(lab: &Lab) -> Result<PathBuf> {
    if !Path::new(PYTHON).exists() {
        return Err(skipped(format!("there is no {PYTHON} here")));
    }
    let example =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/exec/examples/sessions.py");
    let program = lab.dir.join("sessions.py");
    fs::copy(example, &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(program)
}

fn start<'l>(lab: &'l Lab, program: &Path) -> Result<Linked<'l>> {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.without_preference();
    plan.plugins.push(PluginFile {
        name: "exec".to_owned(),
        toml: toml(program, 100),
        file: "libspared_exec.so".to_owned(),
    });
    Linked::start(lab, &plan)
}

/// Waits until both nodes know these sessions and no others.
fn wait_known(pair: &Linked<'_>, sessions: &[(&str, &str)]) -> Result<()> {
    pair.wait(&format!("{sessions:?} on both nodes"), || {
        [0, 1].into_iter().all(|site| {
            let node = Spared(&pair.routers[site]);
            let count = node
                .row(&["exec", "status"], "sessions")
                .unwrap_or_default();
            let has = |(id, user): &(&str, &str)| {
                let row = node.row(&["exec", "ask", "list"], &format!("session.{id}"));
                row.is_ok_and(|row| row == *user)
            };
            count == sessions.len() && sessions.iter().all(has)
        })
    })
}

/// Process of the program, while the plugin runs.
fn process(pair: &Linked<'_>, site: usize) -> Option<u32> {
    let plugins = pair.status(site).ok()?.plugins;
    let exec = plugins.into_iter().find(|it| it.name == "exec")?;
    exec.pid.filter(|_| exec.state == "running")
}

/// Kills the program, and waits until another process runs it.
fn die(pair: &Linked<'_>, site: usize) -> Result<()> {
    let old = process(pair, site).ok_or("exec does not run")?;
    let pid = Pid::from_raw(i32::try_from(old)?).ok_or("no process")?;
    kill_process(pid, Signal::KILL)?;
    pair.wait("another process of exec", || {
        process(pair, site).is_some_and(|new| new != old)
    })
}

/// Gives a node another key. Returns the exit code of the reload, and what it says.
fn reload(pair: &Linked<'_>, site: usize, toml: &str) -> Result<(i32, String)> {
    Spared(&pair.routers[site]).write_plugin("exec", toml)?;
    pair.said(site, &["reload"])
}

/// True if the check of the program has failed.
fn has_no_room(pair: &Linked<'_>, site: usize) -> bool {
    let checks = pair.status(site).unwrap_or_default().checks;
    let mut checks = checks.iter();
    checks.any(|it| (&*it.plugin, &*it.name, it.state) == ("exec", "room", 0))
}

#[test]
fn a_program_in_python_keeps_its_table_over_a_switchover_deaths_and_reloads() {
    scenario(2, |lab| {
        let program = program(lab)?;
        let pair = start(lab, &program)?;
        let old = pair.at()?;
        let new = 1 - old;
        pair.done(old, &["exec", "change", "start", "1", "anna"])?;
        wait_known(&pair, &[("1", "anna")])?;
        let (code, refused) = pair.said(new, &["exec", "change", "start", "2", "bert"])?;
        assert!(
            code == 1 && refused.contains("this node is not active"),
            "{code}: {refused}"
        );

        // drained there and settled here: the last change is at the new active node
        pair.done(old, &["exec", "change", "start", "2", "bert"])?;
        pair.switch(old)?;
        pair.wait_active(new)?;
        pair.wait("the program active", || {
            let said = pair.said(new, &["exec", "change", "start", "3", "carl"]);
            said.is_ok_and(|(code, _)| code == 0)
        })?;
        let all = [("1", "anna"), ("2", "bert"), ("3", "carl")];
        wait_known(&pair, &all)?;

        // a program that starts again gets all from the other node
        for site in [new, old] {
            die(&pair, site)?;
            wait_known(&pair, &all)?;
        }

        // a check has no right to read the program: it is the program that refuses the key
        let (code, refused) = reload(&pair, new, &toml(&program, 0))?;
        for part in [
            "exec.toml:3: settings.limit: found 0, allowed 1-100000",
            "exec.toml is not in force: exec still runs with its previous file",
            "all other files are in force, configuration ",
        ] {
            assert!(code == 1 && refused.contains(part), "{code}: {refused}");
        }
        wait_known(&pair, &all)?;
        assert!(!has_no_room(&pair, new));
        let (code, taken) = reload(&pair, new, &toml(&program, 3))?;
        let line = "exec: new configuration in force";
        assert!(code == 0 && taken.contains(line), "{code}: {taken}");
        pair.wait("no room", || has_no_room(&pair, new))?;
        Ok(())
    });
}
