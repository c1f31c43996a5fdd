// SPDX-License-Identifier: MIT OR Apache-2.0
//! The active machine dies: what tunnels add to that for whoever uses them, and how soon the one that
//! comes back has them all.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use spared_bench::{Bench, Row};
use spared_tests::Result;
use spared_tests::clock::{Stamp, ms};
use spared_tests::probe::Control;

use super::bed::{Asks, Bed, LIMIT, SPACING, Said, plan, tunnel, with_bed};
use super::{FEW, MANY, MORE, Rows, crowd, growth, median, most, row, runs, within};

const INSTALL_LIMIT: Duration = Duration::from_secs(60);
const ADDED_MS: f64 = 20.0;
/// Addresses wait no longer for SAs after a death.
const WAIT_MS: f64 = 15.0;
/// A run in which a thread that only wakes was later than this says nothing of 15 ms.
const PUNCTUAL: Duration = Duration::from_millis(5);
const EXPOSURE: Duration = Duration::from_millis(20);
/// Longer than the others need to hear nothing.
const EFFECT: Duration = Duration::from_millis(300);

/// Deaths of a router without tunnels, measured once for all cases.
static WITHOUT: Mutex<Option<Deaths>> = Mutex::new(None);

/// In ms, each of the failovers.
#[derive(Clone, Debug, Default)]
pub struct Deaths {
    outage: Vec<f64>,
    /// From the new node's first word to its addresses.
    announced: Vec<f64>,
    /// Values of `announced` from runs with a punctual control thread.
    punctual: Vec<f64>,
    /// Policies that the new node lacked when the old one died.
    lacked: Vec<f64>,
    /// Requests of its kernel for an SA, until all SAs were there.
    acquires: Vec<f64>,
    /// From there to the first answer.
    served: Vec<f64>,
    /// From the decision to the last SA.
    pub installed: Vec<f64>,
    refused: Vec<f64>,
    threshold: Vec<f64>,
    /// From hearing its peer until it could take over.
    pub in_sync: Vec<f64>,
    /// From when the plugin heard the peer's until it had all SAs.
    pub followed: Vec<f64>,
}

/// Times that a kernel needs alone, in ms.
#[derive(Default)]
pub struct Alone {
    /// `ip -batch`, which waits for the answer to each.
    pub ip: Vec<f64>,
    pub listed: Vec<f64>,
    pub batches: Vec<f64>,
}

pub fn with(bench: &Bench, sas: u32) -> Rows {
    let (deaths, without, alone) = measured(bench, sas)?;
    let mut rows = shared(&deaths, &without);
    match sas {
        FEW => {
            growth::note_few(&deaths);
        }
        MANY => rows.extend(growth::beside_the_kernel(bench, &deaths, &alone)?),
        MORE => rows.extend(growth::beside_many(bench, &deaths, &alone)?),
        _ => {}
    }
    Ok(rows)
}

/// With so many SAs, without any, and the kernel alone.
pub fn measured(bench: &Bench, sas: u32) -> Result<(Deaths, Deaths, Alone)> {
    with_bed(|bed| {
        let without = without(bench, bed)?;
        let alone = alone(bench, bed, sas)?;
        bed.start(plan(Some("")), sas)?;
        Ok((repeat(bench, bed, sas)?, without, alone))
    })
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
        wait(deaths, without),
        none("policies that the backup lacked, at most", &deaths.lacked),
        none("ACQUIREs before the last SA, at most", &deaths.acquires),
    ]
}

/// Row about the wait of the new node's addresses. Runs in which the machine was late count only if all were.
fn wait(deaths: &Deaths, without: &Deaths) -> Row {
    let usual = median(&without.announced);
    let (punctual, all) = (deaths.punctual.len(), deaths.announced.len());
    let counted = match punctual {
        0 => &deaths.announced,
        _ => &deaths.punctual,
    };
    Row {
        what: "ms that its addresses wait for SAs, at most",
        ours: most(counted) - usual,
        beside: most(&without.announced) - usual,
        allowed: Some(WAIT_MS),
        note: format!("beside: without ipsec; {punctual} of {all} runs with a punctual control"),
    }
}

fn none(what: &'static str, counts: &[f64]) -> Row {
    Row {
        what,
        ours: most(counts),
        beside: f64::NAN,
        allowed: Some(0.0),
        note: String::new(),
    }
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
    let control = Control::start();
    for _ in 0..runs(bench) {
        die(bed, sas, &control, &mut deaths)?;
        let joined = bed.revive()?;
        deaths.in_sync.push(joined.in_sync);
        deaths.followed.push(joined.followed);
    }
    Ok(deaths)
}

fn die(bed: &mut Bed, sas: u32, control: &Control, deaths: &mut Deaths) -> Result<()> {
    let pings = bed.pings()?;
    if sas > 0 {
        deaths
            .threshold
            .push(bed.threshold(tunnel().spi_back())? as f64);
    }
    let before = bed.refused(&[1 - bed.at])?;
    let asks = watch_kernel(bed, sas, deaths)?;
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
    if control.worst(struck, announced) <= PUNCTUAL {
        deaths.punctual.push(ms(announced.since(said)));
    }
    deaths.served.push(ms(first.since(announced)));
    if let Some(asks) = asks {
        let took_ms = survivor.wait_number("SAs taken over within")?;
        deaths.installed.push(took_ms);
        deaths.acquires.push(asks.count(bed.router(bed.at))? as f64);
        let refused = bed.refused(&[bed.at])? - before;
        deaths.refused.push(refused as f64);
    }
    Ok(())
}

/// Notes the policies that the new node's kernel lacks, and starts to count its requests for SAs.
fn watch_kernel(bed: &Bed, sas: u32, deaths: &mut Deaths) -> Result<Option<Asks>> {
    if sas == 0 {
        return Ok(None);
    }
    let policies = |at: usize| bed.router(at).policies().map(|it| it.len());
    let lacked = policies(bed.at)?.saturating_sub(policies(1 - bed.at)?);
    deaths.lacked.push(lacked as f64);
    Asks::of(bed.router(1 - bed.at)).map(Some)
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
        let line = format!("date +%s%N && ip -batch {file} && date +%s%N");
        let (_, text) = far.run_within(&line, INSTALL_LIMIT)?;
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
