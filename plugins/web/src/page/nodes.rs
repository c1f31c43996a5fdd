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
            p.roles { @for (word, kind, number) in roles(node) { (badge(word, kind, number)) } }
            (orders(node, now))
            (quality(node.quality))
            dl.brief {
                @if let [group] = node.groups.as_slice() { dt { "role since" } dd { (clock(&group.since, now)) } }
                dt { "up for" } dd { (passed(&node.booted, now).unwrap_or_default()) }
            }
        }
    }
}

// Roles of all groups, the active first, each with the number of groups unless it is that of all.
fn roles(node: &Node) -> Vec<(&'static str, Kind, Option<usize>)> {
    let mut counts: BTreeMap<(bool, &'static str), (Kind, usize)> = BTreeMap::new();
    for group in &node.groups {
        let kind = Kind::of(&group.role);
        let count = counts.entry((kind != Kind::Active, role_word(node, group)));
        count.or_insert((kind, 0)).1 += 1;
    }
    let all = node.groups.len();
    let number = |number| Some(number).filter(|_| number < all);
    let counts = counts.into_iter();
    let roles = counts.map(|((_, word), (kind, count))| (word, kind, number(count)));
    roles.collect()
}

/// Role of a group on a node, in a word.
pub fn role_word(node: &Node, group: &Group) -> &'static str {
    match Kind::of(&group.role) {
        Kind::Fault if node.unarmed => "not armed",
        kind => kind.word(),
    }
}

/// A role: icon, word, and number of groups that have it.
pub fn badge(word: &str, kind: Kind, number: Option<usize>) -> Markup {
    html! {
        span class={ "role " (kind_class(kind)) } {
            (Icon::of_role(kind).draw()) (word)
            @if let Some(number) = number { " in " (number) }
        }
    }
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
            p.roles { (badge("not known", Kind::Unknown, None)) }
            p.order { (Icon::Question.draw()) (unheard_reason(peer)) }
            @if let Some(heard) = &peer.last_heard {
                dl.brief {
                    dt { "last heard" } dd { (clock(heard, now)) }
                    dt { "silent for" } dd { (passed(heard, now).unwrap_or_default()) }
                }
            }
        }
    }
}

fn unheard_reason(peer: &Peer) -> &'static str {
    match (peer.up, &peer.last_heard) {
        (true, _) => "connected, has not reported its state",
        (false, Some(_)) => "is not heard",
        (false, None) => "was never heard",
    }
}

/// Heading of a node's column.
pub fn column(node: &Text) -> Markup {
    html! { th scope="col" { bdi { (node) } } }
}
