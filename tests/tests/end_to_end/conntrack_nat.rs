// SPDX-License-Identifier: MIT OR Apache-2.0
//! Services behind the virtual address, translated ports, and IPv6: connections from either side
//! survive.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use spared_pair::Word;
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::flows::{Ends, Eyes, Transfer};
use spared_tests::lab::{CLIENT, VIRTUAL, Wire, scenario};
use spared_tests::pair::Fault;
use spared_tests::router::{Plan, Ruleset, VirtualRouter};
use spared_tests::synced::{Synced, plan};

const RATE: u64 = 3_000_000;
const LIMIT: Duration = Duration::from_secs(8);
const STEP: Duration = Duration::from_millis(50);
const FAULTS: [Fault; 3] = [Fault::Death, Fault::Switch, Fault::Kill];

fn ipv6_plan() -> Plan {
    let mut plan = plan("");
    plan.routers.push(VirtualRouter::ipv6(Wire::Lan, 61));
    plan.routers.push(VirtualRouter::ipv6(Wire::Wan, 62));
    plan
}

fn ipv6(wire: Wire, host: u8, port: u16) -> Result<SocketAddr> {
    Ok(format!("[{}]:{port}", wire.ipv6(host)).parse()?)
}

#[test]
fn a_connection_to_a_service_behind_the_virtual_address_survives() {
    scenario(2, |lab| {
        let public = (Wire::Wan.ipv4(VIRTUAL), 8080).into();
        let server = SocketAddr::from((Wire::Lan.ipv4(CLIENT), 80));
        let rules = Ruleset {
            dnat: format!("iifname wan tcp dport 8080 dnat ip to {server}"),
            ..Ruleset::snat()
        };
        let mut pair = Synced::start(lab, &plan(""), &rules)?;
        let eyes = Eyes::open(lab)?;
        let ends = Ends {
            client: &lab.wan,
            server: &lab.lan,
            to: public,
            at: server,
        };
        let transfer = Transfer::start(ends, RATE)?;
        let own = transfer.own;
        pair.survive(&transfer, &FAULTS)?;
        transfer.finish(LIMIT)?;
        eyes.check([own, server], [own, public]);
        Ok(())
    });
}

#[test]
fn a_service_with_both_ends_translated_survives() {
    scenario(2, |lab| {
        let public = (Wire::Wan.ipv4(VIRTUAL), 8080).into();
        let server = SocketAddr::from((Wire::Lan.ipv4(CLIENT), 80));
        let inside = Wire::Lan.ipv4(VIRTUAL);
        let rules = Ruleset {
            dnat: format!("iifname wan tcp dport 8080 dnat ip to {server}"),
            snat: format!("oifname lan ip protocol tcp snat ip to {inside}:7000-7010"),
            ..Ruleset::default()
        };
        let mut pair = Synced::start(lab, &plan(""), &rules)?;
        let eyes = Eyes::open(lab)?;
        let ends = Ends {
            client: &lab.wan,
            server: &lab.lan,
            to: public,
            at: server,
        };
        let transfer = Transfer::start(ends, RATE)?;
        let (own, seen) = (transfer.own, transfer.seen);
        assert_eq!(seen.ip(), inside);
        pair.survive(&transfer, &FAULTS)?;
        transfer.finish(LIMIT)?;
        eyes.check([seen, server], [own, public]);
        Ok(())
    });
}

/// The other router does not have the address that `masquerade` takes.
#[test]
fn what_is_translated_to_a_routers_own_address_is_no_ok_and_to_the_virtual_one_it_is() {
    scenario(2, |lab| {
        let pair = Synced::start(lab, &plan(""), &Ruleset::snat())?;
        let active = pair.active()[0];
        let server = |port| SocketAddr::from((Wire::Wan.ipv4(CLIENT), port));
        let start = |port| Transfer::start(Ends::plain(&lab.lan, &lab.wan, server(port)), RATE);
        let found = |site| {
            let verdict = pair.status(site).unwrap_or_default().verdict;
            let found = verdict.findings.into_iter().find(|it| it.id == "SP-0404");
            (verdict.word, found.map_or(String::new(), |it| it.text))
        };
        let first = start(80)?;
        let is_known = || pair.number(active, "flows.local") > 0;
        assert!(poll(LIMIT, STEP, is_known), "{}", pair.tables());
        // the first such flow is told within a second
        std::thread::sleep(Duration::from_secs(2));
        for site in [0, 1] {
            assert_eq!(found(site), (Word::Ok, String::new()), "r{}", site + 1);
        }

        pair.site(active).ns.nft(
            "flush chain inet firewall sources\n\
             add rule inet firewall sources oifname wan meta nfproto ipv4 masquerade\n",
        )?;
        let second = start(81)?;
        let own = second.seen.ip();
        assert_ne!(own, IpAddr::from(Wire::Wan.ipv4(VIRTUAL)));
        let is_told = || (0..2).all(|site| !found(site).1.is_empty());
        assert!(poll(LIMIT, STEP, is_told), "{:?}", found(active));
        let told = format!(
            "r{}: 1 of 2 connections is translated to the node's own address {own} and ends with it: use `snat to {}`",
            active + 1,
            Wire::Wan.ipv4(VIRTUAL)
        );
        for site in [0, 1] {
            assert_eq!(found(site), (Word::Warn, told.clone()), "r{}", site + 1);
        }
        first.finish(LIMIT)?;
        second.finish(LIMIT)?;
        Ok(())
    });
}

#[test]
fn ipv6_routed_survives() {
    scenario(2, |lab| {
        let mut pair = Synced::start(lab, &ipv6_plan(), &Ruleset::default())?;
        let eyes = Eyes::open(lab)?;
        let server = ipv6(Wire::Wan, CLIENT, 80)?;
        let transfer = Transfer::start(Ends::plain(&lab.lan, &lab.wan, server), RATE)?;
        let own = transfer.own;
        pair.survive(&transfer, &FAULTS)?;
        transfer.finish(LIMIT)?;
        eyes.check([own, server], [own, server]);
        Ok(())
    });
}

#[test]
fn ipv6_translated_survives() {
    scenario(2, |lab| {
        let rules = Ruleset {
            snat: format!("oifname wan snat ip6 to {}", Wire::Wan.ipv6(VIRTUAL)),
            ..Ruleset::default()
        };
        let mut pair = Synced::start(lab, &ipv6_plan(), &rules)?;
        let eyes = Eyes::open(lab)?;
        let server = ipv6(Wire::Wan, CLIENT, 80)?;
        let transfer = Transfer::start(Ends::plain(&lab.lan, &lab.wan, server), RATE)?;
        let (own, seen) = (transfer.own, transfer.seen);
        assert_ne!(own.ip(), seen.ip(), "not translated");
        pair.survive(&transfer, &FAULTS)?;
        transfer.finish(LIMIT)?;
        eyes.check([own, server], [seen, server]);
        Ok(())
    });
}
