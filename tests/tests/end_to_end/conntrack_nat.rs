// SPDX-License-Identifier: MIT OR Apache-2.0
//! Services behind the virtual address, translated ports, two uplinks, and IPv6: connections from either side
//! survive, as docs/nat.md says.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::flows::{Ends, Eyes, Transfer};
use spared_tests::lab::{CLIENT, Lab, VIRTUAL, Wire, build_dir, scenario};
use spared_tests::pair::Fault;
use spared_tests::router::{Plan, Ruleset, VirtualRouter};
use spared_tests::synced::{PUBLIC, SERVER, Synced, plan};
use spared_verdict::Word;

const RATE: u64 = 3_000_000;
const LIMIT: Duration = Duration::from_secs(8);
const STEP: Duration = Duration::from_millis(50);
const FAULTS: [Fault; 3] = [Fault::Death, Fault::Switch, Fault::Kill];
/// A server beyond the networks of the routers.
const FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// The table of routes through the second uplink, and the port for which it is used.
const SECOND: u16 = 104;

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
            dnat: format!(
                "ip daddr {} tcp dport 8080 dnat ip to {server}",
                Wire::Wan.ipv4(VIRTUAL)
            ),
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

/// The pair's word at a node, and the finding of what a failover loses.
fn lost(pair: &Synced<'_>, site: usize) -> (Word, String) {
    let verdict = pair.status(site).unwrap_or_default().verdict;
    let found = verdict.findings.into_iter().find(|it| it.id == "SP-0404");
    (verdict.word, found.map_or(String::new(), |it| it.text))
}

/// The other router does not have the address that `masquerade` takes.
#[test]
fn what_is_translated_to_a_routers_own_address_is_no_ok_and_to_the_virtual_one_it_is() {
    scenario(2, |lab| {
        let pair = Synced::start(lab, &plan(""), &Ruleset::snat())?;
        let active = pair.active()[0];
        let server = |port| SocketAddr::from((Wire::Wan.ipv4(CLIENT), port));
        let start = |port| Transfer::start(Ends::plain(&lab.lan, &lab.wan, server(port)), RATE);
        let found = |site| lost(&pair, site);
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

#[test]
fn ipv6_translated_to_a_routers_own_address_is_told_with_the_virtual_one() {
    scenario(2, |lab| {
        let rules = Ruleset {
            snat: "oifname wan meta nfproto ipv6 masquerade".to_owned(),
            ..Ruleset::default()
        };
        let pair = Synced::start(lab, &ipv6_plan(), &rules)?;
        let active = pair.active()[0];
        let own = Wire::Wan.ipv6(lab.sites[active].host());
        let server = ipv6(Wire::Wan, CLIENT, 80)?;
        let transfer = Transfer::start(Ends::plain(&lab.lan, &lab.wan, server), RATE)?;
        assert_eq!(transfer.seen.ip().to_string(), own);
        let told = format!(
            "is translated to the node's own address {own} and ends with it: use `snat to {}`",
            Wire::Wan.ipv6(VIRTUAL)
        );
        let is_told = || (0..2).all(|site| lost(&pair, site).1.ends_with(&told));
        assert!(poll(LIMIT, STEP, is_told), "{:?}", lost(&pair, active));
        transfer.finish(LIMIT)
    });
}

/// A server that is reached over wan, and at one port over a second uplink, which is the cable `warm`.
fn lay_second_uplink(lab: &Lab) -> Result<()> {
    lab.sw.add_cable("warm-host", &lab.wan, "warm")?;
    lab.sw.ip("link set warm-host master warm up\n")?;
    let host = Wire::Warm.ipv4(CLIENT);
    lab.wan.ip(&format!(
        "link set warm up\naddr add {host}/24 dev warm\naddr add {FAR}/32 dev lo\n"
    ))?;
    for site in &lab.sites {
        let (own, first) = (Wire::Warm.ipv4(site.host()), Wire::Wan.ipv4(CLIENT));
        site.ns.ip(&format!(
            "addr add {own}/24 dev warm\nroute add {FAR} via {first}\n\
             route add {FAR} via {host} table {SECOND}\nrule add ipproto tcp dport {SECOND} table {SECOND}\n"
        ))?;
        site.ns.set(&[
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/warm/rp_filter", "0"),
        ])?;
    }
    Ok(())
}

#[test]
fn connections_over_two_uplinks_leave_by_the_virtual_address_of_theirs_and_survive() {
    scenario(2, |lab| {
        lay_second_uplink(lab)?;
        let mut plan = plan("");
        plan.link
            .iter_mut()
            .for_each(|it| it.wires = vec![Wire::Hot]);
        plan.routers.push(VirtualRouter::ipv4(Wire::Warm, 53));
        let uplinks = [(Wire::Wan, 80), (Wire::Warm, SECOND)];
        let rules = uplinks.map(|(wire, _)| {
            let (name, address) = (wire.name(), wire.ipv4(VIRTUAL));
            format!("oifname {name} meta nfproto ipv4 snat ip to {address}\n")
        });
        let rules = Ruleset {
            snat: rules.concat(),
            ..Ruleset::default()
        };
        let mut pair = Synced::start(lab, &plan, &rules)?;
        let start = |(wire, port): (Wire, u16)| -> Result<Transfer> {
            let ends = Ends::plain(&lab.lan, &lab.wan, (FAR, port).into());
            let transfer = Transfer::start(ends, RATE)?;
            assert_eq!(transfer.seen.ip(), IpAddr::from(wire.ipv4(VIRTUAL)));
            Ok(transfer)
        };
        let transfers = [start(uplinks[0])?, start(uplinks[1])?];
        let go_on = |what: &str| -> Result<()> {
            for transfer in &transfers {
                let moved = transfer.wait_moves(LIMIT);
                moved.map_err(|error| format!("{what}: {}: {error}", transfer.seen))?;
            }
            Ok(())
        };
        for fault in [Fault::Death, Fault::Switch] {
            let new = pair.strike(fault)?;
            go_on(&format!("after {fault:?}"))?;
            pair.repair(fault, 1 - new)?;
            go_on(&format!("after {fault:?} was repaired"))?;
        }
        for site in [0, 1] {
            assert_eq!(lost(&pair, site).1, "", "r{}", site + 1);
        }
        transfers.into_iter().try_for_each(|it| it.finish(LIMIT))
    });
}

/// Exit code and words of `sparectl check` on a router, by its own files.
fn check(pair: &Synced<'_>, site: usize) -> Result<(Option<i32>, String)> {
    let (ns, dir) = (&pair.lab.sites[site].ns, &pair.routers[site].dir);
    let mut command = ns.command(build_dir()?.join("sparectl"));
    command
        .args(["check", "--config"])
        .arg(dir.join("etc/spared.toml"));
    command.arg("--plugin-dir").arg(dir.join("plugins"));
    let output = command.output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

/// The provider gives one public address, and the gateway is in its network; the routers' own are in another one.
#[test]
fn what_masquerade_translates_to_the_virtual_address_survives_and_is_not_warned_of() {
    scenario(2, |lab| {
        lab.wan.ip(&format!("addr add {FAR}/32 dev lo\n"))?;
        let mut plan = plan("");
        let wan = plan.routers.iter_mut().filter(|it| it.wire == Wire::Wan);
        wan.for_each(|it| it.addresses = vec![format!("{PUBLIC}/24")]);
        for site in &lab.sites {
            site.ns
                .ip(&format!("route add default via {SERVER} dev wan onlink\n"))?;
        }
        let mut pair = Synced::start(lab, &plan, &Ruleset::masquerade())?;
        let eyes = Eyes::open(lab)?;
        let server = SocketAddr::from((FAR, 80));
        let transfer = Transfer::start(Ends::plain(&lab.lan, &lab.wan, server), RATE)?;
        let (own, seen) = (transfer.own, transfer.seen);
        assert_eq!(seen.ip(), IpAddr::from(PUBLIC));
        pair.survive(&transfer, &FAULTS[..2])?;
        for site in [0, 1] {
            // the node that was repaired may be joining still
            let is_ok = || lost(&pair, site) == (Word::Ok, String::new());
            assert!(poll(LIMIT, STEP, is_ok), "{:?}", lost(&pair, site));
            let (code, said) = check(&pair, site)?;
            assert_eq!(code, Some(0), "{said}");
            assert!(!said.contains("ruleset-translation-lost"), "{said}");
        }
        transfer.finish(LIMIT)?;
        eyes.check([own, server], [seen, server]);
        Ok(())
    });
}
