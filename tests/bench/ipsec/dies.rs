// SPDX-License-Identifier: MIT OR Apache-2.0
//! The active machine dies: what tunnels add to that for whoever uses them, and how soon the one that
//! comes back has them all.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use spared_tests::Result;
use spared_tests::bench::{Bench, Row};
use spared_tests::clock::{Stamp, ms};

use super::bed::{Bed, LIMIT, SPACING, Said, plan, tunnel, with_bed};
use super::{Rows, crowd, median, most, row, runs, within};

/// What the description promises, on machines that are no slower than usual.
const SYNC_MS: f64 = 500.0;
const INSTALL_MS: f64 = 200.0;
const ADDED_MS: f64 = 20.0;
const EXPOSURE: Duration = Duration::from_millis(20);
/// On others: so many times what the kernel needs alone.
const SYNC_TIMES: f64 = 3.0;
const INSTALL_TIMES: f64 = 2.0;
/// Longer than the others need to hear nothing.
const EFFECT: Duration = Duration::from_millis(300);

/// The same deaths without tunnels, once for all cases.
static WITHOUT: Mutex<Option<Deaths>> = Mutex::new(None);

/// In ms, each of the failovers.
#[derive(Clone, Debug, Default)]
struct Deaths {
    outage: Vec<f64>,
    /// From the new node's first word to its addresses.
    announced: Vec<f64>,
    /// From there to the first answer.
    served: Vec<f64>,
    /// From the decision to the last SA.
    installed: Vec<f64>,
    refused: Vec<f64>,
    threshold: Vec<f64>,
    /// From hearing its peer until it could take over.
    in_sync: Vec<f64>,
}

/// What a kernel needs alone, in ms.
#[derive(Default)]
struct Alone {
    /// `ip -batch`, which waits for the answer to each.
    ip: Vec<f64>,
    listed: Vec<f64>,
    batches: Vec<f64>,
}

pub fn with(bench: &Bench, sas: u32) -> Rows {
    let (deaths, without, alone) = with_bed(|bed| {
        let without = without(bench, bed)?;
        let alone = alone(bench, bed, sas)?;
        bed.start(plan(Some("")), sas)?;
        Ok((repeat(bench, bed, sas)?, without, alone))
    })?;
    let mut rows = shared(&deaths, &without);
    if sas == super::MANY {
        rows.extend(bulk(&deaths, &alone));
    }
    Ok(rows)
}

fn shared(deaths: &Deaths, without: &Deaths) -> Vec<Row> {
    let mut added = row(
        "ms from its address to an answer",
        &deaths.served,
        &without.served,
        Some(median(&without.served) + ADDED_MS),
    );
    added.note += "; beside: the same pings without ipsec, in clear";
    let threshold = median(&deaths.threshold);
    vec![
        row("ms of outage", &deaths.outage, &without.outage, None),
        row(
            "ms from its advert to its address",
            &deaths.announced,
            &without.announced,
            None,
        ),
        added,
        Row {
            what: "packets refused, at most",
            ours: most(&deaths.refused),
            beside: threshold,
            allowed: Some(threshold.max(EXPOSURE.div_duration_f64(SPACING))),
            note: "beside: the threshold; allowed: what comes in `exposure`".to_owned(),
        },
    ]
}

fn bulk(deaths: &Deaths, alone: &Alone) -> Vec<Row> {
    let both = median(&alone.listed) + median(&alone.batches);
    let mut sync = row(
        "ms until a new backup is in sync",
        &deaths.in_sync,
        &[both],
        Some(SYNC_MS.max(both * SYNC_TIMES)),
    );
    sync.note += &format!("; aim {SYNC_MS} ms; beside: the kernel alone lists and takes them");
    let mut installed = row(
        "ms from its decision to the last SA",
        &deaths.installed,
        &alone.batches,
        Some(INSTALL_MS.max(median(&alone.batches) * INSTALL_TIMES)),
    );
    installed.note += &format!(
        "; aim {INSTALL_MS} ms; beside: the kernel alone takes them, by ip -batch in {:.0} ms",
        median(&alone.ip)
    );
    vec![sync, installed]
}

fn without(bench: &Bench, bed: &mut Bed) -> Result<Deaths> {
    let mut known = WITHOUT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(deaths) = &*known {
        return Ok(deaths.clone());
    }
    bed.start(plan(None), 0)?;
    let deaths = repeat(bench, bed, 0)?;
    Ok(known.insert(deaths).clone())
}

fn repeat(bench: &Bench, bed: &mut Bed, sas: u32) -> Result<Deaths> {
    let mut deaths = Deaths::default();
    for _ in 0..runs(bench) {
        die(bed, sas, &mut deaths)?;
        let in_sync = bed.revive()?;
        deaths.in_sync.push(in_sync);
    }
    Ok(deaths)
}

fn die(bed: &mut Bed, sas: u32, deaths: &mut Deaths) -> Result<()> {
    let pings = bed.pings()?;
    if sas > 0 {
        deaths
            .threshold
            .push(bed.threshold(tunnel().spi_back())? as f64);
    }
    let before = bed.refused(&[1 - bed.at])?;
    let survivor = Said::by(bed.router(1 - bed.at));
    let struck = bed.strike();
    let outage = pings
        .outage_of(struck, EFFECT, LIMIT)
        .ok_or("no answers after the death")?;
    let said = bed.said_active(struck)?;
    let announced = bed.announced(said).ok_or("nothing announced")?;
    let first = pings.first_answered(said).ok_or("no answers at all")?;
    deaths.outage.push(ms(outage.total));
    deaths.announced.push(ms(announced.since(said)));
    deaths.served.push(ms(first.since(announced)));
    if sas > 0 {
        let took_ms = survivor.wait_number("SAs taken over within")?;
        deaths.installed.push(took_ms);
        let refused = bed.refused(&[bed.at])? - before;
        deaths.refused.push(refused as f64);
    }
    Ok(())
}

/// By the far gateway, which has nothing to do yet.
fn alone(bench: &Bench, bed: &Bed, sas: u32) -> Result<Alone> {
    let far = &bed.tunnelled.far;
    let mut alone = Alone::default();
    let file = far.dir.join("crowd");
    std::fs::write(&file, crowd::lines(sas))?;
    for _ in 0..runs(bench) {
        far.ok("ip xfrm state flush")?;
        let file = file.display();
        let text = far.ok(&format!("date +%s%N; ip -batch {file}; date +%s%N"))?;
        let stamps: Vec<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
        let [begun, ended] = stamps.as_slice() else {
            return Err(format!("ip -batch: {text}").into());
        };
        alone.ip.push(ms(Stamp(*ended).since(Stamp(*begun))));
        let [listed, batches] = within::run(far, "again")?;
        alone.listed.push(ms(Duration::from_nanos(listed)));
        alone.batches.push(ms(Duration::from_nanos(batches)));
    }
    far.ok("ip xfrm state flush").map(drop).map(|()| alone)
}
