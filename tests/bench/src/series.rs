// SPDX-License-Identifier: MIT OR Apache-2.0
//! Repeats a fault and takes the median, without the runs in which the machine itself stalled.

use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::ms;
use spared_tests::lab::Wire;
use spared_tests::pair::{Damage, Fault, Pair};
use spared_tests::probe::Control;
use spared_tests::router::{Kind, Plan};

use crate::report::Row;

/// Highest priorities for both programs, as spared reserves 254.
pub const PRIORITIES: [u8; 2] = [253, 252];
/// keepalived's default, and one more for the router that is to be active first.
const DEFAULT_PRIORITIES: [u8; 2] = [101, 100];
/// A run in which the control thread was later than this is discarded.
const STALL: Duration = Duration::from_millis(5);
/// Above this interval both makes are measured at the same time, as they disturb each other little
/// compared with it.
const SLOW: Duration = Duration::from_millis(500);

pub struct Bench {
    pub runs: usize,
    /// Only spared is measured, neither keepalived nor conntrackd.
    pub alone: bool,
    pub control: Control,
}

/// The accepted runs of one make.
pub struct Series {
    pub damages: Vec<Damage>,
    pub discarded: usize,
}

impl Bench {
    pub fn new(runs: usize, alone: bool) -> Self {
        Self {
            runs,
            alone,
            control: Control::start(),
        }
    }

    /// Measures a fault at an interval; None: at each program's defaults.
    pub fn fault(&self, fault: Fault, interval: Option<Duration>) -> Result<Vec<Row>> {
        let priorities = if interval.is_some() {
            PRIORITIES
        } else {
            DEFAULT_PRIORITIES
        };
        let plans = priorities.map(|priority| plan(interval, priority));
        let [ours, theirs] = self.duel(&plans, fault)?;
        let mut row = outages("", [&ours, &theirs], |damage| ms(damage.outage.total));
        row.allowed = allowed(fault, interval, row.beside);
        if fault != Fault::Hang {
            return Ok(vec![row]);
        }
        let both = |damage: &Damage| ms(damage.both_answered);
        let mut overlap = outages("both answer (ended after 1 s)", [&ours, &theirs], both);
        overlap.allowed = Some(0.0);
        Ok(vec![row, overlap])
    }

    /// Outages by a fault with spared's nodes connected by a link, which keepalived does not have.
    pub fn linked_fault(&self, fault: Fault, interval: Duration) -> Result<Vec<Row>> {
        let linked = [(); 2].map(|()| Plan::linked(interval, &[Wire::Hot]));
        let ours = self.series(Kind::Spared, &linked, fault)?;
        let plans = PRIORITIES.map(|priority| plan(Some(interval), priority));
        let theirs = self.series(Kind::Keepalived, &plans, fault)?;
        let mut row = outages("", [&ours, &theirs], |damage| ms(damage.outage.total));
        row.allowed = allowed(fault, Some(interval), row.beside);
        Ok(vec![row])
    }

    /// Measures what `count` addresses on the lan add to the outage with one.
    pub fn addresses(&self, count: u32, interval: Duration) -> Result<Vec<Row>> {
        let few = PRIORITIES.map(|priority| Plan::gateways(interval, priority));
        let mut many = few.clone();
        for plan in &mut many {
            let more = (1..count).map(|n| format!("10.1.{}.{}/24", 8 + n / 250, 1 + n % 250));
            plan.routers[0].addresses.extend(more);
        }
        let one = self.duel(&few, Fault::SilentCut)?;
        let all = self.duel(&many, Fault::SilentCut)?;
        let total = |damage: &Damage| ms(damage.outage.total);
        let added = |make: usize| all[make].median(total) - one[make].median(total);
        let note = all[0].note(total);
        Ok(vec![Row {
            what: "added",
            ours: added(0),
            beside: added(1),
            allowed: Some(30.0),
            note,
        }])
    }

    pub fn duel(&self, plans: &[Plan; 2], fault: Fault) -> Result<[Series; 2]> {
        let slow = plans[0].interval_of(Kind::Keepalived) > SLOW;
        if !slow {
            let ours = self.series(Kind::Spared, plans, fault)?;
            return Ok([ours, self.series(Kind::Keepalived, plans, fault)?]);
        }
        thread::scope(|scope| {
            let theirs = scope.spawn(|| self.series(Kind::Keepalived, plans, fault));
            let ours = self.series(Kind::Spared, plans, fault)?;
            let theirs = theirs
                .join()
                .map_err(|_| "measuring keepalived panicked")??;
            Ok([ours, theirs])
        })
    }

    pub fn series(&self, kind: Kind, plans: &[Plan; 2], fault: Fault) -> Result<Series> {
        let mut series = Series {
            damages: Vec::new(),
            discarded: 0,
        };
        if !self.measures(kind) {
            return Ok(series);
        }
        let pair = Pair::start(kind, plans.clone())?;
        while series.damages.len() < self.runs {
            let damage = pair.strike(fault)?;
            if self.stall(&damage) <= STALL {
                series.damages.push(damage);
            } else {
                series.discarded += 1;
            }
            if series.discarded > self.runs * 4 {
                return Err("the control thread is late in nearly every run".into());
            }
            pair.settle()?;
        }
        Ok(series)
    }
}

impl Bench {
    /// True if this make is measured.
    pub fn measures(&self, kind: Kind) -> bool {
        kind == Kind::Spared || !self.alone
    }

    // A stall matters around the cut and around the failover, not in the wait between.
    fn stall(&self, damage: &Damage) -> Duration {
        const AROUND: Duration = Duration::from_millis(50);
        let worst = |from, to| self.control.worst(from, to);
        let taken_over = damage.began.after(damage.outage.total);
        let before = damage
            .began
            .after(damage.outage.total.saturating_sub(AROUND));
        worst(damage.began, damage.began.after(AROUND)).max(worst(before, taken_over.after(AROUND)))
    }
}

impl Series {
    pub fn median(&self, of: impl Fn(&Damage) -> f64) -> f64 {
        let sorted = self.sorted(of);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    pub fn note(&self, of: impl Fn(&Damage) -> f64) -> String {
        let sorted = self.sorted(of);
        let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
            return "not measured".to_owned();
        };
        format!("{least:.1} to {most:.1}, {} discarded", self.discarded)
    }

    fn sorted(&self, of: impl Fn(&Damage) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> = self.damages.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    }
}

pub fn plan(interval: Option<Duration>, priority: u8) -> Plan {
    let mut plan = Plan::gateways(Duration::from_secs(1), priority);
    plan.interval = interval;
    plan
}

/// Longest promised outage of a failover, in ms; None: nothing is promised.
fn allowed(fault: Fault, interval: Option<Duration>, keepalived: f64) -> Option<f64> {
    const CARRIER: f64 = 20.0;
    match (fault, interval) {
        (Fault::SilentCut, Some(_)) => Some((keepalived * 1.05).max(keepalived + 3.0)),
        (Fault::SilentCut, None) => Some(keepalived * 0.15),
        (Fault::CarrierLost, Some(interval)) if interval > SLOW => {
            Some(CARRIER + ms(interval) * f64::from(256 - u16::from(PRIORITIES[1])) / 256.0)
        }
        (Fault::CarrierLost, _) => Some(CARRIER),
        (Fault::Shutdown, _) => Some(10.0),
        (Fault::Hang | Fault::Death | Fault::Kill | Fault::Switch, _) => None,
    }
}

fn outages(what: &'static str, series: [&Series; 2], of: impl Fn(&Damage) -> f64) -> Row {
    let [ours, keepalived] = series.map(|series| series.median(&of));
    let [note, spread] = series.map(|series| series.note(&of));
    Row {
        what,
        ours,
        beside: keepalived,
        allowed: None,
        note: format!("{note}; {spread}"),
    }
}
