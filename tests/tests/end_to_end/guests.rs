// SPDX-License-Identifier: MIT OR Apache-2.0
//! The example of the manual: a table that both nodes have, over switchovers and restarts.

use spared_tests::Result;
use spared_tests::lab::{Lab, Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::router::{Plan, PluginFile, Spared};

fn start<'l>(lab: &'l Lab, toml: &str) -> Result<Linked<'l>> {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.without_preference();
    plan.plugins.push(PluginFile {
        name: "guests".to_owned(),
        toml: toml.to_owned(),
        file: "libspared_example_guests.so".to_owned(),
    });
    Linked::start(lab, &plan)
}

fn row(pair: &Linked<'_>, site: usize, key: &str) -> String {
    let row = Spared(&pair.routers[site]).row(&["guests"], key);
    match row.unwrap_or_default() {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Both nodes know these guests and no others, and say so.
fn wait_known(pair: &Linked<'_>, guests: &[(&str, &str)]) -> Result<()> {
    pair.wait(&format!("{guests:?} on both nodes"), || {
        [0, 1].into_iter().all(|site| {
            let count = row(pair, site, "guests.records_here");
            let mut guests_here = guests.iter();
            count == guests.len().to_string()
                && guests_here.all(|(name, at)| row(pair, site, &format!("guest.{name}")) == *at)
                && row(pair, site, "guests.state") == "in sync"
        })
    })
}

#[test]
fn whoever_is_admitted_on_either_node_is_a_guest_of_both_whatever_happens_to_one() {
    scenario(2, |lab| {
        let mut pair = start(lab, "")?;
        let active = pair.at()?;
        pair.done(active, &["guests", "admit", "anna", "10.0.0.7"])?;
        pair.done(1 - active, &["guests", "admit", "bert", "10.0.0.8"])?;
        wait_known(&pair, &[("anna", "10.0.0.7"), ("bert", "10.0.0.8")])?;

        pair.switch(active)?;
        pair.wait_active(1 - active)?;
        pair.done(1 - active, &["guests", "dismiss", "anna"])?;
        wait_known(&pair, &[("bert", "10.0.0.8")])?;

        // both come back to an empty table, one after the other
        for site in [active, 1 - active] {
            pair.routers[site].shut_down()?;
            pair.restart(site)?;
            pair.wait_settled()?;
            wait_known(&pair, &[("bert", "10.0.0.8")])?;
        }
        Ok(())
    });
}

#[test]
fn a_node_whose_table_is_full_is_less_fit_and_not_in_sync() {
    scenario(2, |lab| {
        let pair = start(lab, "limit = { r1 = 2, r2 = 1 }\n")?;
        pair.done(0, &["guests", "admit", "anna", "10.0.0.7"])?;
        pair.wait("r1 active", || pair.active() == [0])?;
        pair.done(0, &["guests", "admit", "bert", "10.0.0.8"])?;
        pair.wait("r2 short of a guest", || {
            row(&pair, 1, "guests.state").contains("refused here")
        })?;
        let (_, status) = pair.said(1, &["status"])?;
        assert!(status.contains("guests"), "{status}");
        // what was refused comes when there is room
        pair.done(0, &["guests", "dismiss", "anna"])?;
        wait_known(&pair, &[("bert", "10.0.0.8")])
    });
}
