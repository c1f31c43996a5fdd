// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attributes of a flow other than its ends arrive with it: zones, labels, marks, helpers. Flows of every protocol
//! arrive.

use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::flows::{self, Crowd, Ends, Entry, Questions, Session, Tuple};
use spared_tests::lab::{CLIENT, Wire, scenario};
use spared_tests::pair::Fault;
use spared_tests::router::Ruleset;
use spared_tests::synced::{Synced, plan};

const ANSWER: Duration = Duration::from_secs(4);
const STEP: Duration = Duration::from_millis(20);

/// The flow to this port, on a router.
fn to_port(pair: &Synced<'_>, site: usize, port: u16) -> Result<Entry> {
    let mut found = None;
    poll(ANSWER, STEP, || {
        let table = pair.table(site).unwrap_or_default();
        let mut fitting = table.into_iter();
        found = fitting.find(|entry| entry.original.destination_port == port);
        found.is_some()
    });
    found.ok_or_else(|| format!("r{}: no flow to port {port}", site + 1).into())
}

#[test]
fn zones_labels_and_marks_arrive_and_questions_in_them_go_on() {
    scenario(2, |lab| {
        let rules = Ruleset {
            raw: "udp dport 6001 ct zone set 3\nudp sport 6001 ct zone set 3\n\
                  iifname lan udp dport 6002 ct original zone set 4"
                .to_owned(),
            mangle: "udp dport 6003 ct mark set 0x40001234\nudp dport 6004 ct label set 5\n\
                     udp dport 6004 ct label set 100\n\
                     udp dport 6005 ct state established ct mark set 0x77"
                .to_owned(),
            ..Ruleset::snat()
        };
        let mut pair = Synced::start(lab, &plan(""), &rules)?;
        let open = |port| {
            let server = (Wire::Wan.ipv4(CLIENT), port).into();
            Questions::open(Ends::plain(&lab.lan, &lab.wan, server))
        };
        let mut all: Vec<Questions> = (6001..=6005).map(open).collect::<Result<_>>()?;
        for questions in &mut all {
            // the second makes it established
            questions.ask(ANSWER)?;
            questions.ask(ANSWER)?;
        }
        pair.wait_equal()?;
        let (old, backup) = (pair.at()?, 1 - pair.at()?);
        let at = |port| to_port(&pair, backup, port);
        assert_eq!(at(6001)?.zone, 3);
        let one_way = at(6002)?;
        let zones = (one_way.zone, one_way.original.zone, one_way.reply.zone);
        assert_eq!(zones, (0, 4, 0), "{one_way}");
        assert_eq!(at(6003)?.mark, 0x4000_1234);
        let labels = u128::from_le_bytes(at(6004)?.labels);
        assert_eq!(labels, 1 << 5 | 1 << 100, "{labels:#x}");
        assert_eq!(at(6005)?.mark, 0x77, "set after it was made");
        pair.strike(Fault::Death)?;
        for questions in &mut all {
            questions.ask(ANSWER)?;
            assert_eq!(questions.seen().len(), 1, "{:?}", questions.seen());
        }
        pair.repair(Fault::Death, old)?;
        pair.wait_equal()
    });
}

#[test]
fn a_mark_that_is_taken_away_is_taken_away_there_too() {
    scenario(2, |lab| {
        let pair = Synced::start(lab, &plan(""), &Ruleset::default())?;
        let active = pair.at()?;
        let crowd = Crowd {
            mark: 0x55,
            ..Crowd::udp(100)
        };
        let has = |mark| move |entry: &Entry| entry.mark == mark && Crowd::has(entry);
        crowd.create(&lab.sites[active].ns)?;
        pair.wait_holds(1 - active, 100, has(0x55))?;
        Crowd { mark: 0, ..crowd }.update(&lab.sites[active].ns)?;
        pair.wait_holds(1 - active, 100, has(0))
    });
}

#[test]
fn every_protocol_arrives() {
    const PROTOCOLS: [(&str, u8); 7] = [
        ("ICMP", 1),
        ("TCP", 6),
        ("UDP", 17),
        ("DCCP", 33),
        ("GRE", 47),
        ("ESP", 50),
        ("SCTP", 132),
    ];
    scenario(2, |lab| {
        let pair = Synced::start(lab, &plan(""), &Ruleset::default())?;
        let active = pair.at()?;
        let [from, to] = [Wire::Lan, Wire::Wan].map(|wire| wire.ipv4(CLIENT));
        for (name, protocol) in PROTOCOLS {
            let (source_port, destination_port) = match name {
                // an identifier, and an echo request
                "ICMP" => (7, 8 << 8),
                // what has no ports for the kernel
                "ESP" | "DCCP" => (0, 0),
                _ => (1234, 4321),
            };
            let original = Tuple::new(protocol, (from, source_port), (to, destination_port));
            let mut reply = original.inverse();
            if name == "ICMP" {
                (reply.source_port, reply.destination_port) = (7, 0);
            }
            let mut entry = Entry::new(original, reply, 3600);
            if matches!(name, "TCP" | "SCTP") {
                // established, as either calls it
                entry.state = if name == "TCP" { 3 } else { 4 };
            }
            flows::create(&lab.sites[active].ns, &entry)?;
        }
        let ipv6 = Crowd {
            ipv6: true,
            ..Crowd::udp(10)
        };
        ipv6.create(&lab.sites[active].ns)?;
        pair.wait_equal()?;
        let there = pair.table(1 - active)?;
        for (name, protocol) in PROTOCOLS {
            let count = |entry: &&Entry| entry.original.protocol == protocol;
            assert!(there.iter().any(|entry| count(&entry)), "{name} is missing");
        }
        Ok(())
    });
}

#[test]
fn a_helper_and_who_belongs_to_whom_arrive() {
    scenario(2, |lab| {
        let rules = Ruleset {
            objects: "ct helper ftp { type \"ftp\" protocol tcp; l3proto ip; }".to_owned(),
            mangle: "tcp dport 21 ct helper set \"ftp\"".to_owned(),
            ..Ruleset::snat()
        };
        let pair = Synced::start(lab, &plan(""), &rules)?;
        let server = (Wire::Wan.ipv4(CLIENT), 21).into();
        let ends = Ends::plain(&lab.lan, &lab.wan, server);
        let mut control = flows::Control::open(ends)?;
        let data = control.announce(flows::Mode::Passive)?.open()?;
        data.exchange()?;
        pair.wait_equal()?;
        let backup = 1 - pair.at()?;
        let master = to_port(&pair, backup, 21)?;
        assert_eq!(master.helper.as_deref(), Some("ftp"), "{master}");
        let children = pair.table(backup)?;
        let child = children.iter().find(|entry| entry.master.is_some());
        let child = child.ok_or_else(|| format!("no child: {children:#?}"))?;
        assert_eq!(child.master.as_deref(), Some(&master.original), "{child}");
        Ok(())
    });
}

#[test]
fn the_backup_s_tcp_is_liberal_with_windows() {
    const BE_LIBERAL: u8 = 8;
    scenario(2, |lab| {
        let pair = Synced::start(lab, &plan(""), &Ruleset::snat())?;
        let server = (Wire::Wan.ipv4(CLIENT), 22).into();
        let mut session = Session::open(Ends::plain(&lab.lan, &lab.wan, server))?;
        session.say(ANSWER)?;
        pair.wait_equal()?;
        let there = to_port(&pair, 1 - pair.at()?, 22)?;
        let liberal = there.tcp_flags.map(|flags| flags & BE_LIBERAL != 0);
        assert_eq!(liberal, [true; 2], "{there}");
        Ok(())
    });
}

/// The kernel takes no policy for a flow, and shows none: only what time its packets give.
#[test]
fn a_time_by_a_policy_is_the_policys_after_a_failover() {
    const POLICY_S: u32 = 77;
    scenario(2, |lab| {
        let rules = Ruleset {
            objects: format!(
                "ct timeout short {{\n protocol tcp; l3proto ip;\n policy = {{ established : {POLICY_S} }}\n}}"
            ),
            mangle: "tcp dport 6201 ct timeout set \"short\"".to_owned(),
            ..Ruleset::snat()
        };
        let mut pair = Synced::start(lab, &plan(""), &rules)?;
        let open = |port: u16| {
            let server = (Wire::Wan.ipv4(CLIENT), port).into();
            Session::open(Ends::plain(&lab.lan, &lab.wan, server))
        };
        let mut sessions = [open(6201)?, open(6202)?];
        for session in &mut sessions {
            session.say(ANSWER)?;
        }
        pair.wait_equal()?;
        let here = to_port(&pair, pair.at()?, 6201)?.timeout_s;
        assert!(
            (60..=POLICY_S).contains(&here),
            "{here} s: no policy in this kernel"
        );
        let new = pair.strike(Fault::Death)?;
        let restored = || {
            let times = [6201, 6202].map(|port| to_port(&pair, new, port).map(|it| it.timeout_s));
            matches!(times, [Ok(60..=POLICY_S), Ok(400_000..)])
        };
        assert!(poll(ANSWER, STEP, restored), "{}", pair.tables());
        for session in &mut sessions {
            session.say(ANSWER)?;
        }
        pair.repair(Fault::Death, 1 - new)
    });
}
