// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each new flow costs both routers and the wire between them.

use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::bench::{Bench, Row};
use spared_tests::clock::ms;
use spared_tests::flows::Crowd;

use super::bed::{Bed, Buffer, Cost, LIMIT, Make};
use super::duel::Duel;

const FLOWS: u32 = 200_000;
const RATE: u32 = 20_000;
/// Acknowledgements and what else comes after the last flow.
const TAIL: Duration = Duration::from_secs(1);
/// conntrackd as near to spared as it can be.
const DIRECT: Make = Make::Conntrackd { cache: false };

/// What following a crowd of flows cost.
pub struct Filled {
    flows: u32,
    /// After the last flow was made, until all were in the backup's kernel.
    pub settled: Duration,
    making: Duration,
    cost: Cost,
    /// Flows missing or different in the end.
    wrong: usize,
}

/// As fast as they can be made.
pub fn follow(bench: &Bench) -> Result<Vec<Row>> {
    let duel = Duel::run(runs(bench, 5), DIRECT, |make| {
        let bed = Bed::start(make, FLOWS, Buffer::Configured)?;
        let filled = fill(&bed, Crowd::tcp(FLOWS))?;
        bed.end()?;
        Ok(filled)
    })?;
    Ok(vec![
        duel.row(
            "backup, processor us per flow",
            Some(2.5),
            Filled::backup_us,
        ),
        duel.row(
            "active, processor us per flow",
            Some(2.5),
            Filled::active_us,
        ),
        duel.row("ms until the backup's kernel has all", Some(200.0), |run| {
            ms(run.settled)
        }),
        duel.row("flows missing or different in the end", Some(0.0), |run| {
            run.wrong as f64
        }),
        duel.row("ms in which they were made", None, |run| ms(run.making)),
        duel.row(
            "active, resident bytes per flow",
            Some(100.0),
            Filled::active_bytes,
        ),
        duel.row(
            "backup, resident bytes per flow",
            Some(40.0),
            Filled::backup_bytes,
        ),
    ])
}

/// Whatever the link's interface sends and receives, in frames of a real card.
pub fn wire(bench: &Bench) -> Result<Vec<Row>> {
    let measure = |rate: Option<u32>| {
        Duel::run(runs(bench, 3), DIRECT, |make| {
            let bed = Bed::start(make, FLOWS, Buffer::Configured)?;
            bed.without_offload()?;
            let crowd = Crowd {
                rate,
                ..Crowd::tcp(FLOWS)
            };
            let filled = fill(&bed, crowd)?;
            bed.end()?;
            Ok(filled)
        })
    };
    let (fast, paced) = (measure(None)?, measure(Some(RATE))?);
    Ok(vec![
        fast.row("bytes per flow, as fast as made", Some(40.0), Filled::wire),
        paced.row("bytes per flow at 20k/s", Some(40.0), Filled::wire),
    ])
}

/// At a rate that leaves both idle for most of the time.
pub fn rate(bench: &Bench) -> Result<Vec<Row>> {
    let seconds = if bench.runs > 3 { 20 } else { 5 };
    let duel = Duel::run(runs(bench, 3), DIRECT, |make| {
        let flows = RATE * seconds;
        let bed = Bed::start(make, flows, Buffer::Configured)?;
        let crowd = Crowd {
            rate: Some(RATE),
            ..Crowd::tcp(flows)
        };
        let filled = fill(&bed, crowd)?;
        bed.end()?;
        Ok(filled)
    })?;
    let per_cent = |us_per_flow: f64| us_per_flow * f64::from(RATE) / 1e4;
    let rows = [
        duel.row("active, per cent of a core", None, |run| {
            per_cent(run.active_us())
        }),
        duel.row("backup, per cent of a core", None, |run| {
            per_cent(run.backup_us())
        }),
    ];
    Ok(rows
        .map(|row| Row {
            allowed: Some(row.beside / 2.0),
            ..row
        })
        .into())
}

pub fn fill(bed: &Bed, crowd: Crowd) -> Result<Filled> {
    let idle = bed.idle()?;
    let (before, there) = (bed.read()?, bed.count(1)? as u32);
    let (last, making) = bed.make(crowd)?;
    let settled = bed.wait_count(there + crowd.count, last, LIMIT);
    thread::sleep(TAIL);
    let cost = bed.read()?.since(before).beyond(idle);
    Ok(Filled {
        flows: crowd.count,
        settled,
        making,
        cost,
        wrong: bed.wait_same(Duration::from_secs(10))?,
    })
}

/// `most`, or as many as the bench makes where that is less.
pub fn runs(bench: &Bench, most: usize) -> usize {
    if bench.runs > 3 {
        most
    } else {
        most.div_ceil(3)
    }
}

impl Filled {
    fn per_flow(&self, value: f64) -> f64 {
        value / f64::from(self.flows)
    }

    fn active_us(&self) -> f64 {
        self.per_flow(self.cost.processor_us[0])
    }

    fn backup_us(&self) -> f64 {
        self.per_flow(self.cost.processor_us[1])
    }

    fn active_bytes(&self) -> f64 {
        self.per_flow(self.cost.resident[0])
    }

    fn backup_bytes(&self) -> f64 {
        self.per_flow(self.cost.resident[1])
    }

    fn wire(&self) -> f64 {
        self.per_flow(self.cost.wire)
    }
}
