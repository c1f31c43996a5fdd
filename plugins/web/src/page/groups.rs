//! Groups with their roles on both nodes, and why.

use jiff::ZonedDateTime;
use maud::{Markup, html};

use super::Known;
use super::bands::Kind;
use super::documents::{Address, Group, GroupWhy, Node};
use super::frame::{listed, more};
use super::icon::Icon;
use super::moment::clock;
use super::nodes::{badge, column, role_word};
use super::text::Text;

/// Most groups that are listed: as many as a network has numbers of virtual routers.
const MAX_GROUPS: usize = 255;
/// Groups up to this number have two lines each, beside other tables.
const ROOMY_GROUPS: usize = 6;
/// Most reasons that are listed, and most groups that are named with one.
const MAX_REASONS: usize = 20;
const MAX_NAMES: usize = 6;
/// Most addresses that are named for a group.
const MAX_ADDRESSES: usize = 3;

/// True if the groups need the width of the page, with a line each.
pub fn are_many(known: &Known) -> bool {
    known.own.groups.len() > ROOMY_GROUPS
}

pub fn section(known: &Known, now: &ZonedDateTime) -> Markup {
    let nodes = known.nodes();
    let groups = &known.own.groups;
    html! {
        @if !groups.is_empty() {
            section #groups.card aria-labelledby="groups-title" {
                h2 #groups-title { "Groups" }
                table.compact[are_many(known)] {
                    thead { tr { th scope="col" { "group" } @for node in &nodes { (column(&node.node)) } } }
                    tbody {
                        @for group in groups.iter().take(MAX_GROUPS) {
                            tr {
                                th scope="row" { bdi { (group.name) } (addresses(&nodes, &group.name)) }
                                @for node in &nodes { td { (cell(node, &group.name, now)) } }
                            }
                        }
                    }
                }
                (more(groups.len(), MAX_GROUPS, "sparectl status"))
            }
        }
    }
}

fn of<'n>(node: &'n Node, name: &Text) -> Option<&'n Group> {
    node.groups.iter().find(|group| &group.name == name)
}

fn cell(node: &Node, name: &Text, now: &ZonedDateTime) -> Markup {
    let Some(group) = of(node, name) else {
        return html! { span.soft { "not configured" } };
    };
    let kind = Kind::of(&group.role);
    let is_forced = !matches!(group.forced.as_str(), "" | "no");
    let is_blocked = kind == Kind::Active && group.fence.as_str() == "blocking";
    html! {
        (badge(role_word(node, group), kind))
        span.soft { "since " (clock(&group.since, now)) }
        @if is_forced { span.note { (Icon::Wrench.draw()) "forced " (group.forced) } }
        @if is_blocked { span.note.bad { (Icon::Bad.draw()) "fence blocks" } }
        (missing(kind, &group.addresses))
    }
}

// Addresses that an active node lacks.
fn missing(kind: Kind, addresses: &[Address]) -> Markup {
    let absent = addresses.iter().filter(|it| !it.present).count();
    html! {
        @if kind == Kind::Active && absent > 0 {
            span.note.bad { (Icon::Bad.draw()) (absent) " of " (addresses.len()) " addresses missing" }
        }
    }
}

fn addresses(nodes: &[&Node], name: &Text) -> Markup {
    let listed = nodes.iter().filter_map(|node| of(node, name));
    let addresses = listed.map(|it| &it.addresses).find(|it| !it.is_empty());
    html! {
        @if let Some(addresses) = addresses {
            span.soft {
                @for (at, it) in addresses.iter().take(MAX_ADDRESSES).enumerate() {
                    @if at > 0 { ", " }
                    bdi { (it.address) } " on " bdi { (it.interface) }
                }
                @if addresses.len() > MAX_ADDRESSES { " and " (addresses.len() - MAX_ADDRESSES) " more" }
            }
        }
    }
}

pub fn why(known: &Known) -> Markup {
    let reasons = reasons(&known.why.groups);
    html! {
        @if !reasons.is_empty() {
            section #why.card aria-labelledby="why-title" {
                h2 #why-title { "Why" }
                dl.why {
                    @for (sentence, names) in reasons.iter().take(MAX_REASONS) {
                        dt { (listed(names, MAX_NAMES)) }
                        dd { (sentence) "." }
                    }
                }
                (more(reasons.len(), MAX_REASONS, "sparectl why"))
            }
        }
    }
}

// Sentences, each with the groups for which it is true.
fn reasons(groups: &[GroupWhy]) -> Vec<(&Text, Vec<&Text>)> {
    let mut reasons: Vec<(&Text, Vec<&Text>)> = Vec::new();
    for it in groups {
        match reasons
            .iter_mut()
            .find(|(sentence, _)| *sentence == &it.sentence)
        {
            Some((_, names)) => names.push(&it.group),
            None => reasons.push((&it.sentence, vec![&it.group])),
        }
    }
    reasons
}
