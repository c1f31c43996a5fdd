// SPDX-License-Identifier: MIT OR Apache-2.0
//! More new flows than the kernel's default buffer can announce: what is lost on the way, and when
//! both tables are equal again.

use std::thread;
use std::time::Duration;

use spared_bench::{Bench, Row};
use spared_tests::Result;
use spared_tests::clock::{Stamp, ms};
use spared_tests::flows::Crowd;

use super::bed::{Bed, Buffer, LIMIT, Make};
use super::duel::{Duel, median, sorted, spread};

const FLOWS: u32 = 300_000;
/// When both tables shall be equal after the last flow was made.
const SETTLED: Duration = Duration::from_secs(2);
/// Echoes on their way are not lost.
const FLIGHT: Duration = Duration::from_millis(10);

struct Burst {
    overruns: f64,
    /// After the last flow was made, until the backup's kernel had all.
    settled: Duration,
    /// Flows that differ in the end.
    wrong: usize,
    /// Packets that users beside it lost.
    packets: f64,
    made: Duration,
}

pub fn burst(bench: &Bench) -> Result<Vec<Row>> {
    let duel = Duel::run_with_nobody(bench, 5, Make::Conntrackd { cache: false }, measure)?;
    let alone = sorted(&duel.alone, |run| run.packets);
    let allowed = median(&alone) + tolerance(&alone);
    let mut packets = duel.row("echoes lost beside it", Some(allowed), |run| run.packets);
    packets.note += &format!(
        "; {} (median {}) without a sync",
        spread(&alone),
        median(&alone)
    );
    let mut making = duel.row("ms in which they were made", None, |run| ms(run.made));
    let alone = sorted(&duel.alone, |run| ms(run.made));
    making.note += &format!("; {} without a sync", spread(&alone));
    Ok(vec![
        duel.row("overruns of the buffer", None, |run| run.overruns),
        duel.wrong(|run| run.wrong),
        duel.row("ms until both tables are equal", Some(ms(SETTLED)), |run| {
            ms(run.settled)
        }),
        packets,
        making,
    ])
}

/// How much more than the median may be lost and still be the same: what separates runs without any
/// sync, and where they hardly lose any, by how much such counts scatter of themselves, which is
/// three times the root.
fn tolerance(alone: &[f64]) -> f64 {
    let apart = alone.last().unwrap_or(&0.0) - alone.first().unwrap_or(&0.0);
    apart.max(3.0 * median(alone).max(1.0).sqrt())
}

fn measure(make: Make) -> Result<Burst> {
    let mut bed = Bed::start(make, FLOWS, Buffer::KernelDefault)?;
    bed.hush()?;
    bed.pair.pause(false);
    bed.pair.settle()?;
    let (there, overruns) = (bed.count(1)? as u32, overruns(&bed, make)?);
    let began = Stamp::now();
    let made = bed.make(Crowd::udp(FLOWS))?;
    let settled = match make {
        Make::Nobody => Duration::ZERO,
        Make::Spared | Make::Conntrackd { .. } => bed.wait_count(there + FLOWS, made.last, LIMIT),
    };
    // Packets are counted over the same span in all runs, also in one without a sync: until all should have settled.
    thread::sleep(SETTLED.saturating_sub(made.last.elapsed()));
    let over = began.after(made.took + SETTLED).before(FLIGHT);
    let packets = bed.pair.through.outage(began, over);
    bed.pair.pause(true);
    let wrong = match make {
        Make::Nobody => 0,
        Make::Spared | Make::Conntrackd { .. } => bed.wait_same(Duration::from_secs(20))?,
    };
    let burst = Burst {
        overruns: self::overruns(&bed, make)? - overruns,
        settled,
        wrong,
        packets: packets.lost as f64,
        made: made.took,
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
