// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which flows follow: old ones too, and those that the configuration and the ruleset name.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::flows::{self, Crowd, Ends, Entry, Eyes, Questions, Session, Transport};
use spared_tests::lab::{CLIENT, Lab, VIRTUAL, Wire, scenario};
use spared_tests::pair::Fault;
use spared_tests::router::Ruleset;
use spared_tests::synced::{PUBLIC, SERVER, Synced, plan};

const ANSWER: Duration = Duration::from_secs(4);
const STEP: Duration = Duration::from_millis(50);

/// A crowd of each kind on the active node; those of them that the backup has in the end.
fn arrived(pair: &Synced<'_>, crowds: &[Crowd], expected: &[usize]) -> Result<()> {
    let active = pair.at()?;
    for crowd in crowds {
        crowd.create(&pair.lab.sites[active].ns)?;
    }
    let has = |crowd: &Crowd| -> Result<usize> {
        let table = flows::read(&pair.lab.sites[1 - active].ns)?;
        let tuples: Vec<_> = (crowd.first..crowd.first + crowd.count)
            .map(|number| crowd.tuple(number))
            .collect();
        let fits = |entry: &&Entry| tuples.contains(&entry.original) && entry.zone == crowd.zone;
        Ok(table.iter().filter(fits).count())
    };
    let counts = || crowds.iter().map(has).collect::<Result<Vec<_>>>();
    let there = || counts().is_ok_and(|counts| counts == expected);
    assert!(
        poll(ANSWER, STEP, there),
        "{:?}, not {expected:?}",
        counts()?
    );
    // neither by an event nor by a resync
    pair.done(active, &["conntrack", "resync"])?;
    thread::sleep(Duration::from_millis(500));
    assert_eq!(counts()?, expected);
    Ok(())
}

/// Crowds of fifty, one after the other, changed each.
fn crowds<const N: usize>(changed: [fn(Crowd) -> Crowd; N]) -> [Crowd; N] {
    let mut first = 0;
    changed.map(|change| {
        first += 50;
        change(Crowd {
            first,
            ..Crowd::udp(50)
        })
    })
}

#[test]
fn flows_older_than_the_daemon_are_found_and_followed() {
    scenario(2, |lab| {
        let crowd = Crowd {
            mark: 1,
            ..Crowd::udp(3000)
        };
        for site in &lab.sites {
            // of these the kernel never says anything: nobody listened when they were made
            site.ns.set(&[("net/netfilter/nf_conntrack_events", "2")])?;
        }
        Ruleset::default().load(&lab.sites[0])?;
        crowd.create(&lab.sites[0].ns)?;
        let mut plan = plan("resync_interval = \"1s\"\n");
        if let Some(link) = &mut plan.link {
            link.prefer = Some("r1".to_owned());
        }
        let pair = Synced::start(lab, &plan, &Ruleset::default())?;
        pair.wait_active(0)?;
        pair.wait_holds(1, 3000, Crowd::has)?;
        Crowd {
            count: 500,
            ..crowd
        }
        .delete(&lab.sites[0].ns)?;
        let changed = Crowd {
            first: 500,
            count: 500,
            mark: 2,
            ..crowd
        };
        changed.update(&lab.sites[0].ns)?;
        pair.wait_holds(1, 2500, Crowd::has)?;
        pair.wait_equal()?;
        pair.wait_holds(1, 500, |entry| entry.mark == 2)
    });
}

#[test]
fn flows_made_after_the_start_cause_events_whatever_the_kernel_s_setting_was() {
    scenario(2, |lab| {
        let pair = Synced::start(lab, &plan(""), &Ruleset::default())?;
        for site in &lab.sites {
            let said = site
                .ns
                .shell("cat /proc/sys/net/netfilter/nf_conntrack_events")?;
            assert_eq!(said.trim(), "1", "{}", site.name);
        }
        let active = pair.at()?;
        Crowd::udp(10).create(&lab.sites[active].ns)?;
        pair.wait_holds(1 - active, 10, Crowd::has)
    });
}

#[test]
fn events_that_somebody_disables_meanwhile_are_enabled_again() {
    scenario(2, |lab| {
        let pair = Synced::start(lab, &plan(""), &Ruleset::default())?;
        let active = pair.at()?;
        let ns = &lab.sites[active].ns;
        ns.set(&[("net/netfilter/nf_conntrack_events", "0")])?;
        Crowd::udp(10).create(ns)?;
        // a resync finds those that began meanwhile
        pair.wait_holds(1 - active, 10, Crowd::has)?;
        let said = ns.shell("cat /proc/sys/net/netfilter/nf_conntrack_events")?;
        assert_eq!(said.trim(), "1");
        Ok(())
    });
}

#[test]
fn flows_younger_than_min_age_cost_nothing() {
    scenario(2, |lab| {
        let pair = Synced::start(lab, &plan("min_age = \"2s\"\n"), &Ruleset::default())?;
        let active = pair.at()?;
        let ns = &lab.sites[active].ns;
        let deletes = pair.number(active, "sent.deletes");
        let crowd = Crowd::udp(1000);
        crowd.create(ns)?;
        thread::sleep(Duration::from_millis(600));
        Crowd {
            count: 400,
            ..crowd
        }
        .delete(ns)?;
        pair.wait_holds(1 - active, 0, Crowd::has)?;
        pair.wait_holds(1 - active, 600, Crowd::has)?;
        assert_eq!(pair.number(active, "sent.deletes"), deletes);
        pair.wait_equal()
    });
}

#[test]
fn excluded_flows_stay_where_they_are() {
    scenario(2, |lab| {
        let toml = "[[exclude]]\nzone = [9]\n\
                    [[exclude]]\nmark = \"0x10/0xf0\"\n\
                    [[exclude]]\nprotocol = [\"tcp\"]\nport = [22]\n\
                    [[exclude]]\naddress = [\"fd64::/16\"]\n\
                    [[exclude]]\nlabel = [1]\n";
        // the kernel keeps labels only where a rule speaks of them
        let rules = Ruleset {
            mangle: "ct label 127 accept".to_owned(),
            ..Ruleset::default()
        };
        let pair = Synced::start(lab, &plan(toml), &rules)?;
        let kinds = crowds([
            |it| it,
            |it| Crowd { zone: 9, ..it },
            |it| Crowd { zone: 8, ..it },
            |it| Crowd { mark: 0x13, ..it },
            |it| Crowd { mark: 0x23, ..it },
            |it| Crowd { ipv6: true, ..it },
        ]);
        arrived(&pair, &kinds, &[50, 0, 50, 0, 50, 0])?;
        // one of eight goes to port 22
        let tcp = Crowd {
            first: 400,
            count: 80,
            transport: Transport::Tcp,
            ..kinds[0]
        };
        arrived(&pair, &[tcp], &[70])?;
        let active = pair.at()?;
        let mut entries = flows::read(&lab.sites[active].ns)?;
        entries.retain(|entry| entry.original == kinds[0].tuple(50));
        let mut entry = entries.pop().ok_or("no flow to copy")?;
        for (port, labels) in [(1u16, 1u128 << 1), (2, 1 << 2)] {
            (entry.original.source_port, entry.reply.destination_port) = (port, port);
            entry.labels = labels.to_le_bytes();
            flows::create(&lab.sites[active].ns, &entry)?;
        }
        pair.wait_holds(1 - active, 1, |entry| entry.labels != [0; 16])?;
        let labelled =
            |entry: &Entry| entry.original.source_port == 1 && entry.original.protocol == 17;
        pair.wait_holds(1 - active, 0, labelled)?;
        assert!(pair.number(active, "excluded") > 0);
        Ok(())
    });
}

#[test]
fn only_included_flows_follow_where_any_are_named() {
    scenario(2, |lab| {
        let toml = "[[include]]\nprotocol = [\"udp\"]\nsource = [\"10.64.0.0/16\"]\n\
                    [[exclude]]\nmark = \"0x7\"\n";
        let pair = Synced::start(lab, &plan(toml), &Ruleset::default())?;
        let kinds = crowds([
            |it| it,
            |it| Crowd {
                transport: Transport::Tcp,
                ..it
            },
            |it| Crowd { mark: 7, ..it },
            |it| Crowd { ipv6: true, ..it },
        ]);
        arrived(&pair, &kinds, &[50, 0, 0, 0])
    });
}

#[test]
fn a_single_bit_of_the_mark_decides() {
    scenario(2, |lab| {
        let pair = Synced::start(lab, &plan("mark_bit = 30\n"), &Ruleset::default())?;
        let kinds = crowds([
            |it| it,
            |it| Crowd {
                mark: 1 << 30,
                ..it
            },
            |it| Crowd {
                mark: 1 << 29,
                ..it
            },
            |it| Crowd {
                mark: 0xffff_ffff,
                ..it
            },
        ]);
        arrived(&pair, &kinds, &[0, 50, 0, 50])
    });
}

#[test]
fn a_state_that_is_excluded_is_so_until_it_changes() {
    scenario(2, |lab| {
        let toml = "[[exclude]]\nstate = [\"syn_sent\", \"syn_recv\"]\n";
        let pair = Synced::start(lab, &plan(toml), &Ruleset::snat())?;
        let active = pair.at()?;
        let server = SocketAddr::from((Wire::Wan.ipv4(CLIENT), 22));
        let to = |entry: &Entry| entry.original.destination_port == 22;
        // nobody answers: it stays a question
        let mute = "chain mute { type filter hook input priority 0; tcp dport 22 drop; }";
        lab.wan.nft(&format!("table inet mute {{\n{mute}\n}}\n"))?;
        let connect = || TcpStream::connect_timeout(&server, Duration::from_millis(800));
        let knock = lab.lan.run(|| Ok(connect().is_ok()))?;
        assert!(!knock, "answered");
        assert_eq!(
            pair.table(active)?.iter().filter(|entry| to(entry)).count(),
            1
        );
        pair.wait_holds(1 - active, 0, to)?;
        lab.wan.nft("delete table inet mute\n")?;
        let mut session = Session::open(Ends::plain(&lab.lan, &lab.wan, server))?;
        session.say(ANSWER)?;
        pair.wait_holds(1 - active, 1, to)
    });
}

/// As the manual shows it: a rule sees to it that the kernel says nothing of some traffic.
#[test]
fn flows_whose_events_a_rule_silences_stay_where_they_are() {
    scenario(2, |lab| {
        let rules = Ruleset {
            mangle: "udp dport 7001 ct event set destroy".to_owned(),
            ..Ruleset::snat()
        };
        let pair = Synced::start(lab, &plan(""), &rules)?;
        let active = pair.at()?;
        let mut all = [7001, 7002].map(|port| {
            let server = (Wire::Wan.ipv4(CLIENT), port).into();
            Questions::open(Ends::plain(&lab.lan, &lab.wan, server))
        });
        for questions in &mut all {
            questions
                .as_mut()
                .map_err(|error| error.to_string())?
                .ask(ANSWER)?;
        }
        let to = |port| move |entry: &Entry| entry.original.destination_port == port;
        pair.wait_holds(1 - active, 1, to(7002))?;
        pair.done(active, &["conntrack", "resync"])?;
        thread::sleep(Duration::from_millis(500));
        pair.wait_holds(1 - active, 0, to(7001))
    });
}

fn at_virtual(entry: &Entry) -> bool {
    let address = IpAddr::from(Wire::Lan.ipv4(VIRTUAL));
    entry.original.destination == address && entry.original.protocol == 17
}

fn ask_the_router(lab: &Lab, active: usize) -> Result<()> {
    let at = SocketAddr::from((Wire::Lan.ipv4(VIRTUAL), 7));
    let ends = Ends {
        client: &lab.lan,
        server: &lab.sites[active].ns,
        to: at,
        at,
    };
    Questions::open(ends)?.ask(ANSWER).map(drop)
}

#[test]
fn connections_to_the_router_itself_are_its_own() {
    scenario(2, |lab| {
        let pair = Synced::start(lab, &plan(""), &Ruleset::default())?;
        let active = pair.at()?;
        ask_the_router(lab, active)?;
        Crowd::tcp(10).create(&lab.sites[active].ns)?;
        pair.wait_equal()?;
        let found = flows::read(&lab.sites[active].ns)?;
        assert!(found.iter().any(at_virtual), "{found:#?}");
        pair.done(active, &["conntrack", "resync"])?;
        thread::sleep(Duration::from_millis(300));
        let found = flows::read(&lab.sites[1 - active].ns)?;
        assert!(!found.iter().any(at_virtual), "{found:#?}");
        Ok(())
    });
}

#[test]
fn local_takes_them_along() {
    scenario(2, |lab| {
        let pair = Synced::start(lab, &plan("local = true\n"), &Ruleset::default())?;
        let active = pair.at()?;
        ask_the_router(lab, active)?;
        pair.wait_holds(1 - active, 1, at_virtual)
    });
}

/// r1's own address is as good as one from a provider: r2 will never have it.
#[test]
fn flows_translated_to_an_address_that_is_not_here_are_dropped_at_failover() {
    scenario(2, |lab| {
        let plan = plan("dynamic_nat = [\"wan\"]\n");
        let mut pair = Synced::start(lab, &plan, &Ruleset::masquerade())?;
        let eyes = Eyes::open(lab)?;
        let (old, own) = (
            pair.at()?,
            IpAddr::from(Wire::Wan.ipv4(11 + pair.at()? as u8)),
        );
        let [lost, kept] = [Wire::Wan.ipv4(CLIENT), SERVER].map(|host| (host, 22).into());
        let mut dialled = Session::open(Ends::plain(&lab.lan, &lab.wan, lost))?;
        let mut public = Session::open(Ends::plain(&lab.lan, &lab.wan, kept))?;
        assert_eq!((dialled.seen.ip(), public.seen.ip()), (own, PUBLIC.into()));
        dialled.say(ANSWER)?;
        public.say(ANSWER)?;
        pair.wait_equal()?;
        // it is told what a failover ends, and that is no fault
        let status = pair.done(old, &["status"])?;
        assert!(
            status.contains("1 of dynamic_nat ends at a failover"),
            "{status}"
        );
        assert_eq!(pair.number(old, "flows.dynamic"), 1);
        let new = pair.strike(Fault::Death)?;
        pair.wait_holds(new, 0, |entry| entry.touches(own) && entry.state > 0)?;
        public.say(ANSWER)?;
        assert_eq!(eyes.wan.clients_of(kept), [public.seen]);
        // and it can be asked again at once, from where it is now
        let again = Session::open(Ends::plain(&lab.lan, &lab.wan, lost))?;
        assert_ne!(again.seen.ip(), own);
        pair.repair(Fault::Death, old)
    });
}
