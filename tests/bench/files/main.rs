// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make bench-files`: a tree of files to the other node, the first time and unchanged, beside `rsync -a` on the same
//! link. Each case has rows of two rivals:
//!
//! | row | rival | it does, as spared | it does not |
//! |---|---|---|---|
//! | beside ssh | `rsync -a` over OpenSSH with its own choice of cipher | encrypts, knows the peer by a key | hash contents, flush, keep the old state |
//! | beside a daemon | `rsync -a` to a daemon of rsync | | encrypt or know the peer, and the same |
//!
//! Promises are made for the rows beside ssh alone. The rows beside the daemon show how much of the time is
//! encryption. Before each copy the disk is at rest.
//!
//! Writes target/bench/files.json and prints a table. `--quick` makes one run instead of three; words select the
//! cases whose name contains one of them.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use spared_bench::{Bench, Case, Report, Row, program};
use spared_tests::Result;
use spared_tests::clock::{ms, poll};
use spared_tests::lab::Lab;
use spared_tests::linked::{Linked, with_trees};
use spared_tests::random::noise;
use spared_tests::router::{Plan, Spared};
use spared_tests::rsync::Rsync;

const TREE: &str = "[[tree]]\nname = \"bench\"\npaths = [\"/mnt/tree\"]\n";
const LIMIT: Duration = Duration::from_secs(1800);
const PAUSE: Duration = Duration::from_millis(10);
const SMALL: usize = 10_000;
const SMALL_BYTES: usize = 2_000;
const LARGE_BYTES: usize = 1 << 30;
/// Most of the time of rsync over ssh that an unchanged tree may take.
const UNCHANGED: f64 = 0.3;
/// Largest multiple of rsync's time over ssh that the first copy of one large file may take.
const FIRST_LARGE: f64 = 1.2;
const RUNS_MAX: usize = 3;

fn main() -> ExitCode {
    let report = Report::new("files", ["ours", "beside"], ["spared", "rsync -a"]);
    program(report.by("tree"), &CASES)
}

const CASES: [Case; 2] = [
    ("small files", "10k", |bench| {
        copies(bench, [None, Some(UNCHANGED)], |folder| {
            for number in 0..SMALL {
                let below = folder.join(format!("{}", number / 100));
                fs::create_dir_all(&below)?;
                fs::write(below.join(number.to_string()), noise(number, SMALL_BYTES))?;
            }
            Ok(())
        })
    }),
    ("one file", "1 GB", |bench| {
        copies(bench, [Some(FIRST_LARGE), Some(UNCHANGED)], |folder| {
            Ok(fs::write(folder.join("large"), noise(0, LARGE_BYTES))?)
        })
    }),
];

fn plan(lab: &Lab, node: &str) -> Plan {
    let mut plan = with_trees(lab, node, TREE);
    plan.without_preference();
    plan
}

fn own(lab: &Lab, site: usize) -> PathBuf {
    lab.dir.join(format!("r{}-spared/own", site + 1))
}

/// Times of each run: the first copy, and one of the same.
type Times = [Vec<f64>; 2];

fn copies(
    bench: &Bench,
    allowed: [Option<f64>; 2],
    make: fn(&Path) -> Result<()>,
) -> Result<Vec<Row>> {
    let (mut ours, mut ssh, mut daemon) = (Times::default(), Times::default(), Times::default());
    for _ in 0..bench.runs.div_ceil(4).min(RUNS_MAX) {
        let lab = Lab::new(2)?;
        let tree = own(&lab, 0).join("tree");
        fs::create_dir_all(&tree)?;
        fs::create_dir_all(own(&lab, 1))?;
        make(&tree)?;
        let pair = Linked::begin(&lab, ["r1", "r2"].map(|node| plan(&lab, node)))?;
        pair.wait_settled()?;
        push(&pair, &mut ours)?;
        // over the link that spared has set up
        copy(&Rsync::over_ssh(&lab)?, &tree, &mut ssh)?;
        copy(&Rsync::to_daemon(&lab)?, &tree, &mut daemon)?;
    }
    let row = |what, at: usize, beside: &Times, allowed: Option<f64>| {
        let note = format!("{} runs, {}", ours[at].len(), spread(&ours[at]));
        let beside = median(&beside[at]);
        Row {
            what,
            ours: median(&ours[at]),
            beside,
            allowed: allowed.map(|it| it * beside),
            note,
        }
    };
    Ok(vec![
        row("ms, first, beside ssh", 0, &ssh, allowed[0]),
        row("ms, unchanged, beside ssh", 1, &ssh, allowed[1]),
        row("ms, first, beside a daemon", 0, &daemon, None),
        row("ms, unchanged, beside a daemon", 1, &daemon, None),
    ])
}

fn sorted(of: &[f64]) -> Vec<f64> {
    let mut of = of.to_vec();
    of.sort_by(f64::total_cmp);
    of
}

fn median(of: &[f64]) -> f64 {
    let of = sorted(of);
    of.get(of.len() / 2).copied().unwrap_or(f64::NAN)
}

fn spread(of: &[f64]) -> String {
    let of = sorted(of);
    let [first, last] = [of.first(), of.last()].map(|it| it.copied().unwrap_or(f64::NAN));
    format!("{first:.0} to {last:.0}")
}

/// From `push` until both nodes have the same, and a push of the same.
fn push(pair: &Linked<'_>, times: &mut Times) -> Result<()> {
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
    rustix::fs::sync();
    let begun = Instant::now();
    pair.done(0, &push)?;
    if !is_there("synchronized") {
        return Err(format!("after: {}, {}", state(0), state(1)).into());
    }
    times[0].push(ms(begun.elapsed()));
    rustix::fs::sync();
    let begun = Instant::now();
    let said = pair.done(0, &push)?;
    times[1].push(ms(begun.elapsed()));
    if said.contains("both nodes have the same files") {
        Ok(())
    } else {
        Err(said.into())
    }
}

fn copy(rsync: &Rsync<'_>, tree: &Path, times: &mut Times) -> Result<()> {
    for times in times {
        rustix::fs::sync();
        times.push(ms(rsync.copy(tree)?));
    }
    Ok(())
}
