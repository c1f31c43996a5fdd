// SPDX-License-Identifier: MIT OR Apache-2.0
//! One path of several is lost: nobody takes over where none is due, and no packet is lost.

use std::thread;
use std::time::Duration;

use spared_bench::{Bench, Row};
use spared_tests::Result;
use spared_tests::clock::Stamp;
use spared_tests::lab::{Lab, Site, Wire};
use spared_tests::pair::Pair;
use spared_tests::router::{Kind, Plan, Spared};

const SPAN: Duration = Duration::from_secs(3);

type Change = fn(&Lab, &Site) -> Result<()>;

pub fn losses(_bench: &Bench) -> Result<Vec<Row>> {
    let plans = [(); 2].map(|()| {
        let mut plan = Plan::linked(Duration::from_millis(100), &Wire::LINKS);
        plan.without_preference();
        plan
    });
    let pair = Pair::start(Kind::Spared, plans)?;
    let cases: [(&'static str, Change, Change); 4] = [
        (
            "one link silent: packets lost",
            |lab, site| lab.cut(site, Wire::Hot),
            |lab, site| lab.join(site, Wire::Hot),
        ),
        (
            "one link unplugged: packets lost",
            |lab, site| lab.unplug(site, Wire::Hot),
            |lab, site| lab.plug(site, Wire::Hot),
        ),
        (
            "both links silent: packets lost",
            |lab, site| Wire::LINKS.iter().try_for_each(|it| lab.cut(site, *it)),
            |lab, site| Wire::LINKS.iter().try_for_each(|it| lab.join(site, *it)),
        ),
        (
            "the spare's lan silent: packets lost",
            |lab, site| lab.cut(site, Wire::Lan),
            |lab, site| lab.join(site, Wire::Lan),
        ),
    ];
    let mut rows = Vec::new();
    for (what, begin, end) in cases {
        rows.push(loss(&pair, what, begin, end)?);
    }
    Ok(rows)
}

fn loss(pair: &Pair, what: &'static str, begin: Change, end: Change) -> Result<Row> {
    let spare = &pair.lab.sites[1];
    let transitions = || -> Result<u64> {
        let status = Spared(&pair.routers()[1]).status()?;
        Ok(status.groups.iter().map(|group| group.transitions).sum())
    };
    let before = transitions()?;
    let from = Stamp::now();
    begin(&pair.lab, spare)?;
    thread::sleep(SPAN);
    end(&pair.lab, spare)?;
    thread::sleep(SPAN);
    let to = Stamp(Stamp::now().0 - 10_000_000);
    let moved = transitions()? - before;
    let lost = pair.through.outage(from, to).lost + pair.gateway.outage(from, to).lost;
    Ok(Row {
        what,
        ours: lost as f64,
        beside: 0.0,
        allowed: (moved == 0).then_some(0.0).or(Some(-1.0)),
        note: format!("{moved} changes of role in {} s", 2 * SPAN.as_secs()),
    })
}
