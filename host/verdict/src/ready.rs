//! Lists what a node lacks for a failover to it without loss, one sentence each.

use std::collections::BTreeSet;

use crate::difference::{Difference, DifferenceKind};
use crate::facts::{Forced, NodeFacts, PluginFacts, PluginState};
use crate::finding::Id;
use crate::forwarding;
use crate::needs;

/// Sentence about a node that is paired but not armed.
pub const UNARMED: &str = "it is not armed: run `sparectl arm`";

/// Returns why a plugin keeps its node from being ready.
pub(crate) fn plugin_lack(plugin: &PluginFacts, peer: &str, link_up: bool) -> Option<(Id, String)> {
    let name = &plugin.name;
    if plugin.state == PluginState::Recovering {
        let text = format!("{name} failed too often and has not recovered yet");
        return Some((Id::PluginDown, text));
    }
    if !plugin.runs() {
        return Some((Id::PluginDown, format!("{name} is not running")));
    }
    if plugin.is_silent {
        return Some((Id::PluginSilent, format!("{name} does not answer")));
    }
    if !plugin.has_channel || !link_up {
        return None;
    }
    if let Some(why) = &plugin.refused {
        return Some((Id::WireRefused, format!("{name}: {why}")));
    }
    if !plugin.has_peer {
        let text = format!("{name} does not hear its peer on {peer}");
        return Some((Id::PeerPluginUnheard, text));
    }
    if !plugin.is_behind() {
        return None;
    }
    let text = match plugin.lack.as_str() {
        "" => format!("{name} is not yet in sync"),
        lack => format!("{name} is not yet in sync ({lack})"),
    };
    Some((Id::NotInSync, text))
}

/// Returns the reasons of [`missing`] that forced groups give.
fn forced_sentences(own: &NodeFacts) -> impl Iterator<Item = String> {
    let forced = own.groups.iter().filter(|it| it.forced != Forced::No);
    forced.map(|it| format!("{} is forced {} on it", it.name, it.forced.word()))
}

impl NodeFacts {
    /// Returns the reported reasons why the node is not ready, without those that forced groups give: in a switchover
    /// the force of the group itself is an order, and that of another group does not count.
    pub fn missing_unforced(&self) -> Vec<String> {
        let forced: BTreeSet<String> = forced_sentences(self).collect();
        let missing = self.missing.iter();
        missing
            .filter(|it| !forced.contains(*it))
            .cloned()
            .collect()
    }
}

/// Returns what a node lacks, one sentence each; empty if it is ready. `link_down` is the reason if no link is up. Only
/// those `differences` count that concern groups, VRIDs and addresses.
pub fn missing(
    own: &NodeFacts,
    peer: &str,
    link_down: Option<&str>,
    differences: &[Difference],
) -> Vec<String> {
    let unarmed = own.orders.unarmed.then(|| UNARMED.to_owned());
    let maintenance = own.orders.maintenance.as_ref();
    let maintenance = maintenance.map(|_| "it is in maintenance".to_owned());
    let forced = forced_sentences(own);
    let quality = (own.quality == 0).then(|| "its quality is 0".to_owned());
    let link = link_down.map(|why| match why {
        "" => format!("no link to {peer} is up"),
        why => format!("no link to {peer} is up: {why}"),
    });
    let plugins = own.plugins.iter().filter(|it| !it.is_aside);
    let plugins = plugins.filter_map(|it| plugin_lack(it, peer, link_down.is_none()));
    let forwarding = own.machine.not_forwarding.first();
    let forwarding = forwarding.map(|setting| forwarding::sentence(setting));
    let mismatches = differences.iter();
    let mismatches = mismatches.filter(|it| it.kind == DifferenceKind::Group);
    unarmed
        .into_iter()
        .chain(maintenance)
        .chain(forced)
        .chain(quality)
        .chain(link)
        .chain(plugins.map(|(_, text)| text))
        .chain(forwarding)
        .chain(needs::lacks(&own.machine.needs))
        .chain(mismatches.map(|it| it.sentence_for_both(&own.node, peer)))
        .collect()
}
