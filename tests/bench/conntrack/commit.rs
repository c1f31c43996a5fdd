// SPDX-License-Identifier: MIT OR Apache-2.0
//! A failover with many flows: what has to be written before the new router can serve them.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use spared_bench::{Bench, Row};
use spared_netlink::{Notifications, attributes};
use spared_tests::Result;
use spared_tests::clock::{Stamp, ms, poll};
use spared_tests::flows::{self, Crowd};
use spared_tests::lab::Namespace;
use spared_tests::pair::Fault;

use super::bed::{Bed, Buffer, LIMIT, Make, is_of_crowd};
use super::duel::Duel;

const FLOWS: u32 = 200_000;

struct Failover {
    /// Until the new router's kernel holds every flow.
    effective: Duration,
    /// Flows that its kernel was given meanwhile.
    inserted: f64,
    /// For users, where a router died.
    outage: Duration,
    resident: [f64; 2],
    /// Flows missing or different in the end.
    wrong: usize,
}

pub fn failover(bench: &Bench) -> Result<Vec<Row>> {
    let cached = Make::Conntrackd { cache: true };
    let duel = Duel::run(bench, 3, cached, |make| {
        let bed = Bed::start(make, FLOWS, Buffer::Configured)?;
        let before = bed.read()?;
        let there = bed.count(1)? as u32;
        let last = bed.make(Crowd::tcp(FLOWS))?.last;
        if make == cached {
            wait_cached(&bed)?;
        } else {
            bed.wait_count(there + FLOWS, last, LIMIT);
        }
        thread::sleep(Duration::from_secs(1));
        let resident = bed.read()?.since(before).resident;
        let mut failover = match make {
            Make::Spared => die(&bed, resident)?,
            Make::Nobody | Make::Conntrackd { .. } => commit(&bed, there, resident)?,
        };
        failover.wrong = bed.wait_same(Duration::from_secs(10))?;
        bed.end()?;
        Ok(failover)
    })?;
    let zero = Some(0.0);
    let per_flow = |bytes: f64| bytes / f64::from(FLOWS);
    Ok(vec![
        duel.row("ms until all flows are effective", zero, |run| {
            ms(run.effective)
        }),
        duel.row("flows inserted", zero, |run| run.inserted),
        duel.wrong(|run| run.wrong),
        duel.row("ms of outage, machine dead (commit apart)", None, |run| {
            ms(run.outage)
        }),
        duel.row("active, resident bytes per flow", None, |run| {
            per_flow(run.resident[0])
        }),
        duel.row("backup, resident bytes per flow", None, |run| {
            per_flow(run.resident[1])
        }),
    ])
}

/// conntrackd's own commit, by the command of its fail-over script.
fn commit(bed: &Bed, there: u32, resident: [f64; 2]) -> Result<Failover> {
    let begun = Instant::now();
    bed.daemon(1)?.ask(&["-c"])?;
    let effective = bed.wait_count(there + FLOWS, begun, LIMIT);
    Ok(Failover {
        effective,
        inserted: f64::from(FLOWS),
        outage: Duration::ZERO,
        resident,
        wrong: 0,
    })
}

/// The active router dies, and everything that the other one's kernel is given is counted.
fn die(bed: &Bed, resident: [f64; 2]) -> Result<Failover> {
    bed.pair.pause(false);
    bed.pair.settle()?;
    let (stop, backup) = (AtomicBool::new(false), bed.ns(1));
    let (damage, inserts, counts) = thread::scope(|scope| {
        let inserts = scope.spawn(|| inserts(backup, &stop));
        let counts = scope.spawn(|| counts(backup, &stop));
        let damage = bed.pair.strike(Fault::Death);
        stop.store(true, Ordering::Relaxed);
        let died = |_| "a thread that watches the backup's table died";
        let (inserts, counts) = (inserts.join().map_err(died)?, counts.join().map_err(died)?);
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((damage?, inserts?, counts?))
    })?;
    bed.pair.pause(true);
    let within = |at: &Stamp| (damage.began..=damage.ended).contains(at);
    let all = |(at, count): &&(Stamp, usize)| within(at) && *count >= FLOWS as usize;
    let mut seen = counts.iter().filter(|(at, _)| within(at));
    let complete_from_the_first = seen.next().as_ref().is_some_and(all);
    let effective = match counts.iter().find(all) {
        Some(_) if complete_from_the_first => Duration::ZERO,
        Some((at, _)) => at.since(damage.began),
        None => return Err("the new router's kernel never holds all flows".into()),
    };
    Ok(Failover {
        effective,
        inserted: inserts.iter().filter(|at| within(at)).count() as f64,
        outage: damage.outage.total,
        resident,
        wrong: 0,
    })
}

fn wait_cached(bed: &Bed) -> Result<()> {
    let all = || {
        let cached = bed.daemon(1).and_then(|daemon| daemon.cached("external"));
        cached.is_ok_and(|cached| cached >= u64::from(FLOWS))
    };
    if poll(LIMIT, Duration::from_millis(100), all) {
        Ok(())
    } else {
        Err("conntrackd's external cache does not fill".into())
    }
}

/// When the kernel announced each new flow.
fn inserts(ns: &Namespace, stop: &AtomicBool) -> Result<Vec<Stamp>> {
    const NEW_FLOWS: u32 = 1;
    let mut new = ns.run(|| {
        let new = Notifications::open(64 << 20, 0)?;
        new.join(NEW_FLOWS)?;
        Ok(new)
    })?;
    let mut seen = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let read = new.read(|_, flow| {
            if source(flow).is_some_and(is_of_crowd) {
                seen.push(Stamp::now());
            }
        })?;
        if read.overrun {
            return Err("more new flows than can be counted".into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(seen)
}

/// Where a flow of IPv4 comes from, as ctnetlink tells.
fn source(flow: &[u8]) -> Option<IpAddr> {
    const FIRST: u16 = 1;
    let inner = |bytes| attributes(bytes).find(|(kind, _)| *kind == FIRST);
    let (_, original) = inner(flow.get(4..)?)?;
    let (_, addresses) = inner(original)?;
    let (_, source) = inner(addresses)?;
    Some(<[u8; 4]>::try_from(source).ok()?.into())
}

fn counts(ns: &Namespace, stop: &AtomicBool) -> Result<Vec<(Stamp, usize)>> {
    let mut seen = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        seen.push((Stamp::now(), flows::count(ns)?));
        thread::sleep(Duration::from_millis(2));
    }
    Ok(seen)
}
