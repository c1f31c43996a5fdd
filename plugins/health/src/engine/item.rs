//! A check of the file: its schedule, its run, and the states that it reports.

use std::collections::BTreeMap;

use super::damped_state::{DampedState, Reported};
use super::ping::{Answer, Round};
use super::{ANY_INTERFACE, Action, Finding, Job, KEPT_NS, Link};
use crate::config::{Check, Kind, Members};

/// Interval in ns of a check whose first results are bad.
const SOON_NS: u64 = 1_000_000_000;

#[derive(Debug)]
pub(super) struct Item {
    pub(super) check: Check,
    /// States by reported name: the check's, or one for each member.
    pub(super) states: BTreeMap<String, DampedState>,
    /// Time of the next run; None while the check is paused, and if the kernel reports changes.
    pub(super) next_ns: Option<u64>,
    pub(super) run: Option<Run>,
    pub(super) is_paused: bool,
    /// Time when results from the time as active node are too old.
    pub(super) forget_ns: Option<u64>,
    /// True if nobody has reported the role of its group.
    pub(super) is_group_unknown: bool,
    /// Reason why no result is known, as last reported to the daemon.
    unknown: Option<String>,
    round: Round,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) id: u64,
    until_ns: u64,
}

impl Check {
    pub(super) fn is_ping(&self) -> bool {
        matches!(self.kind, Kind::Ping(_))
    }
}

impl Item {
    pub(super) fn new(check: Check, due_ns: u64) -> Self {
        let mut item = Self {
            check,
            states: BTreeMap::new(),
            next_ns: None,
            run: None,
            // the first look at the roles may pause the check at once
            is_paused: false,
            forget_ns: None,
            is_group_unknown: false,
            unknown: None,
            round: Round::default(),
        };
        item.next_ns = item.is_polled().then_some(due_ns);
        item
    }

    /// Takes the changes of a reload, except of the kind.
    pub(super) fn apply(&mut self, now_ns: u64, check: Check) {
        let next_ns = now_ns.saturating_add(check.timing.interval_ns);
        self.next_ns = self.next_ns.map(|old_ns| old_ns.min(next_ns));
        self.check = check;
    }

    pub(super) fn is_polled(&self) -> bool {
        !matches!(self.check.kind, Kind::Interface { members: None, .. })
    }

    pub(super) fn is_running(&self, id: u64) -> bool {
        self.run.is_some_and(|run| run.id == id)
    }

    /// Interfaces whose events matter, each with true if sockets to ping are needed.
    pub(super) fn interfaces(&self) -> Vec<(String, bool)> {
        match &self.check.kind {
            Kind::Interface { interface, .. } => {
                let members = self.states.keys().filter_map(|name| self.member(name));
                let members = members.map(|member| (member.to_owned(), false));
                [(interface.clone(), false)]
                    .into_iter()
                    .chain(members)
                    .collect()
            }
            Kind::Ping(ping) => {
                let any = || ANY_INTERFACE.to_owned();
                vec![(ping.interface.clone().unwrap_or_else(any), true)]
            }
            _ => Vec::new(),
        }
    }

    /// Name of the member in a reported name: "eth1" in "bond0.eth1".
    fn member<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(self.check.name.as_str())?
            .strip_prefix('.')
    }

    pub(super) fn handle_link(&mut self, now_ns: u64, name: &str, link: Link) {
        if self.is_paused {
            return;
        }
        let Kind::Interface { interface, members } = &self.check.kind else {
            return;
        };
        let own = interface == name;
        if members.is_some() {
            let member = format!("{}.{name}", self.check.name);
            if own || self.states.contains_key(&member) {
                self.next_ns = Some(now_ns);
            }
        } else if own {
            let _ = self.handle_result(now_ns, vec![link.finding()]);
        }
    }

    pub(super) fn resume(&mut self, now_ns: u64, links: &BTreeMap<String, Link>) {
        self.is_paused = false;
        self.forget_ns = None;
        for state in self.states.values_mut() {
            state.drop_candidate();
        }
        if self.is_polled() {
            self.next_ns = Some(now_ns);
        } else if let Kind::Interface { interface, .. } = &self.check.kind {
            if let Some(link) = links.get(interface) {
                let _ = self.handle_result(now_ns, vec![link.finding()]);
            }
        }
    }

    pub(super) fn pause(&mut self, now_ns: u64) {
        self.is_paused = true;
        self.next_ns = None;
        for state in self.states.values_mut() {
            state.drop_candidate();
        }
        self.forget_ns = (!self.states.is_empty()).then(|| now_ns.saturating_add(KEPT_NS));
    }

    /// True if a run is due; plans the next one.
    pub(super) fn poll_due(&mut self, now_ns: u64) -> bool {
        if self.run.is_some() || self.next_ns.is_none_or(|next_ns| next_ns > now_ns) {
            return false;
        }
        self.next_ns = Some(now_ns.saturating_add(self.check.timing.interval_ns));
        true
    }

    pub(super) fn start(&mut self, now_ns: u64, id: u64) {
        let until_ns = now_ns.saturating_add(self.check.timing.timeout_ns);
        self.run = Some(Run { id, until_ns });
        if let Kind::Ping(ping) = &self.check.kind {
            self.round.begin(ping);
        }
    }

    pub(super) fn job(&self) -> Option<Job> {
        let spawn = |argv: Vec<String>, output, system| Job::Spawn {
            check: self.check.name.clone(),
            argv,
            output,
            system,
        };
        Some(match &self.check.kind {
            Kind::Ping(_) | Kind::Interface { members: None, .. } => return None,
            Kind::Tcp { to } => Job::Connect(*to),
            Kind::Unit { unit } => {
                let argv = ["systemctl", "is-active", "--", unit];
                spawn(argv.map(str::to_owned).to_vec(), false, true)
            }
            Kind::Script { argv, output } => spawn(argv.clone(), *output, false),
            kind => Job::Read(kind.clone()),
        })
    }

    /// Ends a run that took too long, with the finding that follows from it.
    pub(super) fn poll_late(&mut self, now_ns: u64) -> Option<(u64, Finding)> {
        let run = self.run.filter(|run| now_ns >= run.until_ns)?;
        let timeout = std::time::Duration::from_nanos(self.check.timing.timeout_ns);
        let within = spared_sdk::config::format_duration(timeout);
        let late = format!("no answer within {within}");
        let finding = match &self.check.kind {
            Kind::Ping(ping) => self.round.end(ping, &late),
            Kind::Script { .. } => Finding::failed(format!("did not end within {within}")),
            _ => Finding::failed(late),
        };
        Some((run.id, finding))
    }

    /// Handles the answer to one echo; the last one ends the round.
    pub(super) fn round_answered(&mut self, target: usize, answer: Answer) -> Option<Finding> {
        let Kind::Ping(ping) = &self.check.kind else {
            return None;
        };
        self.round
            .answered(target, answer)
            .then(|| self.round.end(ping, ""))
    }

    /// Takes a result; returns the names that are no longer reported.
    pub(super) fn handle_result(&mut self, now_ns: u64, findings: Vec<Finding>) -> Vec<String> {
        if findings.is_empty() {
            return self.forget();
        }
        let findings = match &self.check.kind {
            Kind::Interface {
                members: Some(Members::All),
                ..
            } => vec![combine_members(&findings)],
            Kind::Interface {
                members: Some(Members::Each),
                interface,
            } => self.for_each_member(interface, findings),
            _ => findings,
        };
        let gone = self.drop_whole(&findings);
        for finding in findings {
            let name = match &finding.part {
                Some(part) => format!("{}.{part}", self.check.name),
                None => self.check.name.clone(),
            };
            let damped = self.states.entry(name).or_default();
            let finding = if self.check.reverse {
                finding.reversed()
            } else {
                finding
            };
            damped.handle_result(now_ns, &self.check.timing, &finding);
        }
        self.run_soon(now_ns);
        gone
    }

    /// Runs a check again soon if its first results are bad, so that a broken node does not count as healthy until a
    /// slow check has failed often enough.
    fn run_soon(&mut self, now_ns: u64) {
        let mut states = self.states.values();
        if states.any(|state| state.is_undecided(&self.check.timing)) {
            let soon_ns = now_ns.saturating_add(SOON_NS);
            self.next_ns = self.next_ns.map(|next_ns| next_ns.min(soon_ns));
        }
    }

    /// Findings for each member. If the interface is gone, so is each member; a removed member has failed, too.
    fn for_each_member(&self, interface: &str, mut findings: Vec<Finding>) -> Vec<Finding> {
        let known: Vec<String> = self
            .states
            .keys()
            .filter_map(|name| self.member(name).map(str::to_owned))
            .collect();
        if let Some(whole) = findings
            .iter()
            .find(|finding| finding.part.is_none())
            .cloned()
        {
            if known.is_empty() {
                return vec![whole];
            }
            let part = |member| Finding {
                part: Some(member),
                ..whole.clone()
            };
            return known.into_iter().map(part).collect();
        }
        for member in known {
            if !findings
                .iter()
                .any(|finding| finding.part.as_deref() == Some(&member))
            {
                findings.push(Finding {
                    part: Some(member),
                    ..Finding::failed(format!("is no longer a member of {interface}"))
                });
            }
        }
        findings
    }

    /// Drops the state of the whole interface, which was reported while it had no members.
    fn drop_whole(&mut self, findings: &[Finding]) -> Vec<String> {
        let whole = findings.iter().any(|finding| finding.part.is_none());
        let state = if whole {
            None
        } else {
            self.states.remove(&self.check.name)
        };
        let was_reported = state.is_some_and(|state| state.was_reported());
        was_reported
            .then(|| self.check.name.clone())
            .into_iter()
            .collect()
    }

    /// Drops all states; returns the names that the daemon knows.
    pub(super) fn forget(&mut self) -> Vec<String> {
        self.forget_ns = None;
        let states = std::mem::take(&mut self.states).into_iter();
        let unknown = self.unknown.take().map(|_| self.check.name.clone());
        let reported = states.filter(|(_, state)| state.was_reported());
        reported.map(|(name, _)| name).chain(unknown).collect()
    }

    pub(super) fn handle_timeout(&mut self, now_ns: u64) {
        for state in self.states.values_mut() {
            state.handle_timeout(now_ns, &self.check.timing);
        }
    }

    pub(super) fn reports(&mut self, now_ns: u64) -> Vec<Action> {
        let weight = self.check.weight;
        let report = |(name, damped): (&String, &mut DampedState)| {
            let Reported {
                state, points, why, ..
            } = damped.poll_report(now_ns, weight)?;
            Some(Action::Report {
                name: name.clone(),
                weight: weight.share(),
                points,
                state,
                why,
            })
        };
        let mut reports: Vec<Action> = self.states.iter_mut().filter_map(report).collect();
        reports.extend(self.poll_unknown());
        reports
    }

    /// Reports that the check is not known, while no result counts yet or if it never runs.
    fn poll_unknown(&mut self) -> Option<Action> {
        let why = self.unknown_why();
        if why == self.unknown {
            return None;
        }
        self.unknown.clone_from(&why);
        let name = self.check.name.clone();
        let weight = self.check.weight.share();
        match why {
            Some(why) => Some(Action::Unknown { name, weight, why }),
            // a result with that name has replaced it
            None if self
                .states
                .get(&name)
                .is_some_and(DampedState::was_reported) =>
            {
                None
            }
            None => Some(Action::Forget(name)),
        }
    }

    fn unknown_why(&self) -> Option<String> {
        if self.states.values().any(DampedState::was_reported) {
            return None;
        }
        let no_result = || (!self.is_paused).then(|| "no result yet".to_owned());
        self.unknown_group_reason().or_else(no_result)
    }

    /// Reason why the check never runs.
    pub(super) fn unknown_group_reason(&self) -> Option<String> {
        let group = self.check.group().filter(|_| self.is_group_unknown)?;
        Some(format!("the role of group {group:?} is not known"))
    }

    pub(super) fn next_timeout(&self) -> Option<u64> {
        let run = self.run.map(|run| run.until_ns);
        let next = self.next_ns.filter(|_| self.run.is_none());
        let states = self.states.values();
        states
            .filter_map(|state| state.next_timeout(&self.check.timing, self.check.weight))
            .chain(run)
            .chain(next)
            .chain(self.forget_ns)
            .min()
    }
}

/// Combines all members to one finding, which fails when the last one fails.
fn combine_members(findings: &[Finding]) -> Finding {
    if let Some(whole) = findings.iter().find(|finding| finding.part.is_none()) {
        return whole.clone();
    }
    let lost: Vec<String> = findings
        .iter()
        .filter(|finding| finding.level == 0)
        .map(|finding| format!("{} {}", finding.part.as_deref().unwrap_or(""), finding.why))
        .collect();
    let up = findings.len() - lost.len();
    let mut why = format!("{up} of {} members up", findings.len());
    if !lost.is_empty() {
        why = format!("{why}: {}", lost.join(", "));
    }
    Finding::new(if up > 0 { 100 } else { 0 }, why)
}
