// SPDX-License-Identifier: MIT OR Apache-2.0
//! Heartbeats: both nodes hear each other over every link, with and without a session, and believe
//! nothing that was recorded or made by somebody else.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Lab, Wire, scenario, signal_to};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::probe::{Injector, Recorder, checksum, ethernet, ipv4, judge};
use spared_tests::router::{Plan, Spared};

const LIMIT: Duration = Duration::from_secs(10);
/// Several heartbeats.
const WHILE: Duration = Duration::from_millis(600);
const UDP: u8 = 17;
const REPEAT: u64 = 3;

fn plan() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &Wire::LINKS);
    plan.without_preference();
    plan
}

/// A counter of a node's link.
fn counter(pair: &Linked<'_>, site: usize, wire: Wire, key: &str) -> u64 {
    let key = format!("link.{}.heartbeats_{key}", wire.name());
    let row = Spared(&pair.routers[site]).row(&["vrrp", "counters"], &key);
    row.ok().and_then(|row| row.as_u64()).unwrap_or_default()
}

fn received(pair: &Linked<'_>) -> [[u64; 2]; 2] {
    [0, 1].map(|site| Wire::LINKS.map(|wire| counter(pair, site, wire, "received")))
}

fn transitions(pair: &Linked<'_>) -> [u64; 2] {
    [0, 1].map(|site| pair.group(site).transitions)
}

/// Both go on hearing each other on both links.
fn both_hear(pair: &Linked<'_>) -> bool {
    let before = received(pair);
    thread::sleep(WHILE);
    let now = received(pair);
    let pairs = before.iter().flatten().zip(now.iter().flatten());
    pairs.into_iter().all(|(before, now)| *now >= before + 3)
}

/// Both have a confirmed key.
fn confirmed(pair: &Linked<'_>) -> bool {
    [0, 1].into_iter().all(|site| {
        let row = Spared(&pair.routers[site]).row(&["vrrp", "status"], "heartbeats.key");
        row.is_ok_and(|row| row.as_str() == Some("confirmed"))
    })
}

/// The next heartbeat that r1 sends over a link, as a whole frame.
fn record(lab: &Lab, wire: Wire) -> Result<Vec<u8>> {
    let recorder = Recorder::new(&lab.sw, &format!("r1-{}", wire.name()))?;
    let source = wire.ipv4(11).octets();
    let found = recorder.find(LIMIT, |frame| {
        frame.get(26..30) == Some(&source[..])
            && frame.get(23) == Some(&UDP)
            && heartbeat(frame).starts_with(b"SPBT")
    });
    found.ok_or_else(|| format!("no heartbeat on {}", wire.name()).into())
}

/// Behind Ethernet, IPv4 and UDP.
fn heartbeat(frame: &[u8]) -> &[u8] {
    frame.get(14 + 20 + 8..).unwrap_or_default()
}

/// A heartbeat as r1 would send it to r2 on a link.
fn addressed(wire: Wire, heartbeat: &[u8]) -> Vec<u8> {
    let (from, to): (Ipv4Addr, Ipv4Addr) = (wire.ipv4(11), wire.ipv4(12));
    let length = u16::try_from(8 + heartbeat.len()).unwrap_or(u16::MAX);
    let length = length.to_be_bytes();
    let mut datagram = [&[0x0e, 0xc4, 0x0e, 0xc4], &length[..], &[0, 0], heartbeat].concat();
    let sum = checksum(&[&from.octets(), &to.octets(), &[0, UDP], &length, &datagram]);
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    let packet = ipv4(from, to, UDP, 64, &datagram);
    ethernet(wire.mac(12), wire.mac(11), 0x0800, &packet)
}

#[test]
fn nodes_hear_each_other_over_both_links_with_a_session_and_without() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        assert!(both_hear(&pair));
        let before = transitions(&pair);
        let links = [0, 1].map(|site| pair.process(site, "link"));
        for pid in links.into_iter().flatten() {
            signal_to(pid, Signal::STOP)?;
        }
        assert!(both_hear(&pair));
        for pid in links.into_iter().flatten() {
            signal_to(pid, Signal::KILL)?;
        }
        assert!(both_hear(&pair));
        pair.wait_settled()?;
        assert!(both_hear(&pair));
        assert_eq!(transitions(&pair), before);
        for site in [0, 1] {
            for wire in Wire::LINKS {
                for reason in ["forged", "replayed", "other_path", "malformed", "datagram"] {
                    let key = format!("dropped.{reason}");
                    assert_eq!(
                        counter(&pair, site, wire, &key),
                        0,
                        "{site} {wire:?} {reason}"
                    );
                }
            }
        }
        Ok(())
    });
}

#[test]
fn one_link_carries_what_the_other_loses() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        let before = transitions(&pair);
        lab.cut(&lab.sites[0], Wire::Hot)?;
        thread::sleep(WHILE);
        let [silent, heard] = received(&pair)[1];
        thread::sleep(WHILE);
        let now = received(&pair)[1];
        assert_eq!(now[0], silent);
        assert!(now[1] >= heard + 3);
        lab.join(&lab.sites[0], Wire::Hot)?;
        assert!(both_hear(&pair));
        assert_eq!(transitions(&pair), before);
        Ok(())
    });
}

/// Both go on hearing each other on the lan.
fn both_hear_on_the_lan(pair: &Linked<'_>) -> bool {
    let heard = || {
        [0, 1].map(|site| {
            let key = "network.lan.heartbeats_received";
            let row = Spared(&pair.routers[site]).row(&["vrrp", "counters"], key);
            row.ok().and_then(|row| row.as_u64()).unwrap_or_default()
        })
    };
    let before = heard();
    thread::sleep(WHILE);
    let now = heard();
    before
        .iter()
        .zip(now)
        .all(|(before, now)| now >= before + 3)
}

#[test]
fn nodes_hear_each_other_on_the_networks_when_no_link_is_left() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        assert!(both_hear_on_the_lan(&pair));
        let before = transitions(&pair);
        for wire in Wire::LINKS {
            lab.cut(&lab.sites[0], wire)?;
        }
        thread::sleep(WHILE);
        let silent = received(&pair);
        assert!(both_hear_on_the_lan(&pair));
        assert_eq!(received(&pair), silent);
        assert_eq!(transitions(&pair), before);
        Ok(())
    });
}

/// Groups beside the pair's own one: more than a datagram has room for.
const MORE: u8 = 59;

fn more_groups() -> String {
    let group = |n: u8| {
        format!(
            "[[group]]\nname = \"more{n}\"\nadvert_interval = \"100ms\"\n[[group.interface]]\n\
             interface = \"lan\"\nvrid = {}\naddresses = [\"10.1.0.{}/24\"]\n",
            100 + n,
            100 + n
        )
    };
    (1..=MORE).map(group).collect()
}

#[test]
fn many_groups_share_their_heartbeats_and_fail_over_together() {
    scenario(2, |lab| {
        let mut plan = plan();
        plan.sections = more_groups();
        let mut pair = Linked::start(lab, &plan)?;
        let all = usize::from(MORE) + 1;
        let has_all = |pair: &Linked<'_>, site: usize| {
            let groups = pair.status(site).map(|status| status.groups);
            let groups = groups.unwrap_or_default();
            groups.iter().filter(|group| group.role == "active").count() == all
        };
        let step = Duration::from_millis(100);
        let found = poll(LIMIT, step, || has_all(&pair, 0) || has_all(&pair, 1));
        assert!(found, "{:?}", [pair.status(0), pair.status(1)]);
        let first = usize::from(!has_all(&pair, 0));
        let sent = |pair: &Linked<'_>| [0, 1].map(|site| counter(pair, site, Wire::Hot, "sent"));
        // when nothing changes any more: two parts each time, and room for a machine that is slow to ask
        let is_shared = || {
            let before = sent(&pair);
            thread::sleep(Duration::from_secs(1));
            let now = sent(&pair);
            let within = [now[0] - before[0], now[1] - before[1]];
            within.iter().all(|sent| (16..=30).contains(sent))
        };
        assert!(poll(LIMIT, step, is_shared), "{:?}", sent(&pair));
        pair.routers[first].shut_down()?;
        let moved = poll(LIMIT, step, || has_all(&pair, 1 - first));
        assert!(moved, "{:?}", pair.status(1 - first));
        Ok(())
    });
}

#[test]
fn recorded_and_forged_heartbeats_are_counted_and_change_nothing() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        let before = transitions(&pair);
        let recorded = record(lab, Wire::Hot)?;
        let mut forged = heartbeat(&recorded).to_vec();
        // the group's id, behind the header that says whose it is
        forged[44] ^= 1;
        for (wire, reason, frame) in [
            (Wire::Hot, "replayed", recorded.clone()),
            (Wire::Hot, "forged", addressed(Wire::Hot, &forged)),
            (
                Wire::Warm,
                "other_path",
                addressed(Wire::Warm, heartbeat(&recorded)),
            ),
            (Wire::Hot, "malformed", addressed(Wire::Hot, b"SPBT")),
        ] {
            let port = format!("r2-{}", wire.name());
            let injector = Injector::new(&lab.sw, &port)?;
            for _ in 0..REPEAT {
                injector.send(&frame)?;
            }
            let key = format!("dropped.{reason}");
            pair.wait(reason, || counter(&pair, 1, wire, &key) == REPEAT)?;
        }
        assert!(both_hear(&pair));
        assert_eq!(transitions(&pair), before);
        Ok(())
    });
}

#[test]
fn a_restarted_plugin_is_heard_under_its_new_key() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        let worker = pair.process(1, "vrrp").ok_or("no vrrp worker")?;
        signal_to(worker, Signal::KILL)?;
        pair.wait("another worker", || {
            pair.process(1, "vrrp").is_some_and(|pid| pid != worker)
        })?;
        pair.wait_settled()?;
        assert!(both_hear(&pair));
        assert!(confirmed(&pair));
        Ok(())
    });
}

/// A passphrase and two networks.
fn keyed() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[]);
    plan.without_preference();
    if let Some(link) = &mut plan.link {
        link.secret = Some("a passphrase of many words".to_owned());
    }
    plan
}

fn heard_on_networks(pair: &Linked<'_>) -> Vec<u64> {
    let sites = [0, 1].into_iter();
    let paths = sites.flat_map(|site| Wire::BOTH.map(|wire| (site, wire)));
    let heard = paths.map(|(site, wire)| {
        let key = format!("network.{}.heartbeats_received", wire.name());
        let row = Spared(&pair.routers[site]).row(&["vrrp", "counters"], &key);
        row.ok().and_then(|row| row.as_u64()).unwrap_or_default()
    });
    heard.collect()
}

/// On every network each goes on hearing the other.
fn networks_carry(pair: &Linked<'_>) -> bool {
    let before = heard_on_networks(pair);
    thread::sleep(WHILE);
    let now = heard_on_networks(pair);
    before
        .iter()
        .zip(now)
        .all(|(before, now)| now >= before + 3)
}

#[test]
fn a_pair_without_a_link_agrees_on_keys_over_its_networks() {
    scenario(2, |lab| {
        let mut pair = Linked::begin(lab, [keyed(), keyed()])?;
        pair.wait("one active", || pair.active().len() == 1)?;
        pair.wait("keys", || confirmed(&pair))?;
        assert!(networks_carry(&pair));
        let active = pair.at()?;
        let before = transitions(&pair);
        let worker = pair.process(1 - active, "vrrp").ok_or("no vrrp worker")?;
        signal_to(worker, Signal::KILL)?;
        pair.wait("another worker", || {
            let process = pair.process(1 - active, "vrrp");
            process.is_some_and(|pid| pid != worker)
        })?;
        let (begun, starved) = (Instant::now(), pair.starved());
        let old = heard_on_networks(&pair);
        pair.wait("keys again", || {
            let now = heard_on_networks(&pair);
            // the new worker counts from 0, the old one goes on
            let rises = |site: usize| (0..2).all(|at| now[2 * site + at] > old[2 * site + at]);
            confirmed(&pair) && rises(0) && rises(1)
        })?;
        let late = pair.starved().saturating_sub(starved);
        judge("keys again", begun.elapsed(), Duration::from_secs(2), late)?;
        assert!(networks_carry(&pair));
        assert_eq!(
            (pair.at()?, transitions(&pair)[active]),
            (active, before[active])
        );
        // a death is noticed as always
        pair.routers[active].kill();
        pair.watch
            .wait_active(1 - active, Wire::Lan, INTERVAL * 5, LIMIT)
    });
}

#[test]
fn a_pair_that_boots_without_its_link_agrees_over_its_networks() {
    scenario(2, |lab| {
        lab.cut(&lab.sites[0], Wire::Hot)?;
        let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
        plan.without_preference();
        let pair = Linked::begin(lab, [plan.clone(), plan])?;
        pair.wait("keys", || confirmed(&pair))?;
        assert!(networks_carry(&pair));
        lab.join(&lab.sites[0], Wire::Hot)?;
        pair.wait_settled()
    });
}

#[test]
fn a_link_that_a_reload_brings_is_used_at_once() {
    scenario(2, |lab| {
        let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
        plan.without_preference();
        let pair = Linked::start(lab, &plan)?;
        let [first, second] = [11, 12].map(|host| Wire::Warm.ipv4(host));
        let warm = format!(
            "\n[[link]]\ninterface = \"warm\"\n\
             address = {{ r1 = \"{first}/24\", r2 = \"{second}/24\" }}\n"
        );
        for site in [0, 1] {
            let file = pair.routers[site].dir.join("etc/spared.toml");
            let text = std::fs::read_to_string(&file)?;
            std::fs::write(&file, text + &warm)?;
            pair.done(site, &["reload"])?;
        }
        pair.wait("heartbeats on both links", || both_hear(&pair))?;
        pair.wait_settled()
    });
}
