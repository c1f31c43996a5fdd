//! Makes the verdict: a word and a headline for each group, and the findings of both nodes, each fault once.

use serde::{Deserialize, Serialize};
pub use spared_contract::VerdictWord as Word;

use crate::difference::{Difference, DifferenceKind};
use crate::facts::{Forced, NodeFacts, PairFacts, PeerLife, PluginState};
use crate::finding::{Finding, Id};
use crate::headline::{self, HeadlineWithFinding};
use crate::identity;
use crate::machine;
use crate::node;
use crate::peer;

/// State of a group in a sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Headline {
    /// Name of the group; None if there is no group.
    pub group: Option<String>,
    /// State of the group.
    pub word: Word,
    /// Sentence with the group's name.
    pub text: String,
}

/// The verdict about a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verdict {
    /// Worst state of all groups.
    pub word: Word,
    /// One headline for each group, in the order of the groups.
    pub headlines: Vec<Headline>,
    /// All findings about both nodes, worst first.
    pub findings: Vec<Finding>,
}

/// Returns the verdict at the time `now`, from the facts of one node. `pair` is None without a configured peer.
pub fn verdict(now: &str, own: &NodeFacts, pair: Option<&PairFacts>) -> Verdict {
    verdict_with(findings(own, pair), now, own, pair)
}

/// Returns the verdict for a caller that has the [`findings`] of these facts already.
pub fn verdict_with(
    mut findings: Vec<Finding>,
    now: &str,
    own: &NodeFacts,
    pair: Option<&PairFacts>,
) -> Verdict {
    let is_clean = findings.is_empty();
    findings.extend(pair.and_then(|pair| peer::finding(now, own, pair)));
    let mut headlines = Vec::new();
    for group in &own.groups {
        let HeadlineWithFinding { word, text, found } = headline::of(own, pair, group, is_clean);
        headlines.push(Headline {
            group: Some(group.name.clone()),
            word,
            text: format!("{}: {text}", group.name),
        });
        findings.extend(found.filter(|it| !is_explained(it, &findings)));
    }
    if headlines.is_empty() {
        headlines.push(without_groups(own));
    }
    if !findings.is_empty() {
        for headline in &mut headlines {
            headline.word = headline.word.max(Word::Warn);
        }
    }
    sort(&mut findings);
    Verdict {
        word: headlines.iter().map(|it| it.word).max().unwrap_or_default(),
        headlines,
        findings,
    }
}

// Returns true if other findings make this one redundant: an interface that is down explains why a group cannot be
// active, and a stranger is named once.
fn is_explained(found: &Finding, by: &[Finding]) -> bool {
    let is_down = |it: &Finding| it.is(Id::InterfaceDown) && it.node == found.node;
    let is_known = |it: &Finding| it.is(Id::StrangerActive) && it.thing == found.thing;
    (found.is(Id::CannotTakeOver) && by.iter().any(is_down))
        || (found.is(Id::StrangerActive) && by.iter().any(is_known))
}

/// Returns the findings about both nodes, each fault once, without those about which node is active.
pub fn findings(own: &NodeFacts, pair: Option<&PairFacts>) -> Vec<Finding> {
    let peer = pair.map_or("the peer", |pair| pair.peer.as_str());
    let link_up = pair.is_some_and(|pair| pair.link_up);
    let mut found = node::findings(own, peer, link_up);
    if let Some(pair) = pair {
        let theirs = pair.facts.as_ref();
        let theirs = theirs.map(|facts| {
            let found = node::findings(facts, &own.node, link_up).into_iter();
            let found = found.map(|it| dated(it, facts)).map(on_its_node);
            found.collect::<Vec<_>>()
        });
        merge_links(&mut found, own, pair);
        found.extend(
            theirs
                .into_iter()
                .flatten()
                .filter(|it| is_theirs(it, pair)),
        );
        add_differences(&mut found, &own.node, pair);
        machine::add(&mut found, &own.node, pair);
        merge_forced(&mut found, own, pair);
    }
    identity::merge(&mut found);
    sort(&mut found);
    found
}

// Sets the begin that the other node reports, which knows best since when it has a finding about itself.
fn dated(found: Finding, by: &NodeFacts) -> Finding {
    let mut first = by.first_found.iter();
    let first = first.find(|it| (&it.id, &it.thing) == (&found.id, &found.thing));
    match first.filter(|_| found.since.is_none()) {
        Some(first) => found.since(&first.since),
        None => found,
    }
}

// Adds "On NODE:" to a remedy with commands that must be run on the other node.
fn on_its_node(mut found: Finding) -> Finding {
    if found.is_local {
        found.is_local = false;
        let mut todo = found.todo.chars();
        let first = todo.next().map(|it| it.to_ascii_lowercase());
        let todo: String = first.into_iter().chain(todo).collect();
        found.todo = format!("On {}: {todo}", found.node);
    }
    found
}

fn sort(found: &mut Vec<Finding>) {
    found.sort_by(|one, other| (&one.id, &one.node).cmp(&(&other.id, &other.node)));
    let mut known = Vec::new();
    found.retain(|it| {
        let of_both = [
            Id::PeerSilent,
            Id::PeerUnknown,
            Id::PeerMute,
            Id::StrangerActive,
            Id::AdvertsSigned,
            Id::AddressesDiffer,
            Id::DuplicateAddress,
            Id::Unheard,
            Id::LinkNarrow,
            Id::WireRefused,
            Id::PeerPluginUnheard,
            Id::UnknownGroup,
            Id::Frozen,
        ];
        // both nodes report these about the node that sends
        let by_sender = [
            Id::VirtualMacDropped,
            Id::AdvertsLost,
            Id::VirtualMacDroppedBefore,
            Id::VirtualMacUnanswered,
        ];
        let is_by_sender = by_sender.iter().any(|id| it.is(*id));
        let sender = is_by_sender.then(|| it.node.clone());
        let key = (it.id.clone(), sender, it.thing.clone());
        let is_known = known.contains(&key);
        let is_of_both = is_by_sender || of_both.iter().any(|id| it.is(*id));
        if is_of_both {
            known.push(key);
        }
        !(is_of_both && is_known)
    });
}

// Removes findings about links that are down, if they have another cause: the other node is silent, a firewall drops
// the link, or the other end has a fault.
fn merge_links(found: &mut Vec<Finding>, own: &NodeFacts, pair: &PairFacts) {
    let silent = pair.life == PeerLife::Silent && !pair.link_up;
    let filtered = own.processes.link_filtered.is_some();
    let theirs = pair.facts.iter().flat_map(|facts| &facts.links);
    let lacks_there = theirs.filter(|link| !link.up && link.is_local).count() > 0;
    found.retain(|it| {
        let links = own.links.iter();
        let is_local = links
            .filter(|link| link.interface == it.thing)
            .any(|link| link.is_local);
        let has_cause = silent || filtered || lacks_there;
        !it.is(Id::LinkDown) || is_local || !has_cause
    });
}

// Returns true if a finding of the other node is kept. Both nodes report that a link is down: the other node's report
// counts only if the fault is local there.
fn is_theirs(found: &Finding, pair: &PairFacts) -> bool {
    let mut links = pair.facts.iter().flat_map(|facts| &facts.links);
    !found.is(Id::LinkDown) || links.any(|it| it.interface == found.thing && it.is_local)
}

// Adds findings about differences. A plugin that does not run is the cause if its peer hears nothing and its file
// cannot be compared, so these have no finding.
fn add_differences(found: &mut Vec<Finding>, own: &str, pair: &PairFacts) {
    let down = found.iter().filter(|it| it.is(Id::PluginDown));
    let down: Vec<String> = down.map(|it| it.thing.clone()).collect();
    found.retain(|it| !it.is(Id::PeerPluginUnheard) || !down.contains(&it.thing));
    for it in &pair.differences {
        let is_down = it.plugin.as_ref().is_some_and(|it| down.contains(it));
        if !is_down && !explains(it, found, own, &pair.peer) {
            found.push(difference(it, own, &pair.peer));
        }
    }
}

fn difference(it: &Difference, own: &str, peer: &str) -> Finding {
    let id = match it.kind {
        DifferenceKind::Group => Id::NoPair,
        DifferenceKind::File | DifferenceKind::Key => Id::KeyDiffers,
    };
    let thing = format!("{}: {}", it.file, it.key);
    let text = format!("config: {}", it.sentence_for_both(own, peer));
    let todo = "Make the configuration equal on both nodes, then run `sparectl reload`.";
    Finding::new(id, own, thing, text).todo(todo)
}

// Returns true if another finding explains the difference. A plugin that only one node has does not hear a peer: that
// finding gets the name of the file.
fn explains(it: &Difference, found: &mut [Finding], own: &str, peer: &str) -> bool {
    let name = it
        .plugin
        .as_ref()
        .filter(|_| it.kind == DifferenceKind::File);
    let Some(name) = name else { return false };
    let is_its = |it: &&mut Finding| it.is(Id::PeerPluginUnheard) && it.thing == *name;
    let Some(unheard) = found.iter_mut().find(is_its) else {
        return false;
    };
    let (has, file) = (unheard.node.as_str(), &it.file);
    let lacks = if has == own { peer } else { own };
    unheard.todo =
        format!("Put {file} on {lacks}, or remove it on {has}; then `sparectl reload` there.");
    unheard.text += &format!(" ({})", difference(it, own, peer).text);
    true
}

// Combines the findings if both nodes are forced into the same role. This happens only while no link is up, as the
// second force is refused otherwise.
fn merge_forced(found: &mut Vec<Finding>, own: &NodeFacts, pair: &PairFacts) {
    let Some(theirs) = &pair.facts else { return };
    for group in own.groups.iter().filter(|it| it.forced != Forced::No) {
        let there = theirs.group(&group.name).map(|it| it.forced);
        if there != Some(group.forced) {
            continue;
        }
        found.retain(|it| !(it.is(Id::Forced) && it.thing == group.name));
        let (name, role) = (&group.name, group.forced.word());
        let text = format!(
            "{name}: {} and {} are both forced {role}",
            own.node, pair.peer
        );
        let finding = Finding::new(Id::BothForced, &own.node, name, text);
        found.push(finding.todo(format!("On one of them: sparectl force reset {name}")));
    }
}

fn without_groups(own: &NodeFacts) -> Headline {
    let down = |state: PluginState| state != PluginState::Running;
    let (word, text) = if own.plugins.is_empty() {
        (
            Word::Ok,
            "nothing configured: this node is never active on any address.",
        )
    } else if own.plugins.iter().any(|it| down(it.state)) {
        (Word::None, "no group: a plugin that should run does not.")
    } else {
        (
            Word::Ok,
            "no group configured: this node is never active on any address.",
        )
    };
    Headline {
        group: None,
        word,
        text: text.to_owned(),
    }
}
