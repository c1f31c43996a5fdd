// SPDX-License-Identifier: MIT OR Apache-2.0
//! How late adverts of 10 ms are on both networks of an idle pair, as the switch sees them, beside keepalived's.

use std::thread;
use std::time::Duration;

use spared_bench::{Bench, PRIORITIES, Row};
use spared_tests::Result;
use spared_tests::clock::{Stamp, ms};
use spared_tests::lab::{Lab, Wire};
use spared_tests::linked::Linked;
use spared_tests::probe::Watch;
use spared_tests::router::{Kind, Plan, Router};

use super::{CALM, LIMIT, MS};

pub const INTERVAL: Duration = MS.saturating_mul(10);

/// How much later than its interval each advert came after the one before it, in ms, ascending.
pub struct Lateness(Vec<f64>);

pub fn adverts(bench: &Bench) -> Result<Vec<Row>> {
    // 99.99 % of 20 000 adverts are all but two
    let span = Duration::from_secs(if bench.runs > 3 { 100 } else { 25 });
    let begun = Stamp::now();
    let ours = ours(span)?;
    let worst = ms(bench.control.worst_since(begun));
    let theirs = if bench.measures(Kind::Keepalived) {
        theirs(span)?
    } else {
        Lateness(Vec::new())
    };
    let row = |what, share: f64| Row {
        what,
        ours: ours.at(share),
        beside: theirs.at(share),
        allowed: None,
        note: format!(
            "{} adverts, control at most {worst:.1} ms late",
            ours.0.len()
        ),
    };
    Ok(vec![
        row("ms late, 50 %", 0.5),
        row("ms late, 99 %", 0.99),
        row("ms late, 99.99 %", 0.9999),
    ])
}

fn ours(span: Duration) -> Result<Lateness> {
    let lab = Lab::new(2)?;
    let pair = Linked::start(&lab, &Plan::linked(INTERVAL, &[Wire::Hot]))?;
    thread::sleep(CALM);
    Lateness::of(&pair.watch, pair.at()?, span)
}

fn theirs(span: Duration) -> Result<Lateness> {
    let lab = Lab::new(2)?;
    let watch = Watch::start(&lab)?;
    let start = |(site, priority)| {
        let plan = Plan::gateways(INTERVAL, priority);
        Router::start(&lab, &lab.sites[site], Kind::Keepalived, &plan)
    };
    let _routers = (0..2)
        .zip(PRIORITIES)
        .map(start)
        .collect::<Result<Vec<_>>>()?;
    watch.wait_active(0, Wire::Lan, CALM, LIMIT)?;
    Lateness::of(&watch, 0, span)
}

impl Lateness {
    fn of(watch: &Watch, active: usize, span: Duration) -> Result<Self> {
        let from = Stamp::now();
        thread::sleep(span);
        let late = Self::gaps(watch, active, from);
        let due = 2 * span.as_millis() / INTERVAL.as_millis();
        if (late.len() as u128) < due * 9 / 10 {
            return Err(format!("{} adverts of {due} were sent", late.len()).into());
        }
        Ok(Self::new(late))
    }

    pub fn new(mut late: Vec<f64>) -> Self {
        late.sort_by(f64::total_cmp);
        Self(late)
    }

    /// Delays of the adverts since then, on both networks.
    pub fn gaps(watch: &Watch, active: usize, from: Stamp) -> Vec<f64> {
        let late = |wire| {
            let adverts = watch.adverts(from, active, wire);
            let pairs = adverts.windows(2).map(|pair| pair[1].0.since(pair[0].0));
            pairs
                .map(|gap| ms(gap.saturating_sub(INTERVAL)))
                .collect::<Vec<_>>()
        };
        Wire::BOTH.into_iter().flat_map(late).collect()
    }

    /// Delay that this share of the adverts does not exceed.
    pub fn at(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1) as f64;
        let at = (last * share).ceil() as usize;
        self.0.get(at).copied().unwrap_or(f64::NAN)
    }
}
