//! Plans the switchovers of `sparectl switch`, and answers with their results.

use std::collections::BTreeMap;

use spared_group::{Insistence, Refusal, StandingOrder, judge};
use spared_message::control::{Answer, ErrorCode, refusal};

use crate::View;

/// Switchovers in progress, and results of those that have ended.
#[derive(Debug, Default)]
pub struct Switch {
    requests: BTreeMap<u64, Move>,
    lines: Vec<String>,
    /// Lines that follow the results, for example that a group will switch back.
    hints: Vec<String>,
    faults: Vec<String>,
}

/// Switchover of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    pub group: String,
    pub from: String,
    pub to: String,
}

/// Switchovers to begin, and lines of their answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    pub moves: Vec<Move>,
    /// Lines about groups that need no switchover.
    pub lines: Vec<String>,
    /// Lines about groups that will switch back.
    pub hints: Vec<String>,
}

/// Plan of a request for one group.
enum Plan {
    Move(Move),
    /// The group is already active on the wanted node. The text says so.
    Already(String),
    Refused(Vec<String>),
}

impl Switch {
    /// Begins switchovers, each under a number that `next_number` returns.
    pub fn begin(planned: Planned, mut next_number: impl FnMut() -> u64) -> Self {
        let moves = planned.moves.into_iter();
        Self {
            requests: moves.map(|step| (next_number(), step)).collect(),
            lines: planned.lines,
            hints: planned.hints,
            faults: Vec::new(),
        }
    }

    /// Returns number and group of each switchover that has not ended.
    pub fn groups(&self) -> Vec<(u64, String)> {
        let requests = self.requests.iter();
        requests
            .map(|(request, step)| (*request, step.group.clone()))
            .collect()
    }

    pub fn awaits(&self, request: u64) -> bool {
        self.requests.contains_key(&request)
    }

    pub fn is_complete(&self) -> bool {
        self.requests.is_empty()
    }

    pub fn answer(self) -> Answer {
        if self.faults.is_empty() {
            let lines = self.lines.into_iter().chain(self.hints).collect();
            return Answer::Done { lines };
        }
        let lines = self.faults.into_iter().chain(self.lines).collect();
        let code = ErrorCode::Failed;
        Answer::Error { code, lines }
    }

    /// Adds both nodes' names to lines such as "office: switched over within 12 ms".
    pub fn end(&mut self, request: u64, result: Result<Vec<String>, String>) {
        let Some(Move { group, from, to }) = self.requests.remove(&request) else {
            return;
        };
        match result {
            Ok(said) => {
                let prefix = format!("{group}: ");
                let said = said.iter().map(|line| {
                    let bare = line.strip_prefix(&prefix).unwrap_or(line);
                    format!("{group}: {to} takes over from {from}, {bare}")
                });
                self.lines.extend(said);
            }
            Err(why) => self.faults.push(why),
        }
    }
}

impl Move {
    // Returns the answer to a refused switchover.
    fn refused(&self, refusal: Refusal) -> Vec<String> {
        let Self { group, from, to } = self;
        match refusal {
            Refusal::GiverUnable(why) => {
                vec![format!("{group}: {from} cannot switch it over: {why}")]
            }
            Refusal::CandidateUnable(why) => vec![format!("{group}: {to} cannot take over: {why}")],
            Refusal::Ordered(order) => {
                let node = match order {
                    StandingOrder::ForcedActive => from,
                    StandingOrder::ForcedBackup | StandingOrder::Maintenance => to,
                };
                vec![format!("{group}: {}", order.sentence(node))]
            }
            Refusal::NotReady(lacks) => {
                unless_anyway(format!("{group}: {to} is not ready to take over:"), lacks)
            }
        }
    }
}

/// Returns the lines of a refusal that `--anyway` overrides.
pub(crate) fn unless_anyway(line: String, lacks: Vec<String>) -> Vec<String> {
    let hint = "use --anyway to override".to_owned();
    [vec![line], lacks, vec![hint]].concat()
}

impl View<'_> {
    /// Plans the switchover of a group, or of all. If one group is refused, none is switched over.
    ///
    /// # Errors
    /// Reasons against the switchovers.
    pub fn plan_switch(
        &self,
        group: Option<&str>,
        to: Option<&str>,
        anyway: bool,
    ) -> Result<Planned, Answer> {
        let names = self.groups_named(group)?;
        let Some(peer) = self.peer else {
            let why = "there is no [[link]]: a switch needs one";
            return Err(refusal(ErrorCode::Refused, why));
        };
        if let Some(node) = to.filter(|node| *node != peer && *node != self.own) {
            return Err(refusal(ErrorCode::Usage, self.no_such_node(node)));
        }
        if !self.is_peer_up {
            let why = format!("{peer} is not heard: no link is up");
            return Err(refusal(ErrorCode::Refused, why));
        }
        let insistence = Insistence::of_order(anyway);
        let plans = names.iter().map(|name| self.plan_move(name, to, peer));
        let (mut planned, mut objections) = (Planned::default(), Vec::new());
        for plan in plans.map(|plan| self.judge(plan, insistence)) {
            match plan {
                Plan::Move(step) => {
                    planned.hints.extend(self.goes_back(&step));
                    planned.moves.push(step);
                }
                Plan::Already(line) => planned.lines.push(line),
                Plan::Refused(lines) => objections.extend(lines),
            }
        }
        if objections.is_empty() {
            return Ok(planned);
        }
        Err(Answer::Error {
            code: ErrorCode::Refused,
            lines: objections,
        })
    }

    fn plan_move(&self, group: &str, to: Option<&str>, peer: &str) -> Plan {
        let own = self.own;
        let is_here = self.is_active_here(group);
        let is_there = self.is_active_there(group);
        let step = |from: &str, to: &str| {
            Plan::Move(Move {
                group: group.to_owned(),
                from: from.to_owned(),
                to: to.to_owned(),
            })
        };
        match (to, is_here, is_there) {
            (Some(node), true, _) if node == own => {
                Plan::Already(format!("{group}: {own} is active already"))
            }
            (Some(node), false, true) if node == peer => {
                Plan::Already(format!("{group}: {peer} is active already"))
            }
            (_, true, _) => step(own, peer),
            (_, false, true) => step(peer, own),
            (_, false, false) => Plan::Refused(vec![format!(
                "{group}: neither {own} nor {peer} is active: there is nothing to switch over"
            )]),
        }
    }

    // Refuses a move by the same rules as both nodes when they perform it.
    fn judge(&self, plan: Plan, insistence: Insistence) -> Plan {
        let Plan::Move(step) = plan else { return plan };
        let giver = self.giver(&step.group, &step.from);
        let candidate = self.candidate(&step.group, &step.to);
        match judge(&giver, &candidate, insistence) {
            Ok(()) => Plan::Move(step),
            Err(refusal) => Plan::Refused(step.refused(refusal)),
        }
    }

    /// Returns a line if the election will reverse the switchover.
    // A switch does not overrule the election, unlike `force`: the group would switch back because of the quality.
    fn goes_back(&self, step: &Move) -> Option<String> {
        let own = self.quality;
        let there = self.there?.quality;
        let (from, to) = if step.to == self.own {
            (there, own)
        } else {
            (own, there)
        };
        let Move { group, .. } = step;
        (u32::from(from) >= u32::from(to) + spared_abi::QUALITY_STEP).then(|| {
            let (giver, taker) = (&step.from, &step.to);
            format!(
                "{group}: {taker}'s quality is {to} and {giver}'s is {from}: \
                 it will soon switch back; `sparectl force` prevents that"
            )
        })
    }
}
