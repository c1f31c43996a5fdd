//! Both nodes side by side, with the links between them.

use std::collections::BTreeMap;

use jiff::ZonedDateTime;
use maud::{Markup, html};

use super::Known;
use super::bands::Kind;
use super::documents::{Group, Link, Node, Peer};
use super::icon::Icon;
use super::moment::{clock, passed};
use super::text::Text;

/// Most links that are drawn.
const MAX_LINKS: usize = 8;

pub fn section(known: &Known, now: &ZonedDateTime) -> Markup {
    let peer = known.peer();
    html! {
        section #nodes aria-labelledby="nodes-title" {
            h2 #nodes-title.quiet { "Nodes and links" }
            div.pair.single[peer.is_none()] {
                (card(&known.own, true, now))
                @if let Some(peer) = peer {
                    (between(&known.own.links, now))
                    @match &peer.status {
                        Some(status) => (card(status, false, now)),
                        None => (unheard(peer, now)),
                    }
                }
            }
        }
    }
}

fn card(node: &Node, is_own: bool, now: &ZonedDateTime) -> Markup {
    let is_active = node
        .groups
        .iter()
        .any(|it| Kind::of(&it.role) == Kind::Active);
    html! {
        article.node.holds[is_active] {
            h3 { bdi { (node.node) } @if is_own { span.tag { "this node" } } }
            p.roles { @for role in roles(node) { (role_line(&role, node)) } }
            (orders(node, now))
            (quality(node.quality))
            dl.brief {
                @if let [group] = node.groups.as_slice() { dt { "role since" } dd { (clock(&group.since, now)) } }
                dt { "up for" } dd { (passed(&node.booted, now).unwrap_or_default()) }
            }
        }
    }
}

/// Role of a node, and the groups in which it has that.
struct RoleOf<'n> {
    word: &'static str,
    kind: Kind,
    groups: Vec<&'n Text>,
}

// Roles of a node, the active one first.
fn roles(node: &Node) -> Vec<RoleOf<'_>> {
    let mut roles: BTreeMap<(bool, &'static str), RoleOf> = BTreeMap::new();
    for group in &node.groups {
        let (kind, word) = (Kind::of(&group.role), role_word(node, group));
        let role = roles.entry((kind != Kind::Active, word));
        let role = role.or_insert_with(|| RoleOf {
            word,
            kind,
            groups: Vec::new(),
        });
        role.groups.push(&group.name);
    }
    roles.into_values().collect()
}

fn role_line(role: &RoleOf, node: &Node) -> Markup {
    let is_all = role.groups.len() == node.groups.len();
    html! {
        span {
            (badge(role.word, role.kind))
            @match role.groups.as_slice() {
                _ if is_all => {},
                [name] => span.soft { " for " bdi { (name) } },
                names => span.soft { " for " (names.len()) " groups" },
            }
        }
    }
}

/// Role of a group on a node, in a word.
pub fn role_word(node: &Node, group: &Group) -> &'static str {
    match Kind::of(&group.role) {
        Kind::Fault if node.unarmed => "not armed",
        kind => kind.word(),
    }
}

/// A role: icon and word.
pub fn badge(word: &str, kind: Kind) -> Markup {
    html! { span class={ "role " (kind_class(kind)) } { (Icon::of_role(kind).draw()) (word) } }
}

/// Class of everything in the colour of a role.
pub fn kind_class(kind: Kind) -> &'static str {
    match kind {
        Kind::Active => "active",
        Kind::Backup => "backup",
        Kind::Fault => "fault",
        Kind::Mixed => "mixed",
        Kind::Unknown => "unseen",
    }
}

fn orders(node: &Node, now: &ZonedDateTime) -> Markup {
    html! {
        @if let Some(maintenance) = &node.maintenance {
            p.order {
                (Icon::Wrench.draw()) "maintenance"
                @if let Some(until) = &maintenance.until { " until " (clock(until, now)) }
            }
        }
    }
}

fn quality(quality: u32) -> Markup {
    let percent = quality.min(100);
    let class = match percent {
        100 => "full",
        _ => "less",
    };
    html! {
        p.quality {
            span { "quality " b { (quality) } }
            svg class={ "meter " (class) } aria-hidden="true" {
                rect.track width="100%" height="8" rx="4" {}
                rect.fill width={ (percent) "%" } height="8" rx="4" {}
            }
        }
    }
}

fn between(links: &[Link], now: &ZonedDateTime) -> Markup {
    html! {
        ul.links {
            @for link in links.iter().take(MAX_LINKS) { li { (line(link, now)) } }
            @if links.is_empty() { li { p { "no link is configured" } } }
            @if links.len() > MAX_LINKS { li { p { "and " (links.len() - MAX_LINKS) " more" } } }
        }
    }
}

fn line(link: &Link, now: &ZonedDateTime) -> Markup {
    let is_up = link.state.as_str() == "up";
    html! {
        p.name.up[is_up].down[!is_up] {
            @if is_up { (Icon::Good.draw()) } @else { (Icon::Bad.draw()) }
            "link " bdi { (link.interface) }
        }
        p.state {
            (link.state)
            @if let Some(ms) = link.round_trip_ms.filter(|_| is_up) { ", " (format!("{ms:.1}")) " ms" }
            @if !is_up { " since " (clock(&link.since, now)) }
            @if is_up && !link.carries { ", spare" }
        }
        @if !link.why.is_empty() { p.state { (link.why) } }
    }
}

fn unheard(peer: &Peer, now: &ZonedDateTime) -> Markup {
    html! {
        article.node.absent {
            h3 { bdi { (peer.node) } }
            p.order { (Icon::Question.draw()) @if peer.last_heard.is_some() { "its state is not known" } @else { "was never heard" } }
            @if let Some(heard) = &peer.last_heard {
                dl.brief {
                    dt { "last heard" } dd { (clock(heard, now)) }
                    dt { "silent for" } dd { (passed(heard, now).unwrap_or_default()) }
                }
            }
        }
    }
}

/// Heading of a node's column.
pub fn column(node: &Text) -> Markup {
    html! { th scope="col" { bdi { (node) } } }
}
