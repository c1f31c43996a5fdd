// SPDX-License-Identifier: MIT OR Apache-2.0
//! The link between two nodes: what peers say to each other arrives once and in order, whatever
//! happens to the paths; strangers are refused; versions may differ.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Relay, Wire, scenario, signal_to};
use spared_tests::linked::{INTERVAL, Linked, peer};
use spared_tests::router::{Plan, PluginFile};

const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(50);

fn plan() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &Wire::LINKS);
    plan.without_preference();
    plan.plugins.push(peer(""));
    plan
}

fn faults(pair: &Linked<'_>, site: usize) -> [u64; 3] {
    ["gaps", "repeats", "corrupt"].map(|key| pair.peer(site, key))
}

/// Whatever `count` more messages of r1's go through arrive at r2.
fn arrive(pair: &Linked<'_>, count: u64) -> Result<()> {
    let wanted = pair.peer(1, "received") + count;
    pair.done(0, &["messenger", "flood", &count.to_string(), "4000"])?;
    pair.wait("everything there", || pair.peer(1, "received") >= wanted)
}

#[test]
fn every_message_arrives_once_while_paths_come_and_go() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        let count = 60_000;
        let wanted = pair.peer(1, "received") + count;
        pair.done(0, &["messenger", "flood", &count.to_string(), "4000"])?;
        let (r1, r2) = (&lab.sites[0], &lab.sites[1]);
        lab.cut(r1, Wire::Hot)?;
        thread::sleep(Duration::from_millis(900));
        lab.join(r1, Wire::Hot)?;
        lab.unplug(r2, Wire::Warm)?;
        thread::sleep(Duration::from_millis(900));
        lab.plug(r2, Wire::Warm)?;
        lab.lose(r1, Wire::Hot, 20, 20)?;
        thread::sleep(Duration::from_millis(900));
        for wire in Wire::LINKS {
            lab.cut(r2, wire)?;
        }
        thread::sleep(Duration::from_millis(900));
        for wire in Wire::LINKS {
            lab.join(r2, wire)?;
        }
        thread::sleep(Duration::from_millis(300));
        lab.fix(r1, Wire::Hot)?;
        let there = || pair.peer(1, "received") >= wanted;
        assert!(
            poll(LIMIT * 2, STEP, there),
            "{} of {wanted}",
            pair.peer(1, "received")
        );
        assert_eq!(faults(&pair, 1), [0; 3]);
        assert_eq!(pair.active().len(), 1);
        pair.wait_settled()
    });
}

#[test]
fn a_link_of_200_ms_carries_everything_and_one_is_active() {
    scenario(2, |lab| {
        let sites = [&lab.sites[0], &lab.sites[1]];
        let _cable = Relay::start(sites, "far", Duration::from_millis(100))?;
        let mut plan = plan();
        if let Some(link) = &mut plan.link {
            link.wires.clear();
            link.extra = "[[link]]\ninterface = \"far\"\n\
                          address = { r1 = \"fd09::1/64\", r2 = \"fd09::2/64\" }\n"
                .to_owned();
        }
        let pair = Linked::start(lab, &plan)?;
        arrive(&pair, 500)?;
        assert_eq!(faults(&pair, 1), [0; 3]);
        let path = pair.status(0)?.links.into_iter().next();
        let round_trip_ms = path.and_then(|path| path.round_trip_ms);
        assert!(
            round_trip_ms.is_some_and(|ms| ms >= 199.0),
            "{round_trip_ms:?}"
        );
        let active = pair.at()?;
        pair.switch(active)?;
        pair.wait_active(1 - active)?;
        pair.wait_settled()
    });
}

#[test]
fn a_killed_link_process_is_back_and_peers_with_it() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        for site in [0, 1] {
            let before = [0, 1].map(|site| pair.group(site).transitions);
            let link = pair.process(site, "link").ok_or("no link process")?;
            signal_to(link, Signal::KILL)?;
            pair.wait("another link process", || {
                pair.process(site, "link").is_some_and(|pid| pid != link)
            })?;
            pair.wait_settled()?;
            arrive(&pair, 500)?;
            assert_eq!(before, [0, 1].map(|site| pair.group(site).transitions));
        }
        Ok(())
    });
}

#[test]
fn a_wrong_key_and_a_wrong_passphrase_are_refused_while_vrrp_goes_on() {
    scenario(2, |lab| {
        let secret = |text: &str| {
            let mut plan = plan();
            if let Some(link) = &mut plan.link {
                link.secret = Some(text.to_owned());
            }
            plan
        };
        let pair = Linked::begin(
            lab,
            [
                secret("correct horse battery"),
                secret("correct horse batterz"),
            ],
        )?;
        pair.wait("one active by VRRP", || pair.active().len() == 1)?;
        pair.wait("the refusal in both nodes' words", || {
            (0..2).all(|site| {
                let status = pair.status(site).unwrap_or_default();
                let refused: u64 = status.links.iter().map(|link| link.refused).sum();
                let why = status.links.iter().any(|link| !link.why.is_empty());
                refused > 0 || why
            })
        })?;
        assert!((0..2).all(|site| {
            let peer = pair.status(site).ok().and_then(|status| status.peer);
            peer.is_some_and(|peer| !peer.up)
        }));
        Ok(())
    });
}

#[test]
fn one_passphrase_on_both_joins_them() {
    scenario(2, |lab| {
        let mut plan = plan();
        if let Some(link) = &mut plan.link {
            link.secret = Some("a long-winded shared secret".to_owned());
        }
        let pair = Linked::start(lab, &plan)?;
        arrive(&pair, 100)
    });
}

#[test]
fn another_version_of_a_plugin_speaks_or_refuses_in_a_sentence() {
    scenario(2, |lab| {
        for (version, speaks) in [("next", true), ("later", false)] {
            let mut other = plan();
            other.plugins = vec![peer(version)];
            let pair = Linked::begin(lab, [plan(), other])?;
            pair.wait("one active", || pair.active().len() == 1)?;
            if speaks {
                pair.wait_settled()?;
                arrive(&pair, 100)?;
                continue;
            }
            pair.wait("a sentence about it", || {
                let findings = pair.status(0).unwrap_or_default().verdict.findings;
                let mut refused = findings.iter().filter(|it| it.id == "SP-0302");
                refused.any(|it| it.thing == "messenger")
            })?;
            let (_, text) = pair.said(0, &["status"])?;
            assert!(text.contains("supports wire versions"), "{text}");
        }
        Ok(())
    });
}

#[test]
fn strangers_on_the_port_cost_the_session_nothing() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        let before = pair.peer(1, "received");
        pair.done(0, &["messenger", "flood", "20000", "4000"])?;
        // from the peer's own address, on the port: whoever of the two listens
        let strangers = |site: usize| -> Result<()> {
            let there = Wire::Hot.ipv4(lab.sites[1 - site].host());
            lab.sites[site].ns.run(|| {
                let mut open = Vec::new();
                for number in 0..40u8 {
                    let to = (there, 3780).into();
                    let Ok(mut stream) =
                        TcpStream::connect_timeout(&to, Duration::from_millis(300))
                    else {
                        continue;
                    };
                    stream.set_write_timeout(Some(Duration::from_millis(100)))?;
                    match number % 4 {
                        // half open, slow, garbage, and gone
                        0 => open.push(stream),
                        1 => {
                            let _ = stream.write(&[0x16]);
                            open.push(stream);
                        }
                        2 => {
                            let _ = stream.write_all(&[number; 4096]);
                            let _ = stream.read(&mut [0; 64]);
                        }
                        _ => drop(stream),
                    }
                }
                thread::sleep(Duration::from_millis(500));
                Ok(())
            })
        };
        strangers(0)?;
        strangers(1)?;
        pair.wait("everything there", || {
            pair.peer(1, "received") >= before + 20_000
        })?;
        assert_eq!(faults(&pair, 1), [0; 3]);
        for site in [0, 1] {
            assert!(pair.status(site)?.peer.is_some_and(|peer| peer.up));
        }
        Ok(())
    });
}

/// A node's ruleset, from `nftables.conf`: what nobody allowed is dropped.
const STRICT: &str = "flush ruleset
table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state invalid drop
        ct state established,related accept
    }
    chain forward {
        type filter hook forward priority filter; policy accept;
        ct state invalid drop
    }
    chain outbound {
        type nat hook postrouting priority srcnat;
        oifname \"wan\" snat ip to 10.2.0.1
    }
}
";

/// JSON that nft 1.0.6 prints of tables with an owner, as the fence has one, depends on its memory.
#[test]
fn the_rule_of_the_link_is_put_in_and_back_beside_a_fence() {
    scenario(2, |lab| {
        for site in &lab.sites {
            site.ns.nft(STRICT)?;
        }
        let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
        plan.without_preference();
        if let Some(link) = &mut plan.link {
            link.extra = "[firewall]\nchain = \"inet filter input\"\n".to_owned();
        }
        let pair = Linked::start(lab, &plan)?;
        let active = &lab.sites[pair.at()?].ns;
        let has_rule = || {
            let listed = active
                .command("nft")
                .args(["list", "chain", "inet", "filter", "input"])
                .output();
            let comment = "comment \"spared: link\"";
            listed.is_ok_and(|it| String::from_utf8_lossy(&it.stdout).contains(comment))
        };
        pair.wait("the link's rule", has_rule)?;
        active.nft(STRICT)?;
        pair.wait("the link's rule, after a reload of the ruleset", has_rule)?;
        pair.wait_settled()
    });
}

mod alone {
    use super::*;

    #[test]
    fn bulk_of_one_plugin_does_not_hold_up_the_elector_s_words() {
        scenario(2, |lab| {
            let mut plan = plan();
            plan.plugins.push(PluginFile {
                name: "health".to_owned(),
                toml: String::new(),
                file: "libspared_health.so".to_owned(),
            });
            let pair = Linked::start(lab, &plan)?;
            pair.done(0, &["messenger", "flood", "40000", "60000"])?;
            thread::sleep(Duration::from_millis(200));
            // asked over the link, in the midst of it
            let mut times = Vec::new();
            for _ in 0..20 {
                let begun = Instant::now();
                pair.done(0, &["--node", "r2", "plugins"])?;
                times.push(begun.elapsed());
            }
            times.sort();
            assert!(times[10] < Duration::from_millis(100), "{times:?}");
            assert_eq!(faults(&pair, 1), [0; 3]);
            Ok(())
        });
    }
}

/// Heartbeats pass, and so does the start of a session. On Linux a port drops what is longer than its MTU and a VLAN tag.
#[test]
fn a_path_that_is_narrower_than_the_mtu_is_named_with_the_size_that_passes() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        let (active, before) = (pair.at()?, pair.transitions());
        lab.narrow(&lab.sites[1], Wire::Hot, 1400)?;
        let wanted = "messages of 1500 bytes do not pass on link hot between r1 and r2; 1404 do";
        let says = |site: usize, what: &str| {
            let status = pair.said(site, &["status"]).unwrap_or_default();
            status.1.contains(what)
        };
        pair.wait("both say it", || (0..2).all(|site| says(site, wanted)))?;
        let remedy = "ip link set hot mtu 1404";
        assert!(says(0, remedy), "{}", pair.said(0, &["status"])?.1);
        // the other link carries everything
        arrive(&pair, 500)?;
        for site in &lab.sites[..2] {
            site.ns.ip("link set hot mtu 1404\n")?;
        }
        let ok = |site| pair.said(site, &["probe"]).is_ok_and(|said| said.0 == 0);
        pair.wait("well with the lower MTU", || ok(0) && ok(1))?;
        arrive(&pair, 500)?;
        assert_eq!((pair.at()?, pair.transitions()), (active, before));
        assert_eq!(faults(&pair, 1), [0; 3]);
        Ok(())
    });
}
