// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a group moved is still known when all is well again, on both nodes, over the end of a daemon, and so are findings and
//! the times without a daemon. A fault is an event as well, and what the scripts of docs/examples make of it is what
//! monitoring sees.

use std::fs;
use std::process::{Command, Output};

use spared_message::control::{Answer, Past, PastFinding, RoleChange};
use spared_tests::Result;
use spared_tests::lab::{Wire, build_dir, scenario};
use spared_tests::linked::{INTERVAL, Linked, peer};
use spared_tests::pair::Fault;
use spared_tests::router::{Plan, Spared};
use spared_verdict::history::gaps;

fn plan() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.without_preference();
    plan
}

fn answer(pair: &Linked, site: usize, words: &[&str]) -> Result<Answer> {
    let words = [&["--json"], words].concat();
    Ok(serde_json::from_str(&pair.done(site, &words)?)?)
}

/// History of both nodes, which both answer.
fn past(pair: &Linked, site: usize) -> Result<Past> {
    match answer(pair, site, &["history"])? {
        Answer::History(past) if past.silent.is_none() => Ok(*past),
        other => Err(format!("{other:?}").into()),
    }
}

fn changes(pair: &Linked, site: usize) -> Result<Vec<RoleChange>> {
    Ok(past(pair, site)?.changes)
}

/// Spans of a failed check of a node.
fn failed(past: &Past, node: &str) -> Vec<PastFinding> {
    let findings = past.findings.iter();
    let failed = findings.filter(|it| it.id == "SP-0401" && it.node == node);
    failed.cloned().collect()
}

/// Ids of the findings among the events of a node.
fn told(pair: &Linked, site: usize) -> Result<Vec<String>> {
    match answer(pair, site, &["events"])? {
        Answer::Events { events } => {
            let findings = events.into_iter().filter(|it| it.event == "finding");
            Ok(findings.filter_map(|it| it.reason).collect())
        }
        other => Err(format!("{other:?}").into()),
    }
}

/// Runs a script of docs/examples with words for it, and those by which its `sparectl` finds a node.
fn script(pair: &Linked, site: usize, name: &str, words: &[&str]) -> Result<Output> {
    let file = format!("{}/../docs/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .arg(file)
        .args(words)
        .arg("--runtime-dir")
        .arg(pair.routers[site].dir.join("run"))
        .env("PATH", format!("{}:{path}", build_dir()?.display()))
        .output()?;
    Ok(output)
}

/// Exit code of check_spared, and its first line.
fn check(pair: &Linked, site: usize) -> Result<(Option<i32>, String)> {
    let output = script(pair, site, "check_spared", &[])?;
    let text = String::from_utf8(output.stdout)?;
    Ok((output.status.code(), text))
}

/// Lines of the file that `sparectl metrics` leaves for the collector.
fn metrics(pair: &Linked, site: usize) -> Result<Vec<String>> {
    let file = pair.lab.dir.join("spared.prom");
    let words = ["metrics", "--out", &file.to_string_lossy()];
    let output = Spared(&pair.routers[site]).sparectl(&words)?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let text = fs::read_to_string(file)?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn expect(lines: &[String], wanted: &[&str]) {
    for line in wanted {
        assert!(lines.iter().any(|it| it == line), "{line}: {lines:#?}");
    }
}

/// "r2 peer-silent" of each node's last change.
fn last(pair: &Linked, site: usize) -> Result<Vec<String>> {
    match answer(pair, site, &["why"])? {
        Answer::Why { groups } => {
            let changes = groups.into_iter().flat_map(|group| group.changes);
            Ok(changes
                .map(|it| format!("{} {}", it.own.node, it.reason))
                .collect())
        }
        other => Err(format!("{other:?}").into()),
    }
}

/// A node's file has its last change: who loses power before that forgets it.
fn wait_kept(pair: &Linked, site: usize) -> Result<()> {
    let node = format!("r{}", site + 1);
    let file = pair.routers[site].dir.join("state/history.log");
    pair.wait("a change on the disk", || {
        let all = match answer(pair, site, &["history"]) {
            Ok(Answer::History(past)) => past.changes,
            _ => return false,
        };
        let last = all.iter().rfind(|it| it.own.node == node);
        let text = fs::read_to_string(&file).unwrap_or_default();
        last.is_none_or(|last| text.contains(&last.at))
    })
}

#[test]
fn a_death_is_known_when_all_is_well_again_and_after_both_daemons_were_started_anew() {
    scenario(2, |lab| {
        let mut pair = Linked::start(lab, &plan())?;
        let old = pair.at()?;
        wait_kept(&pair, old)?;
        let new = pair.strike(Fault::Kill)?;
        let silent = answer(&pair, new, &["history"])?;
        let name = |site: usize| format!("r{}", site + 1);
        match silent {
            Answer::History(past) => assert_eq!(past.silent, Some(name(old))),
            other => panic!("{other:?}"),
        }
        pair.repair(Fault::Kill, old)?;

        let wanted = [
            format!("{} peer-silent", name(new)),
            format!("{} started", name(old)),
        ];
        for site in [0, 1] {
            assert_eq!(last(&pair, site)?, wanted, "on r{}", site + 1);
            let text = pair.done(site, &["why"])?;
            assert!(text.contains("fell silent"), "{text}");
        }
        let all = changes(&pair, old)?;
        assert_eq!(all, changes(&pair, new)?);
        let failover = all.iter().find(|it| it.reason == "peer-silent");
        let failover = failover.ok_or("no failover")?;
        let peer = failover
            .peer
            .as_ref()
            .ok_or("without the other's numbers")?;
        assert_eq!((failover.own.quality, peer.quality), (100, 100));
        assert_eq!(peer.node, name(old));
        assert!(peer.said.is_some(), "{failover:?}");

        // the one that serves, and then the other: neither forgets
        for site in [new, old] {
            wait_kept(&pair, site)?;
            pair.begin_fault(Fault::Kill, site)?;
            pair.repair(Fault::Kill, site)?;
        }
        let later = changes(&pair, old)?;
        assert!(later.starts_with(&all), "{all:?}\n{later:?}");
        Ok(())
    });
}

#[test]
fn a_history_that_is_damaged_delays_nothing_and_keeps_what_is_whole() {
    scenario(2, |lab| {
        let mut pair = Linked::start(lab, &plan())?;
        let old = pair.at()?;
        wait_kept(&pair, old)?;
        let new = pair.strike(Fault::Kill)?;
        let file = pair.routers[old].dir.join("state/history.log");
        let mut bytes = fs::read(&file)?;
        bytes.iter_mut().for_each(|byte| *byte ^= 1);
        fs::write(&file, &bytes)?;
        pair.repair(Fault::Kill, old)?;
        let (here, there) = (changes(&pair, old)?, changes(&pair, new)?);
        assert_eq!(here, there, "what the other remembers");
        assert!(here.iter().all(|it| it.own.node != format!("r{}", old + 1)));
        pair.wait("a whole file", || {
            fs::read_to_string(&file).is_ok_and(|text| text.contains("\"run\""))
        })
    });
}

/// A plan with a plugin whose check fails when it is told, and moves nothing.
fn with_messenger() -> Plan {
    let mut plan = plan();
    let mut messenger = peer("");
    messenger.toml = "weight = 0\n".to_owned();
    plan.plugins.push(messenger);
    plan
}

#[test]
fn findings_and_the_time_without_daemons_are_in_the_history_of_both_nodes() {
    scenario(2, |lab| {
        let mut pair = Linked::start(lab, &with_messenger())?;
        let wait_failed = |pair: &Linked, node: &str, has_ended: bool| -> Result<()> {
            for site in [0, 1] {
                let file = pair.routers[site].dir.join("state/history.log");
                pair.wait("the finding in the history", || {
                    let text = fs::read_to_string(&file).unwrap_or_default();
                    let is_written = text
                        .lines()
                        .any(|line| line.contains("SP-0401") && line.contains(node));
                    let spans = past(pair, site)
                        .map(|it| failed(&it, node))
                        .unwrap_or_default();
                    is_written && spans.iter().any(|it| it.ended.is_some() == has_ended)
                })?;
            }
            Ok(())
        };
        pair.done(0, &["messenger", "check", "bad"])?;
        wait_failed(&pair, "r1", false)?;
        pair.done(0, &["messenger", "check", "good"])?;
        wait_failed(&pair, "r1", true)?;
        pair.done(1, &["messenger", "check", "bad"])?;
        wait_failed(&pair, "r2", false)?;

        for site in [0, 1] {
            pair.begin_fault(Fault::Kill, site)?;
        }
        std::thread::sleep(std::time::Duration::from_secs(3));
        for site in [0, 1] {
            pair.end_fault(Fault::Kill, site)?;
        }
        pair.wait_settled()?;
        let known = past(&pair, 0)?;
        assert_eq!(known.findings, past(&pair, 1)?.findings);
        let [ended, lost] = ["r1", "r2"].map(|node| failed(&known, node));
        assert!(
            matches!(&ended[..], [it] if it.ended.is_some() && !it.is_end_unknown),
            "{ended:?}"
        );
        assert!(
            matches!(&lost[..], [it] if it.ended.is_some() && it.is_end_unknown),
            "{lost:?}"
        );
        let gaps = gaps(&known.runs);
        let nodes: std::collections::BTreeSet<&str> = gaps.iter().map(|it| it.node).collect();
        assert!(gaps.len() == 2 && nodes.len() == 2, "{gaps:?}");
        for site in [0, 1] {
            let text = pair.done(site, &["history", "--findings", "--since", "1h"])?;
            let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
            assert_eq!(
                (count("not recorded until"), count("(SP-0401)")),
                (2, 2),
                "{text}"
            );
            assert_eq!(count(" at least"), 1, "{text}");
            let roles = pair.done(site, &["history", "--group", "no-such-group"])?;
            assert!(
                !roles.contains("-> active") && !roles.contains("SP-"),
                "{roles}"
            );
        }
        Ok(())
    });
}

#[test]
fn a_check_that_fails_is_an_event_with_its_id_and_monitoring_sees_it() {
    scenario(2, |lab| {
        let mut pair = Linked::start(lab, &with_messenger())?;
        pair.wait("OK", || check(&pair, 1).is_ok_and(|it| it.0 == Some(0)))?;
        assert!(check(&pair, 1)?.1.starts_with("OK "));
        let fine = ["spared_up 1", "spared_findings 0", "spared_ready 1"];
        expect(&metrics(&pair, 1)?, &fine);
        expect(&metrics(&pair, 1)?, &["spared_verdict{word=\"ok\"} 1"]);

        pair.done(0, &["messenger", "check", "bad"])?;
        for site in [0, 1] {
            pair.wait("an event on both nodes", || {
                told(&pair, site).is_ok_and(|ids| ids.contains(&"SP-0401".to_owned()))
            })?;
            let (code, text) = check(&pair, site)?;
            assert_eq!(code, Some(1), "a warning: {text}");
            assert!(
                text.starts_with("WARN ") && text.contains("(SP-0401)"),
                "{text}"
            );
            let lines = metrics(&pair, site)?;
            let verdict = [
                "spared_verdict{word=\"ok\"} 0",
                "spared_verdict{word=\"degraded\"} 1",
                "spared_findings 1",
                "spared_finding{id=\"SP-0401\"} 1",
            ];
            expect(&lines, &verdict);
        }

        pair.routers[0].kill();
        assert_eq!(check(&pair, 0)?.0, Some(2), "critical: no daemon");
        expect(&metrics(&pair, 0)?, &["spared_up 0"]);
        Ok(())
    });
}
