// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make bench-files`: a tree of files to the other node, the first time and unchanged, beside `rsync -a` to a
//! daemon of rsync on the same link, which neither encrypts nor keeps the old state.
//!
//! Writes target/bench/files.json and prints a table. `--quick` makes one run instead of three; words select the
//! cases whose name contains one of them.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::bench::{Bench, Case, Report, Row, program};
use spared_tests::clock::{ms, poll};
use spared_tests::lab::{Daemon, Lab, Wire, find_program};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::router::{Plan, PluginFile, Spared};

const TREE: &str = "[[tree]]\nname = \"bench\"\npaths = [\"/mnt/tree\"]\n";
const LIMIT: Duration = Duration::from_secs(1800);
const PAUSE: Duration = Duration::from_millis(10);
const PORT: u16 = 8730;
const SMALL: usize = 10_000;
const SMALL_BYTES: usize = 2_000;
const LARGE_BYTES: usize = 1 << 30;
/// Most of rsync's time that an unchanged tree may take.
const SHARE: f64 = 0.3;
const RUNS_MAX: usize = 3;

fn main() -> ExitCode {
    let report = Report::new("files", ["ours", "beside"], ["spared", "rsync"]);
    program(report.by("tree"), &CASES)
}

const CASES: [Case; 2] = [
    ("small files", "10k", |bench| {
        copies(bench, |folder| {
            for number in 0..SMALL {
                let below = folder.join(format!("{}", number / 100));
                fs::create_dir_all(&below)?;
                fs::write(below.join(number.to_string()), noise(number, SMALL_BYTES))?;
            }
            Ok(())
        })
    }),
    ("one file", "1 GB", |bench| {
        copies(bench, |folder| {
            Ok(fs::write(folder.join("large"), noise(0, LARGE_BYTES))?)
        })
    }),
];

/// Bytes that differ for each seed, and that nothing can compress.
fn noise(seed: usize, length: usize) -> Vec<u8> {
    let mut state = seed as u64 + 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn plan(lab: &Lab, node: &str) -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.without_preference();
    plan.own_folder = Some(PathBuf::from("/mnt"));
    let config = lab
        .dir
        .join(format!("{node}-spared/etc/plugins/files.toml"));
    let root = format!("trees = {config:?}\n");
    for (name, toml) in [("files", TREE), ("files-root", root.as_str())] {
        plan.plugins.push(PluginFile {
            name: name.to_owned(),
            toml: toml.to_owned(),
            file: format!("libspared_{}.so", name.replace('-', "_")),
        });
    }
    plan
}

fn own(lab: &Lab, site: usize) -> PathBuf {
    lab.dir.join(format!("r{}-spared/own", site + 1))
}

fn copies(bench: &Bench, make: fn(&Path) -> Result<()>) -> Result<Vec<Row>> {
    let (mut first, mut again) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..bench.runs.div_ceil(4).min(RUNS_MAX) {
        let lab = Lab::new(2)?;
        let tree = own(&lab, 0).join("tree");
        fs::create_dir_all(&tree)?;
        fs::create_dir_all(own(&lab, 1))?;
        make(&tree)?;
        let pair = Linked::begin(&lab, ["r1", "r2"].map(|node| plan(&lab, node)))?;
        pair.wait_settled()?;
        for (at, of) in [ours(&pair)?, beside(&lab, &tree)?].into_iter().enumerate() {
            first[at].push(ms(of.0));
            again[at].push(ms(of.1));
        }
    }
    let row = |what, of: [Vec<f64>; 2], share: Option<f64>| {
        let note = format!("{} runs", of[0].len());
        let [ours, beside] = of.map(median);
        Row {
            what,
            ours,
            beside,
            allowed: share.map(|it| it * beside),
            note,
        }
    };
    Ok(vec![
        row("ms, first", first, None),
        row("ms, unchanged", again, Some(SHARE)),
    ])
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(f64::NAN)
}

/// From `push` until both nodes have the same, and a push of the same.
fn ours(pair: &Linked<'_>) -> Result<(Duration, Duration)> {
    let state = |site: usize| {
        let row = Spared(&pair.routers[site]).row(&["files"], "tree.bench.state");
        row.unwrap_or_default()
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let is_there = |start: &str| {
        poll(LIMIT, PAUSE, || {
            (0..2).all(|at| state(at).starts_with(start))
        })
    };
    if !is_there("pending") {
        return Err(format!("before: {}, {}", state(0), state(1)).into());
    }
    let push = ["files", "push", "bench"];
    let begun = Instant::now();
    pair.done(0, &push)?;
    if !is_there("synchronized") {
        return Err(format!("after: {}, {}", state(0), state(1)).into());
    }
    let first = begun.elapsed();
    let begun = Instant::now();
    let said = pair.done(0, &push)?;
    match said.contains("both nodes have the same") {
        true => Ok((first, begun.elapsed())),
        false => Err(said.into()),
    }
}

/// The same by rsync, over the link that spared has set up.
fn beside(lab: &Lab, tree: &Path) -> Result<(Duration, Duration)> {
    let rsync = find_program(Path::new("rsync"));
    rsync.ok_or("no rsync here, which this is compared with")?;
    let there = lab.dir.join("rsync");
    fs::create_dir_all(&there)?;
    let config = lab.dir.join("rsyncd.conf");
    let module = there.display();
    let text = format!(
        "use chroot = no\nuid = root\ngid = root\n[bench]\npath = {module}\nread only = no\n"
    );
    fs::write(&config, text)?;
    let mut daemon = lab.sites[1].ns.command("rsync");
    daemon.args(["--daemon", "--no-detach", "--port", &PORT.to_string()]);
    daemon.arg("--config").arg(&config);
    let _daemon = Daemon::start("rsync", daemon, &lab.dir.join("rsync.log"))?;
    let address = Wire::Hot.ipv4(12);
    let copy = format!(
        "rsync -a {}/ rsync://{address}:{PORT}/bench/",
        tree.display()
    );
    let list = format!("rsync rsync://{address}:{PORT}/");
    let ns = &lab.sites[0].ns;
    if !poll(LIMIT, PAUSE, || ns.shell(&list).is_ok()) {
        return Err("the daemon of rsync does not answer".into());
    }
    let mut times = [Duration::ZERO; 2];
    for time in &mut times {
        let begun = Instant::now();
        ns.shell(&copy)?;
        *time = begun.elapsed();
    }
    Ok(times.into())
}
