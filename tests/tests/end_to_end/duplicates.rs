// SPDX-License-Identifier: MIT OR Apache-2.0
//! Virtual addresses that are where they should not be: on a third machine, and on a node as if they were its own.

use std::time::{Duration, Instant};

use spared_tests::clock::Stamp;
use spared_tests::lab::{EYE, VIRTUAL, Wire, disturbed, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::probe::Control;
use spared_tests::router::{Plan, Spared, VirtualRouter};
use spared_verdict::Finding;

/// Within which both nodes name the machine.
const NAMED: Duration = Duration::from_secs(5);

fn findings(pair: &Linked, site: usize) -> Vec<Finding> {
    let status = pair.status(site).unwrap_or_default();
    status.verdict.findings
}

/// Duplicate of an address, as the node itself reports it.
fn seen_by(pair: &Linked, site: usize, address: &str) -> Option<String> {
    let key = format!("office.address.{address}.duplicate");
    let row = Spared(&pair.routers[site]).row(&["vrrp", "status"], &key);
    Some(row.ok()?.as_str()?.to_owned())
}

#[test]
fn another_machine_with_a_virtual_address_is_named_by_both_nodes_until_it_is_gone() {
    scenario(2, |lab| {
        let control = Control::start();
        let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
        plan.routers.push(VirtualRouter::ipv6(Wire::Lan, 53));
        let pair = Linked::start(lab, &plan)?;
        let before = pair.transitions();
        let addresses = [Wire::Lan.ipv4(VIRTUAL).to_string(), Wire::Lan.ipv6(VIRTUAL)];
        let change = |verb: &str| {
            let [ipv4, ipv6] = &addresses;
            lab.eye.ip(&format!(
                "addr {verb} {ipv4}/32 dev lan\naddr {verb} {ipv6}/128 dev lan nodad"
            ))
        };
        change("add")?;
        let (began, begun) = (Instant::now(), Stamp::now());
        let mac = Wire::Lan
            .mac(EYE)
            .map(|byte| format!("{byte:02x}"))
            .join(":");
        let wanted = format!("{mac} on lan");
        pair.wait("named", || {
            let mut all = (0..2).flat_map(|site| addresses.iter().map(move |it| (site, it)));
            all.all(|(site, it)| seen_by(&pair, site, it).as_ref() == Some(&wanted))
        })?;
        let took = began.elapsed();
        let late = control.worst_since(begun);
        match (took <= NAMED, late > Duration::from_millis(25)) {
            (false, true) => return Err(disturbed(format!("control {late:?} late"))),
            (is_soon, _) => assert!(is_soon, "{took:?}"),
        }
        for site in 0..2 {
            let found = findings(&pair, site);
            let named = found.iter().filter(|it| it.id == "SP-0109");
            let named = named.filter(|it| it.text.contains(&mac));
            assert_eq!(named.count(), addresses.len(), "{found:?}");
            let events = pair.done(site, &["events"])?;
            let said = format!("another machine ({mac}) answers for ");
            assert!(events.contains(&said), "{events}");
        }
        change("del")?;
        pair.wait("gone", || {
            (0..2).all(|site| findings(&pair, site).is_empty())
        })?;
        assert_eq!(pair.transitions(), before);

        let [own, copy] = [lab.sites[1].host(), VIRTUAL].map(|host| Wire::Lan.ipv4(host));
        lab.sites[1].ns.ip(&format!(
            "addr del {own}/24 dev lan\naddr add {copy}/24 dev lan"
        ))?;
        let is_bare = |it: &Finding| {
            let says = format!("{copy}/24 there is a virtual address of group office");
            it.id == "SP-0204" && it.node == "r2" && it.text.contains(&says)
        };
        pair.wait("bare", || {
            (0..2).all(|site| findings(&pair, site).iter().any(is_bare))
        })?;
        // neither cables nor a machine are to blame
        let found = findings(&pair, 0);
        let blames = |it: &Finding| ["SP-0205", "SP-0109"].contains(&it.id.as_str());
        assert!(!found.iter().any(blames), "{found:?}");
        assert_eq!(pair.transitions(), before);
        Ok(())
    });
}
