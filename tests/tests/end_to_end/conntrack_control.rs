// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sparectl conntrack`: what it shows, and what `diff` finds.

use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::flows::{self, Crowd, Ends, Questions, Session};
use spared_tests::lab::{CLIENT, VIRTUAL, Wire, scenario};
use spared_tests::pair::Fault;
use spared_tests::router::{Ruleset, Spared};
use spared_tests::synced::{Synced, plan};

const ANSWER: Duration = Duration::from_secs(4);
const LIMIT: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(20);

const NUMBERS: [&str; 34] = [
    "flows.local",
    "flows.remote",
    "flows.elsewhere",
    "flows.own_address",
    "flows.dynamic",
    "flows.kernel",
    "backlog",
    "lag_ms",
    "rate.sent",
    "rate.applied",
    "events",
    "overruns",
    "resyncs",
    "resync.last_ms",
    "sent.flows",
    "sent.deletes",
    "sent.bytes",
    "bytes_per_flow",
    "applied.created",
    "applied.updated",
    "applied.deleted",
    "applied.merged",
    "applied.kept",
    "conflicts",
    "lost",
    "refused.full",
    "refused.exists",
    "refused.invalid",
    "refused.helper",
    "refused.other",
    "malformed",
    "excluded",
    "in_sync",
    "role",
];

#[test]
fn every_row_is_there_and_counts() {
    scenario(2, |lab| {
        let pair = Synced::start(lab, &plan(""), &Ruleset::default())?;
        let (active, backup) = (pair.at()?, 1 - pair.at()?);
        let crowd = Crowd::udp(2000);
        crowd.create(&lab.sites[active].ns)?;
        Crowd {
            count: 500,
            ..crowd
        }
        .delete(&lab.sites[active].ns)?;
        pair.wait_holds(backup, 1500, Crowd::has)?;
        for site in [0, 1] {
            for key in NUMBERS {
                let row = Spared(&pair.routers[site]).row(&["conntrack"], key)?;
                let text = matches!(key, "in_sync" | "role");
                let there = if text { row.is_string() } else { row.is_u64() };
                assert!(there, "r{}: {key}: {row}", site + 1);
            }
        }
        let at = |site, key: &str| pair.number(site, key);
        assert!(
            at(active, "flows.local") >= 1500,
            "{}",
            at(active, "flows.local")
        );
        assert!(
            at(backup, "flows.remote") >= 1500,
            "{}",
            at(backup, "flows.remote")
        );
        assert!(at(active, "events") >= 2000);
        assert!(at(active, "sent.flows") >= 1500);
        assert!(at(active, "sent.bytes") > 1500 * 15);
        assert!((15..=60).contains(&at(active, "bytes_per_flow")));
        assert!(at(backup, "applied.created") >= 1500);
        // one that is settled owes nothing
        let calm = || at(active, "backlog") == 0 && at(active, "lag_ms") == 0;
        assert!(
            poll(LIMIT, STEP, calm),
            "{}",
            pair.said(active, &["conntrack"])?.1
        );
        for site in [0, 1] {
            for key in ["lost", "malformed", "overruns"] {
                assert_eq!(at(site, key), 0, "r{}: {key}", site + 1);
            }
            for key in ["full", "exists", "invalid", "helper", "other"] {
                assert_eq!(
                    at(site, &format!("refused.{key}")),
                    0,
                    "r{}: {key}",
                    site + 1
                );
            }
        }
        for (site, role) in [(active, "active"), (backup, "backup")] {
            let said = pair.text(site, "role");
            assert!(said.starts_with(role), "{said}");
        }
        let status = pair.done(active, &["status"])?;
        let row = status
            .lines()
            .find(|line| line.trim().starts_with("conntrack"));
        assert!(row.is_some_and(|row| row.contains("flows")), "{status}");
        Ok(())
    });
}

#[test]
fn diff_names_what_differs_and_exits_by_it() {
    scenario(2, |lab| {
        let mut pair = Synced::start(lab, &plan(""), &Ruleset::snat())?;
        let (active, backup) = (pair.at()?, 1 - pair.at()?);
        let crowd = Crowd::udp(1000);
        crowd.create(&lab.sites[active].ns)?;
        // and what packets have made, with all that the kernel knows of it
        let [shell, clock] = [22, 123].map(|port| (Wire::Wan.ipv4(CLIENT), port).into());
        let mut session = Session::open(Ends::plain(&lab.lan, &lab.wan, shell))?;
        let mut questions = Questions::open(Ends::plain(&lab.lan, &lab.wan, clock))?;
        session.say(ANSWER)?;
        questions.ask(ANSWER)?;
        pair.wait_equal()?;
        let equal = |pair: &Synced<'_>, site| {
            poll(LIMIT, STEP * 10, || {
                pair.said(site, &["conntrack", "diff"])
                    .is_ok_and(|(code, _)| code == 0)
            })
        };
        for site in [active, backup] {
            assert!(
                equal(&pair, site),
                "{:?}",
                pair.said(site, &["conntrack", "diff"])?
            );
        }
        // as if somebody had meddled with the backup
        let stray = crowd.next();
        let stray = Crowd { count: 1, ..stray };
        stray.create(&lab.sites[backup].ns)?;
        for site in [active, backup] {
            let (code, text) = pair.said(site, &["conntrack", "diff"])?;
            assert_eq!(code, 1, "{text}");
            let tuple = stray.tuple(stray.first);
            assert!(
                text.contains(&tuple.destination.to_string()),
                "{tuple}: {text}"
            );
        }
        stray.delete(&lab.sites[backup].ns)?;
        assert!(equal(&pair, active));
        // what they change there is put right
        let tuple = crowd.tuple(crowd.first);
        let (source, destination) = (tuple.source, tuple.destination);
        let line = format!("conntrack -U -p udp -s {source} -d {destination} --mark 7");
        lab.sites[backup].ns.shell(&line)?;
        assert!(equal(&pair, active));
        let table = pair.table(backup)?;
        assert!(table.iter().all(|entry| entry.mark != 7), "{table:?}");
        // the same of copies that became originals
        pair.strike(Fault::Switch)?;
        let has_let_go = || pair.text(active, "role") == "backup";
        assert!(poll(LIMIT, STEP, has_let_go));
        session.say(ANSWER)?;
        questions.ask(ANSWER)?;
        assert!(
            equal(&pair, active),
            "{:?}",
            pair.said(active, &["conntrack", "diff"])?
        );
        Ok(())
    });
}

#[test]
fn flows_are_listed_with_what_becomes_of_each_and_counted_by_protocol() {
    scenario(2, |lab| {
        let toml = "[[exclude]]\nport = [9999]\nprotocol = [\"udp\"]\n";
        let pair = Synced::start(lab, &plan(toml), &Ruleset::snat())?;
        let (active, backup) = (pair.at()?, 1 - pair.at()?);
        let [shell, clock, odd] = [22, 123, 9999].map(|port| (Wire::Wan.ipv4(CLIENT), port).into());
        let mut session = Session::open(Ends::plain(&lab.lan, &lab.wan, shell))?;
        session.say(ANSWER)?;
        for server in [clock, odd] {
            Questions::open(Ends::plain(&lab.lan, &lab.wan, server))?.ask(ANSWER)?;
        }
        pair.wait_holds(backup, 1, |entry| entry.original.destination_port == 123)?;
        let own = |port: &str| ["conntrack", "flows", "--dport", port].map(str::to_owned);
        let said = |site: usize, words: [String; 4]| -> Result<String> {
            pair.done(site, &words.each_ref().map(String::as_str))
        };
        let address = Wire::Wan.ipv4(VIRTUAL);
        let listed = said(active, own("22"))?;
        let wanted = format!(" > {shell}  established, source {address}:");
        assert!(
            listed.contains(&wanted) && listed.trim_end().ends_with(", replicated"),
            "{listed}"
        );
        assert_eq!(listed.lines().count(), 1, "{listed}");
        let copy = said(backup, own("22"))?;
        assert!(
            copy.trim_end().ends_with(", copy of the other node's"),
            "{copy}"
        );
        let excluded = said(active, own("9999"))?;
        assert!(
            excluded.contains("not replicated: [[exclude]] 1 (protocol, port)"),
            "{excluded}"
        );
        let (code, text) = pair.said(active, &["conntrack", "flows", "--port", "22"])?;
        assert!(
            code == 64 && text.contains("--port: not a filter"),
            "{code}: {text}"
        );

        let crowd = Crowd::udp(20_000);
        crowd.create(&lab.sites[active].ns)?;
        pair.wait_holds(backup, 20_000, Crowd::has)?;
        let listed = pair.done(active, &["conntrack", "flows", "--proto", "udp"])?;
        let last = listed.lines().last().unwrap_or_default();
        let more = last
            .strip_prefix("yet more")
            .and_then(|it| it.trim().split(' ').next()?.parse().ok());
        let shown = listed.lines().count() - 1;
        let row = |key: &str| {
            Spared(&pair.routers[active]).row(&["conntrack", "stats", "--proto", "udp"], key)
        };
        let all = row("udp.flows")?.as_u64().unwrap_or_default();
        assert_eq!(
            more.map(|more: u64| more + shown as u64),
            Some(all),
            "{last}"
        );
        assert!(
            all >= 20_002 && row("udp.kept_here")?.as_u64() > Some(0),
            "{all}"
        );
        let (code, text) = pair.said(active, &["conntrack", "diff", "--dport", "123"])?;
        assert_eq!(code, 0, "{text}");
        Ok(())
    });
}

#[test]
fn what_somebody_deletes_on_the_backup_is_back_after_a_resync() {
    scenario(2, |lab| {
        let pair = Synced::start(lab, &plan(""), &Ruleset::default())?;
        let (active, backup) = (pair.at()?, 1 - pair.at()?);
        Crowd::udp(3000).create(&lab.sites[active].ns)?;
        pair.wait_equal()?;
        flows::flush(&lab.sites[backup].ns)?;
        let resyncs = pair.number(active, "resyncs");
        let text = pair.done(active, &["conntrack", "resync"])?;
        assert!(text.contains("started: 30"), "{text}");
        let (code, text) = pair.said(backup, &["conntrack", "resync"])?;
        assert!(
            code == 1 && text.contains("this node is backup"),
            "{code}: {text}"
        );
        pair.wait_holds(backup, 3000, Crowd::has)?;
        assert!(pair.number(active, "resyncs") > resyncs);
        pair.wait_equal()
    });
}

#[test]
fn a_word_that_it_does_not_know_is_answered_with_those_it_knows() {
    scenario(2, |lab| {
        let pair = Synced::start(lab, &plan(""), &Ruleset::default())?;
        let (code, text) = pair.said(0, &["conntrack", "dance"])?;
        assert_eq!(code, 64, "{text}");
        assert!(text.contains("diff") && text.contains("resync"), "{text}");
        Ok(())
    });
}
