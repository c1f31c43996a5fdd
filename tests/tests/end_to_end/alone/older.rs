// SPDX-License-Identifier: MIT OR Apache-2.0
//! A node of this build beside one of an older build, whose heartbeats and messages are others: adverts alone
//! say who lives.

use std::env;
use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Lab, VIRTUAL, Wire, scenario, skipped};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::pair::Fault;
use spared_tests::probe::{Asker, Control};
use spared_tests::router::Plan;

const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(20);
const CALM: Duration = Duration::from_millis(1_000);
/// A failover, and as much for a machine that is late.
const FAILOVER: Duration = Duration::from_millis(600);

/// A build that has just begun lets others speak first.
const BEGUN: Duration = Duration::from_secs(6);
/// Until a network that carries again has carried an advert of each.
const HEARD: Duration = INTERVAL.saturating_mul(2);

fn gateway() -> String {
    Wire::Lan.ipv4(VIRTUAL).to_string()
}

/// Site that has the gateway's address, once one had it for a while.
fn holder(lab: &Lab) -> Result<usize> {
    let mut held = Vec::new();
    let one = poll(LIMIT, STEP, || {
        held = lab.holders(&gateway());
        thread::sleep(CALM);
        held.len() == 1 && lab.holders(&gateway()) == held
    });
    match (one, held.as_slice()) {
        (true, [site]) => Ok(*site),
        _ => Err(format!("the gateway's address is at {held:?}").into()),
    }
}

/// Whoever serves is struck, each in its turn, and nobody but the other serves within the bound.
fn strike_in_turns(pair: &mut Linked<'_>, control: &Control, fault: Fault) -> Result<()> {
    for _ in 0..2 {
        let old = holder(pair.lab)?;
        let began = Stamp::now();
        pair.begin_fault(fault, old)?;
        thread::sleep(CALM);
        pair.answered(control, began, VIRTUAL, FAILOVER)?;
        pair.end_fault(fault, old)?;
        let ended = Stamp::now();
        holder(pair.lab)?;
        // Without a path both serve until one hears the other again. A machine that is dead to the other is
        // its cables here, all of them cut.
        let alone = match fault {
            Fault::SilentCut | Fault::Death => ended.after(HEARD),
            _ => began,
        };
        pair.one_answered(alone)?;
        if fault == Fault::Kill {
            thread::sleep(BEGUN);
        }
        println!("round r{} {fault:?}", old + 1);
    }
    Ok(())
}

#[test]
#[ignore = "needs an older build: make soak-older"]
fn a_pair_of_two_builds_fails_over_by_adverts() {
    scenario(2, |lab| {
        let Some(older) = env::var_os("SPARED_OLDER") else {
            return Err(skipped("SPARED_OLDER names no folder of an older build"));
        };
        let control = Control::start();
        let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
        plan.without_preference();
        let mut old = plan.clone();
        old.older = Some(older.into());
        let mut pair = Linked::begin(lab, [plan, old])?;
        holder(lab)?;
        let _asker = Asker::at_gateway(lab)?;
        for fault in [Fault::SilentCut, Fault::Death, Fault::Hang, Fault::Kill] {
            strike_in_turns(&mut pair, &control, fault)?;
        }
        lab.cut(&lab.sites[0], Wire::Hot)?;
        thread::sleep(CALM);
        for fault in [Fault::Hang, Fault::Kill] {
            strike_in_turns(&mut pair, &control, fault)?;
        }
        Ok(())
    });
}
