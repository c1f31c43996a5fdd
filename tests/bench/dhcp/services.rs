// SPDX-License-Identifier: MIT OR Apache-2.0
//! A role change with ten services that take their time, and one with none: users must not see a
//! difference.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use spared_bench::{Bench, Row, Series};
use spared_tests::Result;
use spared_tests::clock::{ms, poll};
use spared_tests::lab::{Lab, Wire, build_dir};
use spared_tests::linked::Linked;
use spared_tests::pair::{Damage, Fault};
use spared_tests::router::{Kind, Plan, PluginFile};

use super::Rows;

const INTERVAL: Duration = Duration::from_millis(100);
const SERVICES: usize = 10;
const LIMIT: Duration = Duration::from_secs(10);
/// Between two medians of the same thing on a busy machine.
const NOISE_MS: f64 = 5.0;

pub fn ten(bench: &Bench) -> Rows {
    let dir = build_dir()?.join(format!("bench-services-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let rows = compare(bench, &dir);
    fs::remove_dir_all(&dir)?;
    rows
}

fn compare(bench: &Bench, dir: &Path) -> Rows {
    let none = Plan::linked(INTERVAL, &[Wire::Hot]);
    let mut ten = none.clone();
    ten.plugins.push(PluginFile {
        name: "service".to_owned(),
        toml: services(dir)?,
        file: "libspared_service.so".to_owned(),
    });
    assert_run(&ten)?;
    let mut rows = Vec::new();
    for (fault, what) in [
        (Fault::Death, "ms of outage, machine dead"),
        (Fault::Shutdown, "ms of outage, shut down"),
    ] {
        let with = bench.series(Kind::Spared, &[ten.clone(), ten.clone()], fault)?;
        let without = bench.series(Kind::Spared, &[none.clone(), none.clone()], fault)?;
        rows.push(row(what, &with, &without));
    }
    Ok(rows)
}

/// They do, or there would be nothing to measure.
fn assert_run(plan: &Plan) -> Result<()> {
    let lab = Lab::new(2)?;
    let pair = Linked::start(&lab, plan)?;
    let summary = || {
        let text = pair.done(pair.at().unwrap_or(0), &["status"]);
        text.unwrap_or_default().contains("10 of 10 running")
    };
    if poll(LIMIT, Duration::from_millis(50), summary) {
        Ok(())
    } else {
        Err(format!("no ten services run:\n{}", lab.logs()).into())
    }
}

fn row(what: &'static str, with: &Series, without: &Series) -> Row {
    let total = |damage: &Damage| ms(damage.outage.total);
    let beside = without.median(total);
    Row {
        what,
        ours: with.median(total),
        beside,
        allowed: Some((beside * 1.05).max(beside + NOISE_MS)),
        note: format!("{}; beside: no services", with.note(total)),
    }
}

/// Each takes 0.3 s to start and to stop.
fn services(dir: &Path) -> Result<String> {
    let mut text = String::new();
    for number in 0..SERVICES {
        let name = format!("service-{number}");
        writeln!(text, "[[service]]\nname = \"{name}\"")?;
        for node in ["r1", "r2"] {
            write_script(dir, &format!("{node}-{name}"))?;
        }
        for verb in ["start", "stop", "status"] {
            let argv = |node: &str| {
                let script = dir.join(format!("{node}-{name}"));
                format!("[{:?}, \"{verb}\"]", script.to_string_lossy())
            };
            let (first, second) = (argv("r1"), argv("r2"));
            writeln!(text, "{verb} = {{ r1 = {first}, r2 = {second} }}")?;
        }
    }
    Ok(text)
}

fn write_script(dir: &Path, name: &str) -> Result<()> {
    let path = dir.join(name);
    let state = dir.join(format!("{name}.runs"));
    let state = state.display();
    fs::write(
        &path,
        format!(
            "#!/bin/sh\ncase $1 in\nstart) sleep 0.3; : >'{state}' ;;\n\
             stop) sleep 0.3; rm -f '{state}' ;;\nstatus) [ -e '{state}' ] || exit 3 ;;\nesac\n"
        ),
    )?;
    Ok(fs::set_permissions(
        &path,
        fs::Permissions::from_mode(0o755),
    )?)
}
