// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pair whose spared.toml gives up the fence: nothing of nftables is used, and roles, addresses and
//! switchovers go on.

use std::time::Duration;

use spared_tests::Result;
use spared_tests::lab::{VIRTUAL, Wire, scenario};
use spared_tests::linked::Linked;
use spared_tests::router::Plan;

/// Nothing here is about speed: a busy machine must not make an elector late.
const INTERVAL: Duration = Duration::from_millis(400);

fn plan() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.without_preference();
    if let Some(link) = &mut plan.link {
        link.settings = "fence = \"off\"\n".to_owned();
    }
    plan
}

/// Exactly `site` is active and has the address, and nobody has a table.
fn serves(pair: &Linked<'_>, site: usize) -> Result<()> {
    pair.wait_active(site)?;
    let gateway = Wire::Lan.ipv4(VIRTUAL).to_string();
    pair.wait("the address at the active node alone", || {
        pair.lab.holders(&gateway) == [site]
    })?;
    for place in &pair.lab.sites {
        let output = place.ns.command("nft").args(["list", "tables"]).output()?;
        let tables = String::from_utf8_lossy(&output.stdout);
        assert!(!tables.contains("netdev"), "{}: {tables}", place.name);
    }
    Ok(())
}

#[test]
fn without_a_fence_roles_move_and_no_table_is_made() {
    scenario(2, |lab| {
        let mut pair = Linked::start(lab, &plan())?;
        let first = pair.at()?;
        serves(&pair, first)?;
        for site in [1 - first, first] {
            pair.wait_settled()?;
            pair.switch(1 - site)?;
            serves(&pair, site)?;
        }
        pair.routers[first].kill();
        pair.wait("the other active", || pair.role(1 - first) == "active")?;
        pair.restart(first)?;
        pair.wait_settled()?;
        serves(&pair, 1 - first)
    });
}

#[test]
fn that_the_fence_is_off_is_said_and_no_fault() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        for site in [0, 1] {
            assert_eq!(pair.group(site).fence, "off");
            assert!(pair.status(site)?.verdict.findings.is_empty());
            let (code, text) = pair.said(site, &["status"])?;
            assert_eq!(code, 0, "{text}");
            let row = text
                .lines()
                .find(|line| line.trim_start().starts_with("fence"));
            assert!(row.is_some_and(|row| row.contains("off")), "{text}");
            let (_, text) = pair.said(site, &["why"])?;
            assert!(text.contains("The fence is off"), "{text}");
        }
        Ok(())
    });
}
