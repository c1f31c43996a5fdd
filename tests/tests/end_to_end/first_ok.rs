// SPDX-License-Identifier: MIT OR Apache-2.0
//! The active node dies in the moment in which a node says OK for the first time, after its backup has joined, has come
//! back, or after one of their electors has begun again: the other one serves within the failover time.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{VIRTUAL, Wire, scenario, signal_to};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::pair::Fault;
use spared_tests::probe::{Asker, Control};
use spared_tests::router::Plan;

const STEP: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(20);
/// Until then a node cannot know that the other one has gone.
const KNOWN: Duration = Duration::from_millis(350);
/// A failover, and a machine that is a little late.
const FAILOVER: Duration = Duration::from_millis(550);

fn plan() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.without_preference();
    plan
}

/// Waits for the first OK of a node, and kills the active one then.
fn die_at_the_first_ok(pair: &mut Linked<'_>, control: &Control, of: usize) -> Result<()> {
    let is_ok = || {
        let said = pair.said(of, &["status"]).unwrap_or_default();
        said.0 == 0 && said.1.starts_with("OK")
    };
    if !poll(LIMIT, STEP, is_ok) {
        return Err(format!("r{} never says OK", of + 1).into());
    }
    let (died, active) = (Stamp::now(), pair.at()?);
    pair.lab.power_off(pair.site(active))?;
    pair.wait("the other one active", || pair.role(1 - active) == "active")?;
    thread::sleep(Duration::from_millis(100));
    pair.answered(control, died, VIRTUAL, FAILOVER)
}

fn after(event: fn(&mut Linked<'_>) -> Result<()>) {
    for of in [0, 1] {
        scenario(2, |lab| {
            let control = Control::start();
            let mut pair = Linked::start(lab, &plan())?;
            let _asker = Asker::at_gateway(lab)?;
            event(&mut pair)?;
            die_at_the_first_ok(&mut pair, &control, of)
        });
    }
}

#[test]
fn a_death_is_answered_in_time_from_the_first_ok_after_the_backup_has_joined() {
    after(|pair| {
        let backup = 1 - pair.at()?;
        pair.routers[backup].shut_down()?;
        thread::sleep(Duration::from_secs(2));
        pair.restart(backup)
    });
}

#[test]
fn a_death_is_answered_in_time_from_the_first_ok_after_the_backup_was_killed() {
    after(|pair| {
        let backup = 1 - pair.at()?;
        pair.begin_fault(Fault::Kill, backup)?;
        thread::sleep(KNOWN);
        pair.restart(backup)
    });
}

/// The elector of a node.
fn crash(pair: &Linked<'_>, site: usize) -> Result<()> {
    let worker = pair.process(site, "vrrp").ok_or("no elector")?;
    signal_to(worker, Signal::KILL)?;
    thread::sleep(KNOWN);
    Ok(())
}

#[test]
fn a_death_is_answered_in_time_from_the_first_ok_after_an_elector_has_crashed() {
    after(|pair| crash(pair, 1 - pair.at()?));
    after(|pair| crash(pair, pair.at()?));
}
