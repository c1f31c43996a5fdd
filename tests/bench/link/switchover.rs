// SPDX-License-Identifier: MIT OR Apache-2.0
//! Switchovers under 2 kHz of UDP and a download: nothing may be lost, nothing reset.

use std::thread;
use std::time::Duration;

use spared_bench::{Bench, Row};
use spared_tests::Result;
use spared_tests::clock::{Stamp, ms};
use spared_tests::lab::Wire;
use spared_tests::pair::Pair;
use spared_tests::probe::Download;
use spared_tests::router::{Kind, Plan};

const SWITCHOVERS: usize = 20;
const DOWNLOAD_RATE: u64 = 4_000_000;

pub fn cost(bench: &Bench) -> Result<Vec<Row>> {
    let interval = Duration::from_millis(100);
    let plans = [(); 2].map(|()| {
        let mut plan = Plan::linked(interval, &[Wire::Hot]);
        plan.without_preference();
        plan
    });
    let pair = Pair::start(Kind::Spared, plans)?;
    let download = Download::start(&pair.lab, DOWNLOAD_RATE)?;
    let count = if bench.runs > 3 { SWITCHOVERS } else { 4 };
    let (mut took, mut lost, mut both) = (Vec::new(), 0, Duration::ZERO);
    for number in 0..count {
        let (from, to) = (number % 2, 1 - number % 2);
        let switchover = pair.switch_over(from, to)?;
        took.push(ms(switchover.took));
        lost += switchover.lost;
        both = both.max(switchover.both_answered);
        thread::sleep(Duration::from_millis(300));
    }
    took.sort_by(f64::total_cmp);
    let began = Stamp::now();
    thread::sleep(Duration::from_millis(500));
    let broken = download.is_broken() || download.bytes() == 0;
    let quiet = pair.through.outage(began, Stamp::now()).gaps;
    let zero = |what, ours: f64, note| Row {
        what,
        ours,
        beside: 0.0,
        allowed: Some(0.0),
        note,
    };
    Ok(vec![
        Row {
            what: "ms from the command to the new one's first advert",
            ours: took.get(took.len() / 2).copied().unwrap_or(f64::NAN),
            beside: 0.0,
            allowed: None,
            note: format!(
                "{count} switchovers, {:.1} to {:.1}",
                took.first().copied().unwrap_or(f64::NAN),
                took.last().copied().unwrap_or(f64::NAN)
            ),
        },
        zero(
            "packets lost",
            lost as f64,
            format!("of 2 kHz UDP, in {count} switchovers; {quiet} gaps afterwards"),
        ),
        zero(
            "downloads reset",
            f64::from(u8::from(broken)),
            format!("{:.1} MB", download.bytes() as f64 / 1e6),
        ),
        zero("ms in which both answered", ms(both), String::new()),
    ])
}
