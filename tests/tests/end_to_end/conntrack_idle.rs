// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections that say little cause no events: they live on the backup for as long as on the active router, and not
//! much longer.

use std::thread;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::flows::{Crowd, Ends, Entry, Eyes, Questions, Session};
use spared_tests::lab::{CLIENT, Lab, Wire, scenario};
use spared_tests::pair::Fault;
use spared_tests::router::Ruleset;
use spared_tests::synced::{Synced, plan};

const ANSWER: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(100);
/// The kernel's timeouts here, in seconds.
const TCP_S: u32 = 8;
const UDP_S: u32 = 4;
const RESYNCS: &str = "resync_interval = \"1s\"\n";

fn shorten(lab: &Lab) -> Result<()> {
    let (tcp, udp) = (TCP_S.to_string(), UDP_S.to_string());
    for site in &lab.sites {
        site.ns.set(&[
            ("net/netfilter/nf_conntrack_tcp_timeout_established", &tcp),
            ("net/netfilter/nf_conntrack_udp_timeout", &udp),
            ("net/netfilter/nf_conntrack_udp_timeout_stream", &udp),
        ])?;
    }
    Ok(())
}

#[test]
fn a_quiet_session_and_rare_questions_outlive_their_timeouts_and_a_failover() {
    scenario(2, |lab| {
        shorten(lab)?;
        let mut pair = Synced::start(lab, &plan(RESYNCS), &Ruleset::snat())?;
        let eyes = Eyes::open(lab)?;
        let [shell, resolver] = [22, 53].map(|port| (Wire::Wan.ipv4(CLIENT), port).into());
        let mut session = Session::open(Ends::plain(&lab.lan, &lab.wan, shell))?;
        let mut questions = Questions::open(Ends::plain(&lab.lan, &lab.wan, resolver))?;
        let mut talk = |rounds: u32| -> Result<()> {
            for round in 0..rounds {
                let begun = Instant::now();
                questions.ask(ANSWER)?;
                // every other time only: within TCP's timeout, and rarely
                if round % 2 == 1 {
                    session.say(ANSWER)?;
                }
                thread::sleep(Duration::from_secs(3).saturating_sub(begun.elapsed()));
            }
            Ok(())
        };
        talk(4).map_err(|error| format!("before: {error}\n{}", pair.tables()))?;
        let old = pair.at()?;
        let new = pair.strike(Fault::Death)?;
        talk(2).map_err(|error| format!("after: {error}\n{}", pair.tables()))?;
        // and they are given no more time than they have anywhere
        let limit = |entry: &Entry| if entry.state > 0 { TCP_S } else { UDP_S };
        let restored = poll(ANSWER, STEP, || {
            let table = pair.table(new).unwrap_or_default();
            !table.is_empty() && table.iter().all(|entry| entry.timeout_s <= limit(entry))
        });
        assert!(restored, "{:?}", pair.table(new)?);
        pair.repair(Fault::Death, old)?;
        pair.strike(Fault::Switch)?;
        session.say(ANSWER)?;
        questions.ask(ANSWER)?;
        assert_eq!(questions.seen().len(), 1, "{:?}", questions.seen());
        eyes.check([session.own, shell], [session.seen, shell]);
        Ok(())
    });
}

#[test]
fn a_dead_flow_is_gone_from_both() {
    scenario(2, |lab| {
        shorten(lab)?;
        let pair = Synced::start(lab, &plan(RESYNCS), &Ruleset::default())?;
        let active = pair.at()?;
        let crowd = Crowd {
            timeout_s: 3,
            ..Crowd::udp(2000)
        };
        crowd.create(&lab.sites[active].ns)?;
        pair.wait_holds(1 - active, 2000, Crowd::has)?;
        thread::sleep(Duration::from_secs(3));
        for site in [active, 1 - active] {
            pair.wait_holds(site, 0, Crowd::has)?;
        }
        Ok(())
    });
}

#[test]
fn what_nobody_tells_the_backup_of_ends_with_its_lease() {
    scenario(2, |lab| {
        let mut pair = Synced::start(lab, &plan(RESYNCS), &Ruleset::default())?;
        let backup = 1 - pair.at()?;
        let crowd = Crowd {
            timeout_s: 5,
            ..Crowd::udp(2000)
        };
        crowd.create(&lab.sites[1 - backup].ns)?;
        pair.wait_holds(backup, 2000, Crowd::has)?;
        // its kernel has them, and nobody is there to be told that they ended
        pair.router(backup).kill();
        thread::sleep(Duration::from_secs(5));
        pair.wait_holds(backup, 0, Crowd::has)
    });
}
