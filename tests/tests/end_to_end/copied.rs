// SPDX-License-Identifier: MIT OR Apache-2.0
//! A node that was copied: a third machine with the files of one of a pair, which has its name, its keys and
//! its addresses, and is started beside it.

use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::Stamp;
use spared_tests::lab::{Lab, VIRTUAL, Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::probe::{Asker, Control};
use spared_tests::router::{Plan, Router, Spared};

/// Many heartbeats, and several failover times.
const WHILE: Duration = Duration::from_millis(1_500);
const UNNOTICED: Duration = Duration::from_millis(250);

fn plan() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.without_preference();
    plan
}

/// A node's check fails, and the first line of its status says no OK.
fn names_a_second_machine(pair: &Linked<'_>, site: usize) -> bool {
    let status = pair.status(site).unwrap_or_default();
    let fails = |check: &_| matches!(check, spared_message::control::CheckStatus { name, state: 0, .. } if name == "key");
    let said = pair.said(site, &["status"]).unwrap_or_default();
    status.checks.iter().any(fails) && said.0 == 1 && said.1.contains("two machines have")
}

/// The pair, settled, and the copy of one of it, after a while of both.
fn beside_a_copy(lab: &Lab, of_active: bool) -> Result<()> {
    let control = Control::start();
    let pair = Linked::start(lab, &plan())?;
    let active = pair.at()?;
    let _asker = Asker::at_gateway(lab)?;
    let (began, before) = (Stamp::now(), pair.transitions());
    let of = if of_active { active } else { 1 - active };
    let copy = Router::start_copy(lab, &lab.sites[2], &pair.routers[of])?;
    let witness = 1 - of;
    pair.wait("sure that there are two", || {
        names_a_second_machine(&pair, witness)
    })?;
    thread::sleep(WHILE);
    assert_eq!(pair.transitions(), before, "a role moved");
    assert_ne!(Spared(&copy).role(), "active");
    pair.answered(&control, began, VIRTUAL, UNNOTICED)?;
    pair.one_answered(began)
}

#[test]
fn a_copy_of_the_backup_changes_nothing_and_is_named() {
    scenario(3, |lab| beside_a_copy(lab, false));
}

#[test]
fn a_copy_of_the_active_node_changes_nothing_and_is_named() {
    scenario(3, |lab| beside_a_copy(lab, true));
}
