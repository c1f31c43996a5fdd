//! Makes the headline of a group: which node is active, and what a failover would cost.

use crate::cause::Sentence as _;
use crate::cause::undo;
use crate::facts::{Forced, GroupFacts, NodeFacts, PairFacts, PeerLife, Role};
use crate::finding::{Finding, Id};
use crate::history::Fitness;
use crate::node::{STRANGER, bare};
use crate::verdict::Word;

/// A headline, and the finding that it represents.
pub(crate) struct HeadlineWithFinding {
    pub(crate) word: Word,
    pub(crate) text: String,
    pub(crate) found: Option<Finding>,
}

impl HeadlineWithFinding {
    fn new(word: Word, text: String) -> Self {
        Self {
            word,
            text,
            found: None,
        }
    }

    fn with(self, found: Finding) -> Self {
        Self {
            found: Some(found),
            ..self
        }
    }
}

/// A node and its facts about the group.
type Side<'a> = (&'a NodeFacts, &'a GroupFacts);

/// Returns the headline of a group. `is_clean` is true if neither node has other findings.
pub(crate) fn of(
    own: &NodeFacts,
    pair: Option<&PairFacts>,
    group: &GroupFacts,
    is_clean: bool,
) -> HeadlineWithFinding {
    let here = (own, group);
    let Some(pair) = pair else {
        return without_peer(here);
    };
    let Some(theirs) = &pair.facts else {
        return silent(here, pair);
    };
    match theirs.group(&group.name).filter(|it| !it.is_unelected) {
        Some(there) => {
            let is_outdated = pair.outdated.contains(&group.name);
            both_known(here, (theirs, there), is_outdated, is_clean)
        }
        None => unknown_there(here, theirs),
    }
}

// ---- two nodes that know each other

/// Returns the headline of two nodes that report the group. `is_outdated` is true if the other node's report may be
/// older than this node's last change: it then counts only where it agrees with this node's.
fn both_known(
    here: Side<'_>,
    there: Side<'_>,
    is_outdated: bool,
    is_clean: bool,
) -> HeadlineWithFinding {
    let (own, other) = (&here.0.node, &there.0.node);
    let stranger = here.1.rivals.other_active.as_ref();
    match (is_active(here.1), is_active(there.1)) {
        (true, true) if !is_outdated => {
            conflict(here, format!("active on BOTH nodes, {own} and {other}."))
        }
        (true, is_active_there) => match &here.1.rivals.conflict {
            Some(rival) => conflict(here, format!("active on BOTH: {own} and {rival}.")),
            None if is_active_there => unreported_since(here, there),
            None => stands_by(here, there, is_clean),
        },
        (false, true) => stands_by(there, here, is_clean),
        (false, false) => match stranger {
            // the peer's own report is slightly older
            Some(stranger) if stranger.is_peer => stands_by(there, here, is_clean),
            Some(stranger) => stranger_active(here, &stranger.name),
            None if is_outdated && there.1.role == Role::Backup => unreported_since(here, there),
            None => nobody(here, Some(there)),
        },
    }
}

/// Returns the headline after a change here that the other node follows, or has preceded, and has not reported yet.
fn unreported_since(here: Side<'_>, there: Side<'_>) -> HeadlineWithFinding {
    let (own, other) = (&here.0.node, &there.0.node);
    let change = if is_active(here.1) {
        "became active"
    } else {
        "ceased to be active"
    };
    let text = format!("{own} {change}, and {other} has not reported its state since.");
    HeadlineWithFinding::new(Word::Warn, text)
}

fn stands_by((active, group): Side<'_>, spare: Side<'_>, is_clean: bool) -> HeadlineWithFinding {
    let (active, spare_node) = (&active.node, &spare.0.node);
    if group.addresses.is_cut_off {
        return unanswered(active);
    }
    if spare.1.addresses.is_cut_off {
        let text = format!(
            "{active} is active and {spare_node} cannot take over: none of its interfaces is usable."
        );
        return HeadlineWithFinding::new(Word::Alone, text);
    }
    if spare.0.orders.unarmed {
        return beside_unarmed(active, spare_node);
    }
    if spare.1.role == Role::Fault {
        let why = reason(spare.1);
        let text = format!("{active} is active and {spare_node} cannot take over: {why}.");
        return cannot_take_over(spare, text);
    }
    let missing = spare.0.missing.first();
    let but = if spare.0.orders.maintenance.is_some() {
        format!("{spare_node} is in maintenance.")
    } else if spare.1.forced == Forced::Backup {
        format!("{spare_node} is forced backup.")
    } else if let Some(missing) = missing {
        format!("{spare_node} is not ready: {}.", bare(missing))
    } else if let Some(why) = waits_for(group, spare.1) {
        format!("{spare_node} is not ready: {why}.")
    } else if spare.1.quality < group.quality {
        let (own, other) = (spare.1.quality, group.quality);
        format!("{spare_node} can take over, but its quality is lower ({own} against {other}).")
    } else if !is_clean {
        format!("{spare_node} can take over; see the findings below.")
    } else {
        let text = format!(
            "{active} is active, {spare_node} is ready. A failover now would lose nothing."
        );
        return HeadlineWithFinding::new(Word::Ok, text);
    };
    HeadlineWithFinding::new(Word::Warn, format!("{active} is active, {but}"))
}

/// Returns why the node that stands by cannot become active in time. Either node may report it.
fn waits_for<'g>(active: &'g GroupFacts, spare: &'g GroupFacts) -> Option<&'g str> {
    let said = [&spare.failover.waits, &active.failover.waits];
    let said = said.into_iter().find(|it| !it.is_empty());
    said.map(String::as_str)
}

/// Returns the headline if the other node does not have the group, or no plugin elects for it there.
fn unknown_there(here: Side<'_>, other: &NodeFacts) -> HeadlineWithFinding {
    let (own, other) = (&here.0.node, &other.node);
    let heard = here.1.rivals.other_active.as_ref();
    match (here.1.role, heard) {
        (Role::Active, _) if here.1.rivals.conflict.is_some() => without_peer(here),
        (Role::Active, _) if here.1.addresses.is_cut_off => unanswered(own),
        (Role::Active, _) => {
            let text = format!(
                "{own} is active and {other} cannot take over: no plugin there handles this group."
            );
            HeadlineWithFinding::new(Word::Alone, text)
        }
        // the peer's adverts are heard, before its facts have arrived or after its elector has gone
        (Role::Backup, Some(active)) if active.is_peer => {
            let text = format!(
                "{other} is active, {own} stands by. No plugin handles this group on {other}."
            );
            HeadlineWithFinding::new(Word::Warn, text)
        }
        _ => without_peer(here),
    }
}

// ---- the other node reports nothing

fn silent(here: Side<'_>, pair: &PairFacts) -> HeadlineWithFinding {
    let own = &here.0.node;
    let is_heard = here.1.rivals.other_active.is_some();
    match here.1.role {
        Role::Active if !here.1.networks.adverts_alone.is_empty() => {
            adverts_without_heartbeats(here)
        }
        Role::Active if here.1.rivals.conflict.is_none() => active_without_facts(here, pair),
        Role::Backup if is_heard && pair.has_link => {
            let what = if pair.link_up {
                format!("{}.", unreported(pair))
            } else {
                "No link is up: its records may be stale.".to_owned()
            };
            let active = active_name(here.1, pair);
            HeadlineWithFinding::new(
                Word::Warn,
                format!("{active} is active, {own} stands by. {what}"),
            )
        }
        _ => without_peer(here),
    }
}

/// Returns the headline if adverts of the other node are heard without its heartbeats. They do not prove that it lives,
/// but two nodes that are both active look like this.
fn adverts_without_heartbeats(here: Side<'_>) -> HeadlineWithFinding {
    let (interfaces, rivals) = (
        here.1.networks.adverts_alone.keys(),
        here.1.networks.adverts_alone.values(),
    );
    let interfaces: Vec<&str> = interfaces.map(String::as_str).collect();
    let rival = rivals.map(String::as_str).next().unwrap_or_default();
    let text = format!(
        "active on BOTH: {} and {rival}, whose adverts are heard on {}, but none of its heartbeats.",
        here.0.node,
        interfaces.join(", ")
    );
    let said = conflict(here, text);
    let todo = "Let UDP port 3780 pass between the nodes on any path. If the other node is off, a station there \
                sends adverts in its name.";
    let found = said.found.map(|found| found.todo(todo));
    HeadlineWithFinding { found, ..said }
}

pub(crate) fn unreported(pair: &PairFacts) -> String {
    let peer = &pair.peer;
    match pair.facts_silent_s {
        None => format!("{peer} has not reported its state yet"),
        Some(s) => format!("{peer} has not reported its state for {s} s"),
    }
}

fn unanswered(active: &str) -> HeadlineWithFinding {
    let text =
        format!("no node answers: {active} is active, but none of its interfaces is usable.");
    HeadlineWithFinding::new(Word::None, text)
}

fn active_without_facts(here: Side<'_>, pair: &PairFacts) -> HeadlineWithFinding {
    let (own, other) = (&here.0.node, &pair.peer);
    if here.1.addresses.is_cut_off {
        return unanswered(own);
    }
    match pair.life {
        _ if pair.link_up => {
            let text = format!("{own} is active; {}.", unreported(pair));
            HeadlineWithFinding::new(Word::Warn, text)
        }
        PeerLife::Alive if pair.has_link => {
            let text = format!(
                "{own} is active and {other} is alive. No link is up, so its readiness is not known."
            );
            HeadlineWithFinding::new(Word::Warn, text)
        }
        PeerLife::Alive if !here.1.failover.waits.is_empty() => {
            let why = &here.1.failover.waits;
            let text = format!("{own} is active, {other} is not ready: {why}.");
            HeadlineWithFinding::new(Word::Warn, text)
        }
        PeerLife::Alive => {
            let text = format!(
                "{own} is active, {other} stands by. Without a link nothing is replicated."
            );
            HeadlineWithFinding::new(Word::Ok, text)
        }
        PeerLife::Silent => {
            let text = match pair.answers_ping {
                Some(true) => format!("{own} is active and no other node is known to stand by."),
                _ => format!("{own} is active and no other node stands by."),
            };
            HeadlineWithFinding::new(Word::Alone, text)
        }
        PeerLife::Unknown => {
            let text = format!("{own} is active; it is not known whether {other} is alive.");
            HeadlineWithFinding::new(Word::Unknown, text)
        }
    }
}

// ---- a node without a configured peer

// Returns the headline without a configured peer. A VRRP backup sends nothing, so an active node cannot know if there
// is one.
fn without_peer(here: Side<'_>) -> HeadlineWithFinding {
    let (node, group) = (&here.0.node, here.1);
    let other = group.rivals.other_active.as_ref().map(|other| &other.name);
    match (group.role, group.rivals.conflict.as_ref().or(other)) {
        (Role::Active, Some(rival)) => {
            conflict(here, format!("active on BOTH: {node} and {rival}."))
        }
        (Role::Active, None) => {
            let text = format!(
                "{node} is active. It is not known whether a backup stands by: a VRRP backup sends nothing."
            );
            HeadlineWithFinding::new(Word::Ok, text)
        }
        (Role::Fault, _) => match other {
            Some(other) if here.0.orders.unarmed => beside_unarmed(other, node),
            None if here.0.orders.unarmed => nobody(here, None),
            Some(other) => {
                let why = reason(group);
                cannot_take_over(
                    here,
                    format!("{other} is active and {node} cannot take over: {why}."),
                )
            }
            None => {
                let why = reason(group);
                let text = format!("no node is active; {node} cannot become active: {why}.");
                HeadlineWithFinding::new(Word::None, text).with(nobody_found(here))
            }
        },
        (Role::Backup, _) => match other {
            Some(other) => backup(node, other, group),
            None => nobody(here, None),
        },
    }
}

fn backup(node: &str, other: &str, group: &GroupFacts) -> HeadlineWithFinding {
    if group.forced == Forced::Backup {
        let text = format!("{other} is active, {node} is forced backup.");
        return HeadlineWithFinding::new(Word::Warn, text);
    }
    if !group.failover.waits.is_empty() {
        let why = &group.failover.waits;
        let text = format!("{other} is active, {node} is not ready: {why}.");
        return HeadlineWithFinding::new(Word::Warn, text);
    }
    if group.quality < 100 {
        let quality = group.quality;
        let text = format!(
            "{other} is active, {node} can take over, but its quality is {quality} of 100."
        );
        return HeadlineWithFinding::new(Word::Warn, text);
    }
    HeadlineWithFinding::new(Word::Ok, format!("{other} is active, {node} stands by."))
}

// ---- common parts

fn conflict(here: Side<'_>, text: String) -> HeadlineWithFinding {
    let name = &here.1.name;
    let found = Finding::new(
        Id::BothActive,
        &here.0.node,
        name,
        format!("{name}: {}", bare(&text)),
    );
    let todo =
        "Let the nodes hear each other on any path, or disconnect one of them from the network.";
    HeadlineWithFinding::new(Word::Conflict, text).with(found.todo(todo))
}

fn stranger_active(here: Side<'_>, stranger: &str) -> HeadlineWithFinding {
    let name = &here.1.name;
    let text = format!("{stranger} is active, and is not a node of this pair.");
    let found = Finding::new(
        Id::StrangerActive,
        &here.0.node,
        name,
        format!("{name}: {stranger} is active, and is not a node of this pair"),
    );
    HeadlineWithFinding::new(Word::Warn, text).with(found.todo(STRANGER))
}

fn beside_unarmed(active: &str, unarmed: &str) -> HeadlineWithFinding {
    let text = format!(
        "{active} is active and {unarmed} cannot take over: it is not armed: run `sparectl arm`."
    );
    HeadlineWithFinding::new(Word::Alone, text)
}

fn nobody(here: Side<'_>, there: Option<Side<'_>>) -> HeadlineWithFinding {
    let nodes = [Some(here), there].into_iter().flatten();
    let unarmed = nodes.filter(|(node, _)| node.orders.unarmed);
    let unarmed: Vec<&str> = unarmed.map(|(node, _)| node.node.as_str()).collect();
    let arm = "run `sparectl arm`";
    let text = match unarmed.as_slice() {
        [] => format!("no node is active. {}.", why_not_active(here)),
        [one, other] => format!("nobody serves: {one} and {other} are not armed: {arm}."),
        [one, ..] => {
            // the other node sends the causes of faults alone
            let armed =
                there.filter(|(node, group)| !node.orders.unarmed && group.role == Role::Fault);
            let armed = armed.or((!here.0.orders.unarmed).then_some(here));
            let armed = armed.map_or(String::new(), |it| format!(" {}.", why_not_active(it)));
            format!("nobody serves: {one} is not armed: {arm}.{armed}")
        }
    };
    HeadlineWithFinding::new(Word::None, text).with(nobody_found(here))
}

fn why_not_active((own, group): Side<'_>) -> String {
    let own_fitness = Fitness {
        node: own.node.clone(),
        quality: own.quality,
        failing: own.failing.clone(),
        said: None,
    };
    let why = group.cause.sentence(group.role, &own_fitness, None);
    let undo = undo(group.forced, own.orders.maintenance.is_some());
    format!("{why}{undo}")
}

fn nobody_found(here: Side<'_>) -> Finding {
    let name = &here.1.name;
    let text = format!(
        "{name} is not active on any node that {} hears",
        here.0.node
    );
    let finding = Finding::new(Id::NobodyActive, &here.0.node, name, text);
    finding.todo(format!("`sparectl why {name}` gives the reason."))
}

fn cannot_take_over(spare: Side<'_>, text: String) -> HeadlineWithFinding {
    let (node, name) = (&spare.0.node, &spare.1.name);
    let why = format!("{name}: {node} cannot become active: {}", reason(spare.1));
    let found = Finding::new(Id::CannotTakeOver, node, name, why).since(&spare.1.since);
    let found = found.todo(format!("See `sparectl why {name}` on {node}."));
    HeadlineWithFinding::new(Word::Alone, text).with(found)
}

fn active_name(group: &GroupFacts, pair: &PairFacts) -> String {
    match &group.rivals.other_active {
        Some(other) if !other.is_peer => other.name.clone(),
        _ => pair.peer.clone(),
    }
}

fn reason(group: &GroupFacts) -> String {
    group.cause.clause(group.role)
}

fn is_active(group: &GroupFacts) -> bool {
    group.role == Role::Active
}
