// SPDX-License-Identifier: MIT OR Apache-2.0
//! All cables of a machine go silent at once: heartbeats may cost nothing beside VRRP alone.

use std::time::Duration;

use spared_bench::{Bench, PRIORITIES, Row};
use spared_tests::Result;
use spared_tests::clock::ms;
use spared_tests::lab::Wire;
use spared_tests::pair::{Damage, Fault};
use spared_tests::router::{Kind, Plan};

/// Longest time that the heartbeats may add, in ms.
const HEARTBEATS_MAX_MS: f64 = 3.0;

pub fn silent(bench: &Bench, interval: Duration) -> Result<Vec<Row>> {
    let total = |damage: &Damage| ms(damage.outage.total);
    let alone = PRIORITIES.map(|priority| Plan::gateways(interval, priority));
    let linked = [(); 2].map(|()| Plan::linked(interval, &Wire::LINKS));
    let [alone_ours, keepalived] = bench.duel(&alone, Fault::Death)?;
    let linked = bench.series(Kind::Spared, &linked, Fault::Death)?;
    let (without, theirs) = (alone_ours.median(total), keepalived.median(total));
    Ok(vec![
        Row {
            what: "ms, two links, beside keepalived",
            ours: linked.median(total),
            beside: theirs,
            allowed: Some(without + HEARTBEATS_MAX_MS),
            note: linked.note(total),
        },
        Row {
            what: "ms, without a link, beside keepalived",
            ours: without,
            beside: theirs,
            allowed: None,
            note: alone_ours.note(total),
        },
    ])
}
