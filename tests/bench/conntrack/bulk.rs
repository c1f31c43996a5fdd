// SPDX-License-Identifier: MIT OR Apache-2.0
//! A backup joins a router that has many flows, of TCP: they are there before it starts.

use std::thread;
use std::time::{Duration, Instant};

use spared_bench::{Bench, Row};
use spared_tests::Result;
use spared_tests::clock::{ms, poll};
use spared_tests::flows::{self, Crowd};
use spared_tests::lab::{Namespace, urgently};
use spared_tests::router::Spared;

use super::bed::{Bed, Buffer, EVENTS, Make};
use super::duel::Duel;
use super::limits;

/// Slow enough for both makes to see each flow.
const RATE: u32 = 50_000;
/// Longest time until all are in sync, as a multiple of what the kernel needs to be given all of them.
const OF_KERNEL: f64 = 1.2;
/// Longest time until a million flows are in sync.
const IN_SYNC_MS: f64 = 4000.0;
/// conntrackd sends a million flows for more than a minute, spared ten millions for two.
const LIMIT: Duration = Duration::from_secs(600);

struct Joined {
    /// Time that the kernel of this run needs for as many flows that are only given to it.
    kernel: Duration,
    /// From the start of its process until it speaks with its peer.
    greeted: Duration,
    /// From then on, until its kernel has all.
    full: Duration,
    /// And until it says that it has all.
    in_sync: Duration,
    /// Flows missing or different in the end.
    wrong: usize,
    resident: [f64; 2],
}

/// Once, and without conntrackd, which takes a hundred times as long for ten times as many.
pub fn join_once(flows: u32) -> Result<Vec<Row>> {
    let duel = Duel::once(|make| measure(make, flows))?;
    Ok(rows(&duel, flows))
}

pub fn join(bench: &Bench, flows: u32) -> Result<Vec<Row>> {
    let theirs = Make::Conntrackd { cache: false };
    let duel = Duel::run(bench, 3, theirs, |make| measure(make, flows))?;
    Ok(rows(&duel, flows))
}

fn rows(duel: &Duel<Joined>, flows: u32) -> Vec<Row> {
    let per_flow = |bytes: f64| bytes / f64::from(flows);
    vec![
        duel.row(
            "ms until in sync",
            (flows <= 1_000_000).then_some(IN_SYNC_MS),
            |run| ms(run.in_sync),
        ),
        duel.row(
            "in sync, by the kernel's own time",
            Some(OF_KERNEL),
            |run| ms(run.in_sync) / ms(run.kernel),
        ),
        duel.row("ms until the backup's kernel has all", None, |run| {
            ms(run.full)
        }),
        duel.wrong(|run| run.wrong),
        duel.row("ms before, from its start until it asks", None, |run| {
            ms(run.greeted)
        }),
        duel.row("active, resident bytes per flow", Some(100.0), |run| {
            per_flow(run.resident[0])
        }),
        duel.row("backup, resident bytes per flow", Some(40.0), |run| {
            per_flow(run.resident[1])
        }),
    ]
}

fn measure(make: Make, flows: u32) -> Result<Joined> {
    let mut bed = Bed::start(make, flows, Buffer::Configured)?;
    let kernel = kernel_alone(flows)?;
    let empty = bed.read()?;
    bed.leave()?;
    bed.ns(1).shell("conntrack -F")?;
    bed.make(Crowd {
        rate: Some(RATE),
        ..Crowd::tcp(flows)
    })?;
    wait_seen(&bed, make, flows)?;
    thread::sleep(Duration::from_secs(2));
    let started = Instant::now();
    bed.join()?;
    let asked = match make {
        Make::Spared => wait("up", || {
            let status = Spared(&bed.pair.routers()[1]).status();
            status.is_ok_and(|status| status.peer.is_some_and(|peer| peer.up))
        })?,
        Make::Nobody | Make::Conntrackd { .. } => {
            let begun = Instant::now();
            bed.daemon(1)?.ask(&["-n"])?;
            begun
        }
    };
    let full = bed.wait_count(flows, asked, LIMIT);
    let in_sync = match make {
        Make::Spared => wait("in sync", || bed.is_in_sync())?,
        Make::Nobody | Make::Conntrackd { .. } => asked + full,
    };
    thread::sleep(Duration::from_secs(1));
    let resident = bed.read()?.since(empty).resident;
    let wrong = bed.wait_same(Duration::from_secs(30))?;
    bed.end()?;
    Ok(Joined {
        kernel,
        greeted: asked - started,
        full,
        in_sync: in_sync - asked,
        wrong,
        resident,
    })
}

/// They are written by somebody who does nothing else, 500 to a system call. As on the backup the kernel makes
/// notifications of them, because the active router listens (see `bed`); a backup that is kept from that for so long
/// would notice, and read its table once more.
fn kernel_alone(flows: u32) -> Result<Duration> {
    limits::make_room(flows)?;
    let ns = Namespace::new("kernel")?;
    ns.set(&[(EVENTS, "1")])?;
    let begun = Instant::now();
    urgently(|| Crowd::tcp(flows).create(&ns))?;
    let took = begun.elapsed();
    flows::flush(&ns)?;
    Ok(took)
}

/// Until the active router's conntrackd knows all its flows; spared reads them when somebody asks.
fn wait_seen(bed: &Bed, make: Make, flows: u32) -> Result<()> {
    if let Make::Conntrackd { .. } = make {
        wait("told of all flows", || {
            let cached = bed.daemon(0).and_then(|daemon| daemon.cached("internal"));
            cached.is_ok_and(|cached| cached >= u64::from(flows))
        })?;
    }
    Ok(())
}

/// When it was so.
fn wait(what: &str, done: impl FnMut() -> bool) -> Result<Instant> {
    if poll(LIMIT, Duration::from_millis(20), done) {
        Ok(Instant::now())
    } else {
        Err(format!("not {what} after {LIMIT:?}").into())
    }
}
