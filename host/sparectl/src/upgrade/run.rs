//! The run of an upgrade: asks, waits, gives the next order, and says how to go on or back where it stops. A test gives
//! it a pair of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use spared_message::control::{Answer, Finding, Request, Status};
use spared_verdict::{Id, time};

use super::plan::{Node, Step, all, next};
use super::{Pair, Upgrade};
use crate::refusal::Refusal;

/// Maximum time until the pair is OK after a step.
const STEP_MAX: Duration = Duration::from_secs(120);
/// Time for which the pair must be OK, as a daemon looks at its files every two seconds.
const HOLDS: Duration = Duration::from_secs(3);
/// Maximum time until a node that has just started knows the other one's state.
const REPORTED_MAX: Duration = Duration::from_secs(10);
/// Number of times that an order is given.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(250);
/// Time for which roles are held, the longest freeze.
const HELD_S: i64 = 3600;
const HELD: &str = "are held for an hour at most: `sparectl freeze off` ends that";
/// Findings that an upgrade causes.
const OWN: [Id; 2] = [Id::Frozen, Id::Outdated];

pub(super) struct Run<P> {
    pair: P,
    upgrade: Upgrade,
    /// Obstacles from before, which are none any more.
    before: BTreeSet<String>,
}

impl<P: Pair> Run<P> {
    pub(super) fn new(pair: P, upgrade: Upgrade) -> Self {
        Self {
            pair,
            upgrade,
            before: BTreeSet::new(),
        }
    }

    /// Takes every step that is left. The error says where it stopped, and how to go on or back.
    pub(super) fn run(mut self) -> Result<(), Refusal> {
        let mut status = self.reported_status()?;
        let peer = both(&status).ok_or(
            "the other node is not heard over the link, and is not upgraded: \
             `sparectl status` says why; alone on this node: systemctl restart spared",
        )?;
        let names = format!("{} and {}", status.node, peer.node);
        let steps = all(self.nodes(&status)?);
        if steps.is_empty() {
            return self.end(&names, &status);
        }
        self.note_before(&status)?;
        if self.upgrade.dry_run {
            steps
                .iter()
                .for_each(|it| self.pair.say(&self.sentence(it)));
            return Ok(());
        }
        self.hold(&status)
            .map_err(|refusal| refusal.with_line("not begun: roles are not held"))?;
        let mut nodes = self.nodes(&status)?;
        status = self
            .wait(|_| true)
            .map_err(|why| self.stopped(&why, &nodes, None))?;
        loop {
            nodes = self.nodes(&status)?;
            let Some(step) = next(&nodes) else { break };
            self.pair.say(&self.sentence(&step));
            status = self
                .take(&step, &status)
                .map_err(|why| self.stopped(&why, &nodes, Some(&step)))?;
        }
        let end = format!("{names} run what is installed");
        self.release()
            .map_err(|refusal| refusal.with_line(&format!("{end}, but roles {HELD}")))?;
        self.pair.say(&end);
        Ok(())
    }

    // Ends without a step. After the last reboot roles are still held.
    fn end(&self, names: &str, status: &Status) -> Result<(), Refusal> {
        if !self.upgrade.reboot {
            self.pair.say(&format!(
                "{names} run what is installed: there is nothing to do"
            ));
            // by an administrator, or by a run that ended before it let go of them
            if let Some(until) = &status.orders.frozen_until {
                self.pair.say(&format!(
                    "roles are held until {until}: `sparectl freeze off` ends that"
                ));
            }
            return Ok(());
        }
        if !self.upgrade.dry_run {
            self.release()?;
        }
        self.pair.say(&format!("{names} were booted again"));
        Ok(())
    }

    /// Returns what a step does, as one line.
    fn sentence(&self, step: &Step) -> String {
        match step {
            Step::Restart(node) if self.upgrade.reboot => {
                format!("{node} is backup: its machine is booted again")
            }
            Step::Restart(node) => format!("{node} is backup: spared is started again there"),
            Step::Switch(to) => format!("{to} takes over"),
        }
    }

    /// Returns why it stopped, and how to go on and back: from what the nodes ran before the step, if it was one.
    fn stopped(&self, why: &str, nodes: &[Node; 2], step: Option<&Step>) -> String {
        // a daemon may have begun to end, a machine has not
        let begun = step.filter(|_| !self.upgrade.reboot);
        let is_new = |node: &&Node| {
            !node.is_due || begun.is_some_and(|it| *it == Step::Restart(node.name.clone()))
        };
        let new: Vec<&str> = nodes
            .iter()
            .filter(is_new)
            .map(|it| it.name.as_str())
            .collect();
        let new = new.join(" and ");
        let back = match (new.as_str(), self.upgrade.reboot) {
            ("", false) => {
                "install the earlier package on both nodes: neither was started again".to_owned()
            }
            ("", true) => "nothing is to be done: neither machine was booted again".to_owned(),
            (new, false) => format!(
                "install the earlier package on both nodes, and `systemctl restart spared` on {new} while it is backup"
            ),
            (new, true) => format!("boot {new} with what it ran before, while it is backup"),
        };
        format!(
            "{why}\nstopped: roles {HELD}\nto go on, run the command again, on either node: it continues from here\nto go back: {back}"
        )
    }

    // Notes the obstacles that are none. Without --anyway there may be none.
    fn note_before(&mut self, status: &Status) -> Result<(), String> {
        let lines = self.obstacles(status);
        if !(lines.is_empty() || self.upgrade.anyway) {
            let hint =
                "not begun: mend that first; with --anyway only what comes new is an obstacle";
            return Err([lines, vec![hint.to_owned()]].concat().join("\n"));
        }
        let all = findings(status).chain(lacks(status));
        self.before = all.map(|(key, _)| key).collect();
        Ok(())
    }

    /// Keeps roles from moving because of quality or preference. The freeze also tells later runs when a series of
    /// reboots has begun.
    fn hold(&self, status: &Status) -> Result<(), Refusal> {
        if self.upgrade.reboot && status.orders.frozen_until.is_some() {
            return Ok(());
        }
        let for_ms = HELD_S.unsigned_abs() * 1000;
        self.order(None, Request::Freeze { for_ms }).map(drop)
    }

    fn release(&self) -> Result<(), Refusal> {
        self.order(None, Request::Freeze { for_ms: 0 }).map(drop)
    }

    // Takes a step, and returns the status once the pair is OK.
    fn take(&self, step: &Step, before: &Status) -> Result<Box<Status>, String> {
        match step {
            Step::Switch(to) => self.switch(to),
            Step::Restart(node) if self.upgrade.reboot => self.reboot(node, before),
            Step::Restart(node) => self.restart(node, before),
        }
    }

    // An order that fails loses nothing: the link may be down for a moment. It may also have arrived, and its answer not.
    fn restart(&self, node: &str, before: &Status) -> Result<Box<Status>, String> {
        let is_new = |after: &Status| started(after, node) != started(before, node);
        let mut more = 1..TRIES;
        while let Err(Refusal { why, .. }) = self.order(Some(node), Request::Restart) {
            if more.next().is_none() {
                return Err(why);
            }
            self.pair.say(&format!("{why}; again"));
            let status = self.wait(|_| true)?;
            if is_new(&status) {
                return Ok(status);
            }
        }
        self.wait(is_new)
    }

    // A switchover that fails loses nothing, and may succeed a moment later.
    fn switch(&self, to: &str) -> Result<Box<Status>, String> {
        let switch = Request::Switch {
            group: None,
            to: Some(to.to_owned()),
            anyway: false,
        };
        let mut more = 1..TRIES;
        let lines = loop {
            match self.order(None, switch.clone()) {
                Ok(lines) => break lines,
                Err(refusal) if more.next().is_none() => return Err(refusal.why),
                Err(refusal) => self.pair.say(&format!("{refusal}; again")),
            }
            self.wait(|_| true)?;
        };
        lines.iter().for_each(|it| self.pair.say(it));
        self.wait(|_| true)
    }

    // The command ends with the machine, and goes on when it is run again.
    fn reboot(&self, node: &str, status: &Status) -> Result<Box<Status>, String> {
        if node != status.node {
            return Err(format!(
                "no node boots the machine of another: run `sparectl upgrade --reboot` on {node}, and then here again"
            ));
        }
        self.pair.boot()?;
        self.pair
            .say("when this machine is back: sparectl upgrade --reboot");
        self.pair.sleep(STEP_MAX);
        Err("this machine does not go down: `systemctl status` shows what keeps it".to_owned())
    }

    /// Asks until a node that has just started knows the other one's state, which comes after the link.
    fn reported_status(&self) -> Result<Box<Status>, Refusal> {
        let begun = self.pair.now();
        loop {
            let status = self.status()?;
            if !is_mute(&status) || self.pair.now() - begun >= REPORTED_MAX {
                return Ok(status);
            }
            self.pair.sleep(PAUSE);
        }
    }

    /// Waits until the pair has been OK for a while, and both nodes report `has_effect`.
    fn wait(&self, has_effect: impl Fn(&Status) -> bool) -> Result<Box<Status>, String> {
        let begun = self.pair.now();
        let mut since: Option<Duration> = None;
        let mut why = Vec::new();
        while self.pair.now() - begun < STEP_MAX {
            match self.status() {
                Ok(status) if both(&status).is_some() && has_effect(&status) => {
                    why = self.obstacles(&status);
                    since = why.is_empty().then(|| since.unwrap_or(self.pair.now()));
                    if since.is_some_and(|since| self.pair.now() - since >= HOLDS) {
                        return Ok(status);
                    }
                }
                Ok(status) if both(&status).is_some() => {
                    (since, why) = (None, vec!["the node was not started again".to_owned()]);
                }
                Ok(_) => (since, why) = (None, vec!["the other node is not heard".to_owned()]),
                Err(refusal) => (since, why) = (None, vec![refusal.why]),
            }
            self.pair.sleep(PAUSE);
        }
        why.push(format!("the pair is not OK after {} s", STEP_MAX.as_secs()));
        Err(why.join("\n"))
    }

    /// Returns what is in the way, one line each: findings or, without any, what a node lacks to take over.
    fn obstacles(&self, status: &Status) -> Vec<String> {
        let new = |(key, line)| (!self.before.contains(&key)).then_some(line);
        let found: Vec<String> = findings(status).filter_map(new).collect();
        if found.is_empty() {
            lacks(status).filter_map(new).collect()
        } else {
            found
        }
    }

    fn nodes(&self, status: &Status) -> Result<[Node; 2], String> {
        let peer = both(status).ok_or("the other node is not heard")?;
        if is_mute(status) {
            let peer = &peer.node;
            return Err(format!(
                "{peer} has not reported yet what it runs: try again"
            ));
        }
        Ok([status, peer].map(|it| Node {
            name: it.node.clone(),
            is_active: it.groups.iter().any(|group| group.role == "active"),
            is_due: if self.upgrade.reboot {
                is_booted_before(&it.run.booted, status.orders.frozen_until.as_deref())
            } else {
                let mut findings = status.verdict.findings.iter();
                findings.any(|found| found.is(Id::Outdated) && found.node == it.node)
            },
        }))
    }

    fn status(&self) -> Result<Box<Status>, Refusal> {
        match self.pair.ask(&Request::Status)? {
            Answer::Status(status) => Ok(status),
            other => Err(other.into()),
        }
    }

    /// Gives an order to this node or, over the link, to another. Returns the lines of the answer.
    fn order(&self, node: Option<&str>, request: Request) -> Result<Vec<String>, Refusal> {
        let request = match node {
            None => request,
            Some(node) => Request::Node {
                node: node.to_owned(),
                request: Box::new(request),
            },
        };
        match self.pair.ask(&request)? {
            Answer::Done { lines } => Ok(lines),
            other => Err(other.into()),
        }
    }
}

/// Returns the peer's status, if both nodes report theirs.
fn both(status: &Status) -> Option<&Status> {
    let peer = status.peer.as_deref().filter(|it| it.up)?;
    peer.status.as_deref()
}

/// True if the other node is connected, and what it runs is not known.
fn is_mute(status: &Status) -> bool {
    let mut findings = status.verdict.findings.iter();
    findings.any(|it| it.is(Id::PeerMute))
}

fn started(status: &Status, node: &str) -> Option<String> {
    let nodes = [Some(status), both(status)].into_iter().flatten();
    let mut nodes = nodes.filter(|it| it.node == node);
    nodes.next().map(|it| it.run.started.clone())
}

/// Returns the findings that no upgrade causes: what each is about, and its line.
fn findings(status: &Status) -> impl Iterator<Item = (String, String)> + '_ {
    let findings = status.verdict.findings.iter();
    let findings = findings.filter(|it| !OWN.iter().any(|own| it.is(*own)));
    findings.map(|it| {
        let Finding {
            id, node, thing, ..
        } = it;
        (format!("{id} {node} {thing}"), it.line(&status.at))
    })
}

/// Returns what either node lacks to take over, twice.
fn lacks(status: &Status) -> impl Iterator<Item = (String, String)> + '_ {
    let nodes = [Some(status), both(status)].into_iter().flatten();
    let lacks = nodes.flat_map(|node| {
        let lacks = node.missing.iter().flatten();
        lacks.map(|why| format!("{} is not ready to take over: {why}", node.node))
    });
    lacks.map(|line| (line.clone(), line))
}

/// Returns true if a machine was booted before roles were held. They are held for as long as a freeze may last.
fn is_booted_before(booted: &str, held_until: Option<&str>) -> bool {
    let passed = held_until.and_then(|until| time::seconds(booted, until));
    passed.is_none_or(|passed| passed >= HELD_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_due_until_it_was_booted_after_roles_were_held() {
        let until = Some("2026-11-29T12:00:00+01:00");
        assert!(is_booted_before("2026-11-29T10:59:59+01:00", until));
        assert!(!is_booted_before("2026-11-29T10:01:00Z", until));
        assert!(is_booted_before("2026-11-29T11:30:00+01:00", None));
    }
}
