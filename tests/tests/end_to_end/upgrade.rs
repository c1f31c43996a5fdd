// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sparectl upgrade`: both nodes run what is installed afterwards, in the order that loses nothing, however often the
//! command was stopped.

use std::net::SocketAddr;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::flows::{Crowd, Ends, Transfer, count};
use spared_tests::lab::{CLIENT, Lab, Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked, peer};
use spared_tests::probe::{Control, Echo};
use spared_tests::random::number;
use spared_tests::router::{Plan, Ruleset, Spared, install_other_build};
use spared_tests::synced::{self, Synced};

const LIMIT: Duration = Duration::from_secs(10);
/// Longest time until a daemon has looked at the files of new workers, and as much for a machine that is late.
const LOOK: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(20);
const ALL: &str = "r2 is backup: spared is started again there\n\
    r2 takes over\n\
    r1 is backup: spared is started again there\n";
const PAGE: &str = include_str!("../../../docs/howto/upgrade.md");

/// Returns what the page shows of the run of a command: the block that is indented below this text.
fn shown(below: &str) -> Result<String> {
    let rest = PAGE.split_once(below).ok_or("not in the page")?.1;
    let lines = rest.lines().skip_while(|line| !line.starts_with("       "));
    let lines = lines.take_while(|line| !line.is_empty());
    Ok(lines
        .map(|line| format!("{}\n", line.trim_start()))
        .collect())
}

/// Returns a command's lines without what differs from run to run: numbers, and orders that are given again.
fn constant(text: &str) -> String {
    let mut out = String::new();
    let lines = text
        .split_inclusive('\n')
        .filter(|it| !it.ends_with("; again\n"));
    for char in lines.flat_map(str::chars) {
        match char {
            '0'..='9' if out.ends_with(' ') => out.push('N'),
            '0'..='9' if out.ends_with('N') => {}
            other => out.push(other),
        }
    }
    out
}

/// Starts a pair that prefers r1, and installs another build of a plugin on both nodes.
fn outdated(lab: &Lab) -> Result<Linked<'_>> {
    let mut plan = Plan::linked(INTERVAL, &Wire::LINKS);
    plan.plugins.push(peer(""));
    plan.is_managed = true;
    let pair = Linked::start(lab, &plan)?;
    pair.wait_active(0)?;
    // both daemons have looked at the files with which their plugins run
    thread::sleep(LOOK);
    for router in &pair.routers {
        install_other_build(&router.dir.join("plugins/messenger.so"))?;
    }
    pair.wait("both nodes outdated, said by both", || {
        (0..2).all(|site| found(&pair, site) == ["SP-0894", "SP-0894"])
    })?;
    Ok(pair)
}

fn found(pair: &Linked<'_>, site: usize) -> Vec<String> {
    let verdict = pair.status(site).unwrap_or_default().verdict;
    verdict.findings.into_iter().map(|it| it.id).collect()
}

/// Runs `sparectl` on a node, and starts daemons again that end meanwhile, as systemd does. Ends it after that many
/// starts. Returns its exit code and output.
fn run(
    pair: &mut Linked<'_>,
    site: usize,
    words: &[&str],
    starts: usize,
) -> Result<(Option<i32>, String)> {
    let mut command = Spared(&pair.routers[site]).command(words)?;
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut started = 0;
    while child.try_wait()?.is_none() {
        for site in 0..2 {
            let place = pair.site(site);
            let router = &mut pair.routers[site];
            if !router.daemons[0].is_running() {
                router.start_again(pair.lab, place, &pair.plans[site])?;
                started += 1;
            }
        }
        if started >= starts {
            child.kill()?;
        }
        thread::sleep(STEP);
    }
    let output = child.wait_with_output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

#[test]
fn an_upgrade_that_was_stopped_goes_on_where_it_was() {
    scenario(2, |lab| {
        let mut pair = outdated(lab)?;
        pair.done(1, &["messenger", "check", "bad"])?;
        pair.wait("a finding", || found(&pair, 0).len() == 3)?;
        let (code, text) = pair.said(0, &["upgrade"])?;
        assert!(
            code == 1 && text.contains("SP-0401") && text.contains("not begun"),
            "{text}"
        );
        assert_eq!(pair.done(0, &["upgrade", "--anyway", "--dry-run"])?, ALL);
        pair.done(1, &["messenger", "check", "good"])?;
        pair.wait("no other finding", || found(&pair, 0).len() == 2)?;

        let (code, text) = run(&mut pair, 0, &["upgrade"], 1)?;
        assert!(code.is_none() && text.starts_with("r2 is backup"), "{text}");
        pair.wait("roles that are held, and r1 outdated alone", || {
            let found = found(&pair, 0);
            let outdated = found.iter().filter(|it| *it == "SP-0894").count();
            outdated == 1 && found.iter().all(|it| it == "SP-0894" || it == "SP-0702")
        })?;
        assert!(pair.status(1)?.orders.frozen_until.is_some());
        assert_eq!(pair.active(), [0]);
        let rest = ALL.split_once('\n').map(|it| it.1);
        let planned = pair.done(1, &["upgrade", "--dry-run"])?;
        assert_eq!(Some(planned.as_str()), rest);
        let (code, text) = run(&mut pair, 1, &["upgrade"], usize::MAX)?;
        assert!(
            code == Some(0) && text.ends_with("r2 and r1 run what is installed\n"),
            "{text}"
        );
        pair.wait_active(0)?;
        let nothing = "r1 and r2 run what is installed: there is nothing to do\n";
        assert_eq!(pair.done(0, &["upgrade"])?, nothing);
        Ok(())
    });
}

mod timed {
    use super::*;

    #[test]
    fn an_upgrade_loses_nothing_and_a_preferred_node_has_the_role_back_at_the_end() {
        scenario(2, |lab| {
            let control = Control::start();
            let mut pair = outdated(lab)?;
            let (through, gateway) = (Echo::through(lab)?, Echo::at_gateway(lab)?);
            let steady = || through.is_steady(INTERVAL) && gateway.is_steady(INTERVAL);
            assert!(poll(LIMIT, INTERVAL, steady), "no traffic");
            let began = Stamp::now();
            let (code, text) = run(&mut pair, 0, &["upgrade"], usize::MAX)?;
            assert_eq!(code, Some(0), "{text}");
            let page = shown("Each line appears")?;
            assert_eq!(constant(&text), constant(&page), "{text}");
            pair.wait_active(0)?;
            for echo in [&through, &gateway] {
                control.judge_lossless("an upgrade", echo, began)?;
            }
            pair.wait("a pair that is OK", || {
                (0..2).all(|site| found(&pair, site).is_empty())
            })?;
            Ok(())
        });
    }

    const CONNECTIONS: u32 = 1_000;
    const TRANSFERS: u16 = 8;
    const RATE: u64 = 100_000;

    /// Both nodes have another build and the one of before in turns. `SPARED_ROUNDS` says how often.
    #[test]
    #[ignore = "20 upgrades take 10 minutes"]
    fn upgrades_there_and_back_lose_nothing_from_either_node() {
        scenario(2, |lab| {
            let mut plan = synced::plan("");
            plan.plugins.push(peer(""));
            plan.is_managed = true;
            if let Some(link) = &mut plan.link {
                link.prefer = Some("r1".to_owned());
            }
            let mut pair = Synced::start(lab, &plan, &Ruleset::snat())?;
            pair.wait_active(0)?;
            thread::sleep(LOOK);
            let transfer = |number| {
                let server = SocketAddr::from((Wire::Wan.ipv4(CLIENT), 8000 + number));
                Transfer::start(Ends::plain(&lab.lan, &lab.wan, server), RATE)
            };
            let transfers = (0..TRANSFERS).map(transfer).collect::<Result<Vec<_>>>()?;
            Crowd::tcp(CONNECTIONS).create(&lab.sites[0].ns)?;
            let load = Load {
                through: Echo::through(lab)?,
                gateway: Echo::at_gateway(lab)?,
                control: Control::start(),
                transfers,
            };
            load.wait_steady()?;
            for round in 0..number("SPARED_ROUNDS", 20) {
                let (began, from) = (Stamp::now(), Instant::now());
                upgrade(&mut pair, (round % 2) as usize)?;
                load.judge_lossless(began)?;
                load.wait_kept(&pair)?;
                println!("round {round}: {:.1} s", from.elapsed().as_secs_f64());
            }
            for transfer in load.transfers {
                transfer.finish(LIMIT)?;
            }
            Ok(())
        });
    }

    /// Traffic that an upgrade must not disturb.
    struct Load {
        through: Echo,
        gateway: Echo,
        control: Control,
        transfers: Vec<Transfer>,
    }

    impl Load {
        fn wait_steady(&self) -> Result<()> {
            let steady = || self.through.is_steady(INTERVAL) && self.gateway.is_steady(INTERVAL);
            let is_steady = poll(LIMIT, INTERVAL, steady);
            is_steady.then_some(()).ok_or_else(|| "no traffic".into())
        }

        fn judge_lossless(&self, began: Stamp) -> Result<()> {
            for echo in [&self.through, &self.gateway] {
                self.control.judge_lossless("an upgrade", echo, began)?;
            }
            Ok(())
        }

        /// Waits until both nodes have all connections, and all of these move.
        fn wait_kept(&self, pair: &Synced<'_>) -> Result<()> {
            let all = CONNECTIONS as usize + self.transfers.len();
            let has_all = |site: usize| count(&pair.site(site).ns).is_ok_and(|it| it >= all);
            pair.wait("every connection on both nodes", || (0..2).all(has_all))?;
            let mut transfers = self.transfers.iter();
            transfers.try_for_each(|it| it.wait_moves(LIMIT))
        }
    }

    /// Installs another build on both nodes, and upgrades them by a command on one.
    fn upgrade(pair: &mut Synced<'_>, site: usize) -> Result<()> {
        for router in &pair.routers {
            for plugin in ["messenger", "conntrack"] {
                install_other_build(&router.dir.join(format!("plugins/{plugin}.so")))?;
            }
        }
        pair.wait("both nodes outdated, said by both", || {
            (0..2).all(|site| found(pair, site) == ["SP-0894", "SP-0894"])
        })?;
        let (code, text) = run(pair, site, &["upgrade"], usize::MAX)?;
        if code != Some(0) {
            return Err(format!("{code:?}: {text}").into());
        }
        pair.wait_active(0)?;
        pair.wait("a pair that is OK", || {
            (0..2).all(|site| found(pair, site).is_empty())
        })
    }
}
