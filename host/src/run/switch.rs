//! `sparectl switch`: plans the switchovers of groups, and answers with their results.

use std::collections::BTreeMap;
use std::time::Instant;

use spared_control::{Answer, ErrorCode};
use spared_pair::{CauseKind, Forced};
use spared_process::clock;
use spared_worker::message::{Cause, Role};

use super::core::Core;
use super::requests::{Asker, Asking, Question};
use crate::control::refusal;

/// Least difference in quality that changes roles (E9).
const QUALITY_STEP: u8 = 5;

/// Switchovers in progress, and results of those that ended.
#[derive(Debug, Default)]
pub struct Switch {
    wishes: BTreeMap<u64, Move>,
    lines: Vec<String>,
    /// Lines that follow the results, such as that a group will go back.
    hints: Vec<String>,
    faults: Vec<String>,
}

/// Switchover of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Move {
    group: String,
    from: String,
    to: String,
}

enum Plan {
    Move(Move),
    /// The group is active there already.
    Already(String),
    Refused(Vec<String>),
}

impl Switch {
    pub(super) fn is_complete(&self) -> bool {
        self.wishes.is_empty()
    }

    pub(super) fn answer(self) -> Answer {
        if self.faults.is_empty() {
            let lines = self.lines.into_iter().chain(self.hints).collect();
            return Answer::Done { lines };
        }
        let lines = self.faults.into_iter().chain(self.lines).collect();
        let code = ErrorCode::Failed;
        Answer::Error { code, lines }
    }

    // Adds both nodes' names to lines such as "office: switched over within 12 ms".
    fn end(&mut self, wish: u64, result: Result<Vec<String>, String>) {
        let Some(Move { group, from, to }) = self.wishes.remove(&wish) else {
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

impl Core {
    pub(super) fn switch(
        &mut self,
        now: Instant,
        asker: Asker,
        group: Option<&str>,
        to: Option<&str>,
        anyway: bool,
        by: &str,
    ) {
        let moves = match self.plan_switch(group, to, anyway) {
            Ok(moves) => moves,
            Err(answer) => return self.reply(now, asker, &answer),
        };
        let mut switch = Switch::default();
        let now_ns = clock::monotonic_ns();
        let mut begun = Vec::new();
        for plan in moves {
            match plan {
                Plan::Move(step) => {
                    switch.hints.extend(self.goes_back(&step));
                    let wish = self.next_number();
                    begun.push((wish, step.group.clone()));
                    switch.wishes.insert(wish, step);
                }
                Plan::Already(line) => switch.lines.push(line),
                Plan::Refused(_) => {}
            }
        }
        self.await_answers(now, Question::new(asker, Asking::Switch(switch)));
        for (wish, group) in begun {
            let cause = Cause::new(CauseKind::Asked, format!("{by} switched it"));
            self.groups.handle_wish(now_ns, wish, &group, cause, anyway);
        }
    }

    /// Handles the end of a switchover that a client waits for.
    pub(super) fn handle_wish_ended(
        &mut self,
        now: Instant,
        wish: u64,
        result: Result<Vec<String>, String>,
    ) {
        let ended = self.questions.iter_mut().find_map(|(number, question)| {
            let Asking::Switch(switch) = &mut question.kind else {
                return None;
            };
            switch
                .wishes
                .contains_key(&wish)
                .then_some((number, switch))
        });
        let Some((number, switch)) = ended else {
            return;
        };
        let number = *number;
        switch.end(wish, result);
        self.end_if_complete(now, number);
    }

    // If one group is refused, none is switched over.
    fn plan_switch(
        &self,
        group: Option<&str>,
        to: Option<&str>,
        anyway: bool,
    ) -> Result<Vec<Plan>, Answer> {
        let names = self.groups_named(group)?;
        let Some(peer) = self.peer_name() else {
            let why = "there is no [[link]]: another node can be asked for nothing";
            return Err(refusal(ErrorCode::Refused, why));
        };
        if let Some(node) = to.filter(|node| *node != peer && *node != self.setup.host.node) {
            return Err(refusal(ErrorCode::Usage, self.no_such_node(node)));
        }
        if !self.pair.peer.is_up() {
            let why = format!("{peer} is not heard: no link is up");
            return Err(refusal(ErrorCode::Refused, why));
        }
        let plans = names.iter().map(|name| self.plan_move(name, to, peer));
        let plans: Vec<Plan> = plans.map(|plan| self.look_at(plan, peer, anyway)).collect();
        let mut against: Vec<String> = Vec::new();
        for plan in &plans {
            if let Plan::Refused(lines) = plan {
                against.extend(lines.iter().cloned());
            }
        }
        if against.is_empty() {
            return Ok(plans);
        }
        Err(Answer::Error {
            code: ErrorCode::Refused,
            lines: against,
        })
    }

    fn plan_move(&self, group: &str, to: Option<&str>, peer: &str) -> Plan {
        let own = self.setup.host.node.as_str();
        let is_here = self
            .groups
            .get(group)
            .is_some_and(|it| it.role == Role::Active);
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

    // Refuses a move always if a force forbids it, and without --anyway if the successor is not ready.
    fn look_at(&self, plan: Plan, peer: &str, anyway: bool) -> Plan {
        let Plan::Move(step) = plan else { return plan };
        let Move { group, from, to } = &step;
        let forced_there = self.forced_there(group);
        let forced_here = self.forced_here(group);
        let (giver, taker) = match from == peer {
            true => (forced_there, forced_here),
            false => (forced_here, forced_there),
        };
        for (node, forced, word) in [(from, giver, "active"), (to, taker, "backup")] {
            if forced == Some(word) {
                return Plan::Refused(vec![format!(
                    "{group}: forced {word} on {node}: first `sparectl force reset` there"
                )]);
            }
        }
        if anyway {
            return Plan::Move(step);
        }
        let missing = self.missing_of(to, peer);
        if missing.is_empty() {
            return Plan::Move(step);
        }
        let mut lines = vec![format!("{group}: {to} is not ready to take over:")];
        lines.extend(missing);
        lines.push("--anyway switches over all the same".to_owned());
        Plan::Refused(lines)
    }

    // A switch does not overrule the election, unlike `force`: by quality the group would go back.
    fn goes_back(&self, step: &Move) -> Option<String> {
        let own = self.quality.number();
        let there = self.pair.peer.facts()?.quality;
        let (from, to) = match step.to == self.setup.host.node {
            true => (there, own),
            false => (own, there),
        };
        let Move { group, .. } = step;
        (from >= to.saturating_add(QUALITY_STEP)).then(|| {
            let (giver, taker) = (&step.from, &step.to);
            format!(
                "{group}: {taker}'s quality is {to} and {giver}'s is {from}: \
                 it goes back soon; `sparectl force` would keep it"
            )
        })
    }

    /// What a node reports that it lacks.
    pub(super) fn missing_of(&self, node: &str, peer: &str) -> Vec<String> {
        if node != peer {
            return self.pair.missing.clone();
        }
        match self.pair.peer.facts() {
            Some(facts) => facts.missing.clone(),
            None => vec![format!("{peer} is not heard")],
        }
    }

    pub(super) fn forced_there(&self, group: &str) -> Option<&'static str> {
        let forced = self.pair.peer.facts()?.group(group)?.forced;
        (forced != Forced::No).then(|| forced.word())
    }

    /// True if the group is active on the peer, by its last report.
    pub(super) fn is_active_there(&self, group: &str) -> bool {
        let facts = self.pair.peer.facts();
        let there = facts.and_then(|facts| facts.group(group));
        there.is_some_and(|there| there.role == spared_pair::Role::Active)
    }

    pub(super) fn forced_here(&self, group: &str) -> Option<&str> {
        let forced = self.overrides.forced().get(group)?;
        Some(if forced.active { "active" } else { "backup" })
    }
}
