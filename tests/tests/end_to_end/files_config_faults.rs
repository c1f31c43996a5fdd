// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sparectl config push` while something else happens: both nodes have the new configuration, or both the old one.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{VIRTUAL, Wire, build_dir, scenario};
use spared_tests::linked::INTERVAL;
use spared_tests::pair::Fault;
use spared_tests::random::Random;
use spared_tests::router::Spared;

use crate::files::expect;
use crate::files_config::{Nodes, PUSH};

/// Longest time until a node has gone back by itself, after a watch of 5 s.
const BACK: Duration = Duration::from_secs(90);

/// When something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Checks,
    InForceThere,
    InForceOnBoth,
    EndOfWatch,
}

const STEPS: [Step; 4] = [
    Step::Checks,
    Step::InForceThere,
    Step::InForceOnBoth,
    Step::EndOfWatch,
];

/// A push under way, with the node from which it goes.
pub struct Pushing {
    from: usize,
    program: Child,
}

impl Pushing {
    pub fn begin(nodes: &Nodes<'_>, from: usize, words: &[&str]) -> Result<Self> {
        let mut command = Command::new(build_dir()?.join("sparectl"));
        let folder = Spared(&nodes.pair.routers[from]).runtime_dir();
        command.arg("--runtime-dir").arg(folder).args(words);
        let program = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = program.spawn()?;
        Ok(Self { from, program })
    }

    fn wait_for(&mut self, nodes: &Nodes<'_>, step: Step) -> Result<()> {
        let is_there = |key| nodes.has_row(self.from, key);
        let has_ended = |program: &mut Child| program.try_wait().is_ok_and(|it| it.is_some());
        let program = &mut self.program;
        let mut wait = |key| {
            poll(BACK, INTERVAL, || is_there(key) || has_ended(program));
        };
        match step {
            Step::Checks => {}
            Step::InForceThere => wait("goes_back_on_peer_in"),
            Step::InForceOnBoth => wait("goes_back_in"),
            Step::EndOfWatch => {
                wait("goes_back_in");
                std::thread::sleep(Duration::from_millis(4700));
            }
        }
        Ok(())
    }

    /// Until both nodes have it in force, or it has ended.
    pub fn wait_for_both(&mut self, nodes: &Nodes<'_>) -> Result<()> {
        self.wait_for(nodes, Step::InForceOnBoth)
    }

    /// Exit code, and what it said.
    pub fn end(self) -> Result<(Option<i32>, String)> {
        let output = self.program.wait_with_output()?;
        let text = [output.stdout.as_slice(), &output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok((output.status.code(), text))
    }
}

impl Nodes<'_> {
    /// Writes another value into spared.toml. Returns its line.
    fn set_line(&self, site: usize, number: usize) -> Result<String> {
        let line = format!("settle_ms = {}\n", 300 + number);
        self.edit(site, "spared.toml", |text| {
            let rest = text.replace(&settling(&text), "");
            line.clone() + &rest
        })?;
        Ok(line)
    }

    /// A configuration that no node had.
    fn change(&self, site: usize, number: usize) -> Result<String> {
        let line = self.set_line(site, number)?;
        // both nodes look now
        self.pair.said(site, &["files", "diff", "spared"])?;
        self.wait_row(site, "state", |it| {
            it.starts_with("pending") || it.starts_with("conflict")
        })?;
        Ok(line)
    }

    /// End of what each node records when a change is in force there.
    fn digests(&self, number: usize) -> Result<[String; 2]> {
        let mut digests = [String::new(), String::new()];
        for (site, digest) in digests.iter_mut().enumerate() {
            let before = self.read(site, "spared.toml");
            self.set_line(site, number)?;
            let said = self.pair.done(site, &["reload"])?;
            let mut lines = said.lines();
            let line = lines.find(|it| it.starts_with("reloaded, configuration"));
            line.ok_or("no digest")?.clone_into(digest);
            self.edit(site, "spared.toml", |_| before.clone())?;
            self.pair.done(site, &["reload"])?;
        }
        Ok(digests)
    }

    /// Waits until nothing goes back, and the trees are in one of these states.
    fn wait_rested(&self, states: &[&str], what: &str) -> Result<()> {
        let rests = |site| {
            let state = self.row(site, "state");
            let is_meant = states.iter().any(|it| state.starts_with(it));
            is_meant && !self.has_row(site, "goes_back_in")
        };
        if poll(BACK, INTERVAL, || rests(0) && rests(1)) {
            self.pair.wait_settled()
        } else {
            let found = [0, 1].map(|site| self.pair.said(site, &["files"]));
            Err(format!("{what}: {found:?}").into())
        }
    }

    /// Waits until both have the same files.
    fn wait_one(&self, what: &str) -> Result<()> {
        self.wait_rested(&["synchronized"], what)?;
        let lines = [0, 1].map(|site| settling(&self.read(site, "spared.toml")));
        if lines[0] == lines[1] {
            Ok(())
        } else {
            Err(format!("{what}: {lines:?}").into())
        }
    }

    /// Waits until both have the same files. If only this node has the edit, pushes it.
    fn wait_one_or_pending(&self, site: usize, what: &str) -> Result<()> {
        self.wait_rested(&["synchronized", "pending"], what)?;
        if self.row(site, "state") != "synchronized" {
            self.pair.done(site, &PUSH)?;
        }
        self.wait_one(what)
    }
}

fn settling(text: &str) -> String {
    let line = text.lines().find(|it| it.starts_with("settle_ms"));
    line.map_or_else(String::new, |it| format!("{it}\n"))
}

#[test]
fn a_node_that_refuses_the_reload_takes_the_other_one_back_at_once() {
    scenario(2, |lab| {
        let it = Nodes::ready(lab)?;
        // only the active node would lose an address
        let from = it.pair.at()?;
        let good = it.read(1 - from, "plugins/vrrp.toml");
        let in_force = it.in_force(1 - from);
        let old = Wire::Lan.ipv4(VIRTUAL).to_string();
        let new = Wire::Lan.ipv4(77).to_string();
        it.edit(from, "plugins/vrrp.toml", |text| text.replace(&old, &new))?;
        it.wait_row(from, "state", |it| it.starts_with("pending"))?;
        // by itself it would go back after eleven minutes
        let mut push = PUSH;
        push[3] = "10m";
        let (code, said) = match it.pair.said(from, &push)? {
            (0, said) => return Err(format!("it was done: {said}").into()),
            failed => failed,
        };
        expect(&said, "would lose")?;
        let there = 2 - from;
        expect(&said, &format!("r{there}: the configuration is in force"))?;
        expect(&said, "the old configuration is in force again")?;
        assert_eq!(code, 1, "{said}");
        it.pair.wait("the old configuration", || {
            it.read(1 - from, "plugins/vrrp.toml") == good && it.in_force(1 - from) == in_force
        })?;
        // the edit stays where it was made
        expect(&it.read(from, "plugins/vrrp.toml"), &new)?;
        it.wait_row(from, "state", |it| it.starts_with("pending"))
    });
}

/// At each step the role moves to the other node and from it; each push is from another node than the last.
#[test]
fn roles_that_change_at_any_step_of_a_push_are_no_reason_to_go_back() {
    scenario(2, |lab| {
        let it = Nodes::ready(lab)?;
        let from = Stamp::now();
        for (number, step) in STEPS.into_iter().chain(STEPS).enumerate() {
            let site = (number / STEPS.len() + number) % 2;
            let line = it.change(site, number)?;
            let mut pushing = Pushing::begin(&it, site, &PUSH)?;
            pushing.wait_for(&it, step)?;
            let active = it.pair.at()?;
            it.pair.switch(active)?;
            it.pair.wait_active(1 - active)?;
            let (code, said) = pushing.end()?;
            assert_eq!(code, Some(0), "{step:?} from r{}: {said}", site + 1);
            it.wait_one(&format!("{step:?}"))?;
            expect(&it.read(1 - site, "spared.toml"), &line)?;
        }
        it.pair.one_answered(from)
    });
}

/// Sentence of a start that takes a configuration back.
const AT_A_START: &str = "nobody confirmed the last reload before the daemon ended";

#[test]
fn a_daemon_that_is_killed_during_a_push_leaves_one_configuration() {
    scenario(2, |lab| {
        let mut it = Nodes::ready(lab)?;
        let cases = [
            (Step::InForceThere, 0),
            (Step::InForceThere, 1),
            (Step::InForceOnBoth, 0),
            (Step::InForceOnBoth, 1),
        ];
        for (number, (step, victim)) in cases.into_iter().enumerate() {
            it.change(0, number)?;
            let mut pushing = Pushing::begin(&it, 0, &PUSH)?;
            pushing.wait_for(&it, step)?;
            let waits = it.has_row(victim, "goes_back_in");
            let taken_back =
                |it: &Nodes<'_>| it.pair.routers[victim].log().matches(AT_A_START).count();
            let before = taken_back(&it);
            it.pair.begin_fault(Fault::Kill, victim)?;
            let (site, plan) = (&lab.sites[victim], it.pair.plans[victim].clone());
            it.pair.routers[victim].start_again(lab, site, &plan)?;
            // what waits goes on to wait, until the push that goes on takes it back
            let answers = || !it.in_force(victim).is_empty();
            if waits && poll(BACK, INTERVAL, answers) && taken_back(&it) != before {
                return Err(format!("{step:?}: r{} is back at once", victim + 1).into());
            }
            let (code, said) = pushing.end()?;
            let what = format!("{step:?}, r{} killed: exit {code:?}: {said}", victim + 1);
            it.wait_one_or_pending(0, &what)?;
        }
        Ok(())
    });
}

fn cut_at(step: Step) {
    scenario(2, |lab| {
        let it = Nodes::ready(lab)?;
        let good = [0, 1].map(|site| it.in_force(site));
        it.change(0, 0)?;
        // a way back that removes an address of an active group
        let more =
            |text: String| text.replace("\"10.2.0.1/24\"", "\"10.2.0.1/24\", \"10.2.0.9/24\"");
        it.edit(0, "plugins/vrrp.toml", more)?;
        assert!(it.read(0, "plugins/vrrp.toml").contains("10.2.0.9"));
        let mut pushing = Pushing::begin(&it, 0, &PUSH)?;
        pushing.wait_for(&it, step)?;
        lab.cut(&lab.sites[0], Wire::Hot)?;
        let (code, said) = pushing.end()?;
        assert_eq!(code, Some(1), "{said}");
        let is_old = || [0, 1].map(|site| it.in_force(site)) == good;
        assert!(poll(BACK, INTERVAL, is_old), "{said}");
        lab.join(&lab.sites[0], Wire::Hot)?;
        it.wait_one_or_pending(0, &said)
    });
}

#[test]
fn a_link_that_is_cut_between_the_nodes_leaves_the_old_configuration() {
    cut_at(Step::InForceThere);
}

#[test]
fn a_link_that_is_cut_during_the_watch_leaves_the_old_configuration() {
    cut_at(Step::InForceOnBoth);
}

/// A push that says that its configuration is in force on a node, and what the node has recorded since.
fn claims_are_true(said: &str, digests: &[String; 2], since: &[String; 2]) -> Result<()> {
    for (number, (digest, log)) in (1..).zip(digests.iter().zip(since)) {
        let claim = format!("r{number}: the configuration is in force");
        if said.contains(&claim) && !log.contains(digest) {
            return Err(format!("not {digest}: {said}\n{log}").into());
        }
    }
    Ok(())
}

/// From both nodes with different files, and from two terminals of one node.
#[test]
fn two_pushes_at_once_are_one_or_none_and_speak_of_their_own_files() {
    scenario(2, |lab| {
        let mut random = Random::from_environment();
        let it = Nodes::ready(lab)?;
        let logs = || [0, 1].map(|site| it.pair.routers[site].log());
        for (number, other) in [(0, 1), (2, 1), (4, 1), (6, 0)] {
            let digests = [it.digests(number)?, it.digests(number + other)?];
            let first = it.change(0, number)?;
            let lines = match other {
                0 => [first.clone(), first],
                _ => [first, it.change(1, number + 1)?],
            };
            let words = [&PUSH[..], &["--anyway"]].concat();
            let before = logs().map(|log| log.len());
            let first = Pushing::begin(&it, 0, &words)?;
            let delay = match number {
                0 => Duration::ZERO,
                _ => random.time(1500),
            };
            std::thread::sleep(delay);
            let second = Pushing::begin(&it, other, &words)?;
            let said = [first.end()?, second.end()?];
            println!("after {delay:?}: {said:?}");
            let since = logs();
            let since = [0, 1].map(|site| since[site][before[site]..].to_owned());
            for ((code, said), digests) in said.iter().zip(&digests) {
                claims_are_true(said, digests, &since)?;
                let is_done = said.contains("both nodes have the same configuration in force");
                assert_eq!(is_done, *code == Some(0), "{said}");
            }
            let done = said.iter().filter(|(code, _)| *code == Some(0)).count();
            assert!(done < 2 || lines[0] == lines[1], "{said:?}");
            let has = |site: usize, line: &str| it.read(site, "spared.toml").contains(line);
            match said.iter().position(|(code, _)| *code == Some(0)) {
                Some(winner) => {
                    it.wait_one(&format!("{said:?}"))?;
                    assert!(has(0, &lines[winner]) && has(1, &lines[winner]), "{said:?}");
                }
                // both are refused and keep what they had
                None => {
                    let keep = || has(0, &lines[0]) && (other == 0 || has(1, &lines[1]));
                    assert!(poll(BACK, INTERVAL, keep), "{said:?}");
                    it.pair.done(0, &words)?;
                    it.wait_one("the second try")?;
                }
            }
        }
        Ok(())
    });
}
