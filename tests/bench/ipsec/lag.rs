// SPDX-License-Identifier: MIT OR Apache-2.0
//! A router dies while a tunnel carries ten thousand packets a second: how many of them its peer
//! had not heard of.
//!
//! The wire tells the last number that the old router sent. The new one installs the last that it
//! knew, and a jump; the jump is set so large that it can be told from what it is added to.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use spared_bench::Bench;
use spared_tests::Result;
use spared_tests::clock::{Stamp, ms, poll};
use spared_tests::ipsec::{Esp, Family};
use spared_tests::lab::Lab;
use spared_tests::probe::Recorder;

use super::bed::{Bed, LIMIT, plan, tunnel, with_bed};
use super::{Rows, median, row, runs};

const RATE: u64 = 10_000;
const JUMP: u64 = 1 << 24;
/// Bounds in ms: `exposure` of the plugin's file, and packets under way, which a failover loses as well.
const EXPOSURE_MS: f64 = 20.0;
const UNDER_WAY_MS: f64 = 10.0;
/// Long enough for the plugin to know the rate.
const RUN: Duration = Duration::from_secs(4);
const RATED: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(20);
/// A stopped router's last packets are through the switch.
const AFTERWARDS: Duration = Duration::from_millis(50);
const DISCARD: u16 = 9;

#[derive(Default)]
struct Lags {
    packets: Vec<f64>,
    ms: Vec<f64>,
    /// Packets a second that the old router sent at last.
    rate: Vec<f64>,
    threshold: Vec<f64>,
}

pub fn at_speed(bench: &Bench) -> Rows {
    let mut lags = Lags::default();
    with_bed(|bed| {
        bed.start(plan(Some(&format!("jump = {JUMP}"))), 2)?;
        for _ in 0..runs(bench) {
            measure(bed, &mut lags)?;
            bed.revive()?;
        }
        Ok(())
    })?;
    let bound = (EXPOSURE_MS + UNDER_WAY_MS) / 1e3;
    let rate = median(&lags.rate);
    let packets = Some(bound * rate);
    let mut behind = row("packets untold", &lags.packets, &lags.threshold, packets);
    behind.note += &format!("; {rate:.0} packets/s; beside: the threshold");
    let exposure = [EXPOSURE_MS];
    let mut late = row("ms untold", &lags.ms, &exposure, Some(bound * 1e3));
    late.note += "; beside: `exposure`";
    Ok(vec![behind, late])
}

fn measure(bed: &mut Bed, lags: &mut Lags) -> Result<()> {
    // so that whoever is on the way is known to whoever sends
    drop(bed.pings()?);
    let recorder = bed.tunnelled.record()?;
    let stop = AtomicBool::new(false);
    let socket = socket(bed.tunnelled.lab)?;
    let (mut sent, threshold, struck) = thread::scope(|scope| {
        scope.spawn(|| send(&socket, &stop));
        let watched = watch_and_strike(bed, &recorder);
        stop.store(true, Ordering::Relaxed);
        watched
    })?;
    sent.extend(look(&recorder));
    sent.retain(|(at, _)| *at <= struck.after(AFTERWARDS));
    let last = *sent.last().ok_or("no packets of the old router")?;
    let known = known(installed(bed)?, last.1);
    let told = sent.iter().rfind(|(_, number)| *number <= known);
    let told = told.ok_or("not one packet was told of")?;
    let before = last.0.before(RATED);
    let rated = sent.iter().filter(|(at, _)| *at > before).count();
    lags.packets.push((last.1 - known) as f64);
    lags.ms.push(ms(last.0.since(told.0)));
    lags.rate.push(rated as f64 / RATED.as_secs_f64());
    lags.threshold.push(threshold as f64);
    Ok(())
}

/// Packets of the old router, by their time; the threshold at last; and when it died.
fn watch_and_strike(bed: &mut Bed, recorder: &Recorder) -> Result<(Vec<Sent>, u64, Stamp)> {
    let mut sent = Vec::new();
    let end = Instant::now() + RUN;
    while Instant::now() < end {
        sent.extend(look(recorder));
        thread::sleep(STEP);
    }
    let threshold = bed.threshold(tunnel().spi)?;
    sent.extend(look(recorder));
    thread::sleep(STEP);
    Ok((sent, threshold, bed.strike()))
}

type Sent = (Stamp, u64);

fn look(recorder: &Recorder) -> Vec<Sent> {
    recorder.note(|at, frame| {
        let esp = Esp::of(frame).filter(|esp| esp.spi == tunnel().spi)?;
        Some((at, u64::from(esp.sequence)))
    })
}

/// Last sent number of the SA that the new router installed.
fn installed(bed: &Bed) -> Result<u64> {
    let survivor = bed.router(bed.at);
    let mut sent = None;
    poll(LIMIT, STEP, || {
        sent = survivor.sa(tunnel().spi).ok().map(|sa| sa.sent);
        sent.is_some()
    });
    sent.ok_or_else(|| format!("{} installed no tunnel", survivor.name).into())
}

/// Number that the new router knew: the installed one without the jump, which may have been made more than once.
fn known(installed: u64, last: u64) -> u64 {
    let jumps = installed.saturating_sub(last).div_ceil(JUMP);
    installed.saturating_sub(jumps * JUMP)
}

fn socket(lab: &Lab) -> Result<UdpSocket> {
    lab.lan.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect((Family::V4.inner(), DISCARD))?;
        Ok(socket)
    })
}

/// Refusals are no matter: nobody listens there.
fn send(socket: &UdpSocket, stop: &AtomicBool) {
    let begun = Instant::now();
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = begun.elapsed().as_micros() as u64 * RATE / 1_000_000;
        for _ in count..due {
            let _ = socket.send(&[0; 64]);
        }
        count = due;
        thread::sleep(Duration::from_millis(1));
    }
}
