// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cost of each new flow for both routers and the wire between them.
//!
//! Processor time is measured with flows of UDP that packets make (see `bed`), what goes over the
//! wire also with those of TCP, whose records are longer.

use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use spared_bench::{Bench, Row};
use spared_tests::Result;
use spared_tests::clock::ms;
use spared_tests::flows::{self, Crowd};
use spared_tests::lab::{Namespace, urgently};

use super::bed::{Bed, Buffer, Cost, EVENTS, LIMIT, Make};
use super::duel::Duel;
use super::limits;

const FLOWS: u32 = 200_000;
const RATE: u32 = 20_000;
/// Acknowledgements and what else comes after the last flow.
const TAIL: Duration = Duration::from_secs(1);
/// Processor time that the backup may use for each flow if the kernel alone uses `FLOOR_US`.
const BACKUP_US: f64 = 2.5;
const FLOOR_US: f64 = 1.5;
/// conntrackd as near to spared as it can be.
const DIRECT: Make = Make::Conntrackd { cache: false };

/// Cost of replicating a crowd of flows.
pub struct Filled {
    flows: u32,
    /// After the last flow was made, until all were in the backup's kernel.
    pub settled: Duration,
    making: Duration,
    again: usize,
    cost: Cost,
    /// Flows missing or different in the end.
    wrong: usize,
}

/// As fast as they can be made.
pub fn follow(bench: &Bench) -> Result<Vec<Row>> {
    let duel = Duel::run(bench, 5, DIRECT, |make| {
        let floor = [floor_us("0")?, floor_us("1")?];
        let filled = follow_crowd(make, Crowd::udp(FLOWS), |_| Ok(()))?;
        Ok((filled, floor))
    })?;
    let floor = duel.row("floor, us per entry, kernel alone", None, |(_, floor)| {
        floor[0]
    });
    // The backup's figure lacks it, ours only; what is allowed is less by that.
    let room = duel.row("room for events, us, not in these", None, |(_, floor)| {
        floor[1] - floor[0]
    });
    // A slow spell of the machine makes both sides of the ratio longer; on a quick one the ratio
    // asks for more than what is promised.
    let ratio = (BACKUP_US / FLOOR_US).max(BACKUP_US / floor.ours);
    let ratio = Some(ratio - room.ours / floor.ours);
    let over_floor = duel.row("backup, by the floor", ratio, |(run, floor)| {
        run.backup_us() / floor[0]
    });
    let duel = duel.map(|(run, _)| run);
    Ok(vec![
        duel.row(
            "backup, processor us per UDP flow",
            Some(BACKUP_US - room.ours),
            Filled::backup_us,
        ),
        floor,
        over_floor,
        room,
        duel.row(
            "active, processor us per UDP flow",
            Some(2.5),
            Filled::active_us,
        ),
        duel.row("ms until the backup's kernel has all", Some(200.0), |run| {
            ms(run.settled)
        }),
        wrong(&duel),
        making(&duel),
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
    let measure = |crowd: Crowd| {
        Duel::run(bench, 3, DIRECT, |make| {
            follow_crowd(make, crowd, Bed::without_offload)
        })
    };
    let tcp = measure(Crowd::tcp(FLOWS))?;
    let paced = measure(Crowd {
        rate: Some(RATE),
        ..Crowd::tcp(FLOWS)
    })?;
    let udp = measure(Crowd::udp(FLOWS))?;
    let allowed = Some(40.0);
    let rows = [
        tcp.row("bytes per TCP flow, at once", allowed, Filled::wire),
        paced.row("bytes per TCP flow, 20k/s", allowed, Filled::wire),
        udp.row("bytes per UDP flow, at once", allowed, Filled::wire),
    ];
    let all = tcp.and(paced).and(udp);
    Ok(rows.into_iter().chain([wrong(&all)]).collect())
}

/// At a rate that leaves both idle for most of the time.
pub fn rate(bench: &Bench) -> Result<Vec<Row>> {
    let seconds = if bench.runs > 3 { 20 } else { 5 };
    let duel = Duel::run(bench, 3, DIRECT, |make| {
        let crowd = Crowd {
            rate: Some(RATE),
            ..Crowd::udp(RATE * seconds)
        };
        follow_crowd(make, crowd, |_| Ok(()))
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
        .into_iter()
        .chain([wrong(&duel), making(&duel)])
        .collect())
}

/// Two fresh routers follow a crowd.
fn follow_crowd(make: Make, crowd: Crowd, prepare: impl Fn(&Bed) -> Result<()>) -> Result<Filled> {
    let mut bed = Bed::start(make, crowd.count, Buffer::Configured)?;
    bed.hush()?;
    prepare(&bed)?;
    let filled = fill(&bed, crowd)?;
    bed.end()?;
    Ok(filled)
}

/// Processor time in µs that the kernel needs for each entry that it is given, whoever gives it. Measured is a writer
/// that does nothing else, 500 entries to a system call, while nobody listens. `events` is 1 if each entry gets room
/// for notifications all the same, 0 if not.
fn floor_us(events: &str) -> Result<f64> {
    limits::make_room(FLOWS)?;
    let ns = Namespace::new("floor")?;
    ns.set(&[(EVENTS, events)])?;
    let used = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
    };
    let (harvest, took_us) = urgently(|| {
        let begun = used();
        Ok((Crowd::udp(FLOWS).create(&ns)?, used() - begun))
    })?;
    // Not behind the back of what comes next.
    flows::flush(&ns)?;
    Ok(took_us / f64::from(harvest.done))
}

fn wrong(duel: &Duel<Filled>) -> Row {
    duel.wrong(|run| run.wrong)
}

fn making(duel: &Duel<Filled>) -> Row {
    let mut row = duel.row("ms in which they were made", None, |run| ms(run.making));
    let runs = || duel.ours.iter().chain(&duel.theirs);
    let again: usize = runs().map(|run| run.again).sum();
    row.note += &format!("; {again} packets sent again");
    row
}

fn fill(bed: &Bed, crowd: Crowd) -> Result<Filled> {
    let idle = bed.idle()?;
    let (before, there) = (bed.read()?, bed.count(1)? as u32);
    let made = bed.make(crowd)?;
    let settled = bed.wait_count(there + crowd.count, made.last, LIMIT);
    thread::sleep(TAIL);
    let cost = bed.read()?.since(before).beyond(idle);
    Ok(Filled {
        flows: crowd.count,
        settled,
        making: made.took,
        again: made.again,
        cost,
        wrong: bed.wait_same(Duration::from_secs(10))?,
    })
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
