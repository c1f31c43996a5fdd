// SPDX-License-Identifier: MIT OR Apache-2.0
//! More new flows than the kernel's default buffer can announce: what is lost on the way, and when
//! both tables are equal again.

use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::bench::{Bench, Row};
use spared_tests::clock::{Stamp, ms};
use spared_tests::flows::Crowd;

use super::bed::{Bed, Buffer, LIMIT, Make};
use super::cost::runs;
use super::duel::{Duel, median, sorted};

const FLOWS: u32 = 300_000;

struct Burst {
    overruns: f64,
    /// After the last flow was made, until the backup's kernel had all.
    settled: Duration,
    /// Flows that differ in the end.
    wrong: f64,
    /// Packets that users beside it lost.
    packets: f64,
    made: Duration,
}

pub fn burst(bench: &Bench) -> Result<Vec<Row>> {
    let count = runs(bench, 5);
    let alone = (0..count).map(|_| measure(Make::Nobody));
    let alone = sorted(&alone.collect::<Result<Vec<_>>>()?, |run| run.packets);
    let duel = Duel::run(count, Make::Conntrackd { cache: false }, measure)?;
    let mut packets = duel.row("UDP packets lost beside it", Some(median(&alone)), |run| {
        run.packets
    });
    packets.note += &format!("; {:.1} without a sync", median(&alone));
    Ok(vec![
        duel.row("overruns of the buffer", None, |run| run.overruns),
        duel.row("flows missing or different in the end", Some(0.0), |run| {
            run.wrong
        }),
        duel.row("ms until both tables are equal", Some(2000.0), |run| {
            ms(run.settled)
        }),
        packets,
        duel.row("ms in which they were made", None, |run| ms(run.made)),
    ])
}

fn measure(make: Make) -> Result<Burst> {
    let bed = Bed::start(make, FLOWS, Buffer::KernelDefault)?;
    bed.pair.pause(false);
    bed.pair.settle()?;
    let (there, overruns) = (bed.count(1)? as u32, overruns(&bed, make)?);
    let began = Stamp::now();
    let (last, made) = bed.make(Crowd::tcp(FLOWS))?;
    let settled = match make {
        Make::Nobody => Duration::ZERO,
        Make::Spared | Make::Conntrackd { .. } => bed.wait_count(there + FLOWS, last, LIMIT),
    };
    // What settles late would be no part of the same burst without a sync.
    thread::sleep(Duration::from_secs(1));
    let packets = bed
        .pair
        .through
        .outage(began, Stamp::now().before(Duration::from_millis(10)));
    bed.pair.pause(true);
    let wrong = match make {
        Make::Nobody => 0,
        Make::Spared | Make::Conntrackd { .. } => bed.wait_same(Duration::from_secs(20))?,
    };
    let burst = Burst {
        overruns: self::overruns(&bed, make)? - overruns,
        settled,
        wrong: wrong as f64,
        packets: packets.lost as f64,
        made,
    };
    bed.end()?;
    Ok(burst)
}

/// How often the kernel found the buffer full, as each make tells.
fn overruns(bed: &Bed, make: Make) -> Result<f64> {
    match make {
        Make::Nobody => Ok(0.0),
        Make::Spared => Ok(bed.number(0, "overruns")? as f64),
        Make::Conntrackd { .. } => Ok(bed.daemon(0)?.overruns()? as f64),
    }
}
