// SPDX-License-Identifier: MIT OR Apache-2.0
//! A peer that says garbage: it is counted, costs no advert and no process, and neither a flow of
//! one's own where one is active.

use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::flows::{self, Crowd};
use spared_tests::lab::{Lab, Wire, scenario};
use spared_tests::linked::INTERVAL;
use spared_tests::probe::Control;
use spared_tests::router::{Plan, Ruleset};
use spared_tests::synced::{Synced, plan};

const LIMIT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(50);
const SPAN: Duration = Duration::from_secs(4);

fn garbage(mut plan: Plan) -> Plan {
    plan.plugins[0].file = "examples/libgarbage.so".to_owned();
    plan.plugins[0].toml = String::new();
    plan
}

/// Garbage from r2; r1 is active or not.
fn endure(lab: &Lab, r1_active: bool) -> Result<()> {
    let mut honest = plan("");
    if let Some(link) = &mut honest.link {
        let preferred = if r1_active { "r1" } else { "r2" };
        link.prefer = Some(preferred.to_owned());
    }
    let plans = [honest.clone(), garbage(honest)];
    let control = Control::start();
    let pair = Synced::begin(lab, plans, &Ruleset::default())?;
    pair.wait("one active", || pair.active().len() == 1)?;
    if r1_active {
        pair.wait("r1 active", || pair.role(0) == "active")?;
    }
    let crowd = Crowd {
        mark: 0x5a5a,
        ..Crowd::udp(2000)
    };
    crowd.create(&lab.sites[0].ns)?;
    let worker = pair.worker(0)?;
    let began = Stamp::now();
    let malformed = || pair.number(0, "malformed") > 0;
    assert!(
        poll(LIMIT, STEP, malformed),
        "{}",
        pair.said(0, &["conntrack"])?.1
    );
    thread::sleep(SPAN);
    assert_eq!(pair.worker(0)?, worker, "it was restarted");
    let plugins = pair.status(0)?.plugins;
    assert!(
        plugins.iter().all(|plugin| plugin.restarts == 0),
        "{plugins:?}"
    );
    let active = pair.at()?;
    let worst = pair.watch.worst_spacing(began, active, Wire::Lan);
    control.judge("without an advert", began, worst, INTERVAL * 3)?;
    if r1_active {
        // what it seems to offer may be added, and nothing be changed; a dump may pass over an entry whose neighbour in the
        // same chain goes meanwhile, so what is missing is looked for in another one
        let is_own = |table: &[flows::Entry], number| {
            let own = crowd.tuple(number);
            let found = table
                .iter()
                .find(|it| it.original == own || it.reply == own);
            found.is_some_and(|it| it.original == own && it.mark == crowd.mark)
        };
        let mut missing: Vec<u32> = (0..crowd.count).collect();
        let is_whole = || {
            let table = flows::read(&lab.sites[0].ns).unwrap_or_default();
            missing.retain(|number| !is_own(&table, *number));
            missing.is_empty()
        };
        let is_whole = poll(STEP * 4, STEP, is_whole);
        let missing: Vec<_> = missing.iter().map(|it| crowd.tuple(*it)).collect();
        assert!(is_whole, "{missing:?}");
    }
    Ok(())
}

#[test]
fn a_backup_s_garbage_is_counted_and_costs_the_active_node_nothing() {
    scenario(2, |lab| endure(lab, true));
}

#[test]
fn an_active_node_s_garbage_is_counted_and_costs_no_process() {
    scenario(2, |lab| endure(lab, false));
}
