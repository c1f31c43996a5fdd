//! History: role changes and findings as a list, newest first.

use std::collections::BTreeSet;

use jiff::ZonedDateTime;
use maud::{Markup, html};

use super::Known;
use super::bands::Kind;
use super::documents::{Change, Episode, Fitness};
use super::frame::{listed, more};
use super::icon::Icon;
use super::moment::{clock, duration, local, milliseconds, time_of_day};
use super::nodes::badge;
use super::range::{Range, Window};
use super::text::Text;

/// Most entries that are listed.
const MAX_ENTRIES: usize = 40;
/// Most names of groups in one entry.
const MAX_NAMES: usize = 4;
/// Changes of several groups or nodes within this time may be one event.
const TOGETHER_MS: i64 = 2000;
/// Changes with one number may be this far apart, as the clocks of the nodes differ.
const SAME_NUMBER_MS: i64 = 60_000;

/// Something that happened.
enum Entry<'h> {
    Move(Move<'h>),
    Finding(i64, &'h Episode),
}

/// Role changes that belong together: of both nodes, and of groups that moved at the same time.
struct Move<'h> {
    at: i64,
    /// Groups, and nodes whose role changed in them.
    parts: BTreeSet<(&'h Text, &'h Text)>,
    /// First change of each node.
    changes: Vec<&'h Change>,
}

impl Entry<'_> {
    fn at(&self) -> i64 {
        match self {
            Self::Move(it) => it.at,
            Self::Finding(at, _) => *at,
        }
    }
}

impl<'h> Move<'h> {
    // True if a change is a part of this. A later one of the same node is not.
    fn has(&self, change: &Change, at: i64) -> bool {
        let apart = (at - self.at).abs();
        let mut nodes = self
            .changes
            .iter()
            .filter(|it| it.own.node == change.own.node);
        match nodes.next() {
            Some(same) => {
                apart <= TOGETHER_MS
                    && (&same.from, &same.to) == (&change.from, &change.to)
                    && !self.parts.contains(&(&change.group, &change.own.node))
            }
            None => {
                let is_numbered = change.number.is_some()
                    && self.changes.iter().any(|it| it.number == change.number);
                let is_near = apart <= TOGETHER_MS || (is_numbered && apart <= SAME_NUMBER_MS);
                is_near && self.parts.iter().any(|it| it.0 == &change.group)
            }
        }
    }

    // Adds a group's change, or that of the other node.
    fn add(&mut self, change: &'h Change) {
        self.parts.insert((&change.group, &change.own.node));
        if !self.changes.iter().any(|it| it.own.node == change.own.node) {
            self.changes.push(change);
        }
    }

    /// Groups in the order of the status, then those that are there no more.
    fn groups(&self, known: &'h Known) -> Vec<&'h Text> {
        let all: BTreeSet<&Text> = self.parts.iter().map(|(group, _)| *group).collect();
        let present = known.own.groups.iter().map(|it| &it.name);
        let (mut groups, mut gone) = (Vec::new(), all.clone());
        for name in present.filter(|it| all.contains(it)) {
            gone.remove(name);
            groups.push(name);
        }
        groups.extend(gone);
        groups
    }

    /// The change that tells most: that of the node that became active.
    fn main(&self) -> Option<&'h Change> {
        let active = |it: &&&Change| Kind::of(&it.to) == Kind::Active;
        let main = self.changes.iter().find(active).or(self.changes.first());
        main.copied()
    }
}

pub fn section(known: &Known, range: Range, now: &ZonedDateTime) -> Markup {
    let entries = entries(known, range.window(now));
    let shown = &entries[..entries.len().min(MAX_ENTRIES)];
    let days = shown.chunk_by(|one, other| day(one, now) == day(other, now));
    html! {
        section #history.card aria-labelledby="history-title" {
            h2 #history-title { "History of the last " (range.title()) }
            @if entries.is_empty() { p.soft { "Nothing is recorded in this time." } }
            @for entries in days {
                @if let Some(first) = entries.first() { h3 { (day(first, now)) } }
                ol.history { @for it in entries { (row(it, known, now)) } }
            }
            (more(entries.len(), MAX_ENTRIES, "sparectl history"))
            (limits(known, now))
        }
    }
}

// Sentences about what the list lacks.
fn limits(known: &Known, now: &ZonedDateTime) -> Markup {
    let history = &known.history;
    html! {
        @if let Some(silent) = &history.silent {
            p.note { (Icon::Question.draw()) bdi { (silent) } " does not answer: its changes are not listed." }
        }
        @if let Some(since) = &history.since {
            p.soft {
                "All is recorded from " (clock(since, now)) " on."
                @if history.is_cut { " Older entries are left out, as there are too many." }
            }
        }
    }
}

fn day(entry: &Entry, now: &ZonedDateTime) -> String {
    let time = local(entry.at(), now);
    time.map_or("-".to_owned(), |it| it.strftime("%A, %-d %B").to_string())
}

// Everything in the window, newest first.
fn entries(known: &Known, window: Window) -> Vec<Entry<'_>> {
    let is_shown = |at: &i64| (window.from..=window.to).contains(at);
    let findings = known.history.findings.iter().filter_map(|it| {
        let at = milliseconds(&it.began).filter(is_shown)?;
        Some(Entry::Finding(at, it))
    });
    let moves = moves(&known.history.changes);
    let moves = moves.into_iter().filter(|it| is_shown(&it.at));
    let mut entries: Vec<Entry> = moves.map(Entry::Move).chain(findings).collect();
    entries.sort_by_key(|it| std::cmp::Reverse(it.at()));
    entries
}

fn moves(changes: &[Change]) -> Vec<Move<'_>> {
    let changes = changes.iter();
    let changes = changes.filter_map(|it| Some((milliseconds(&it.at)?, it)));
    let mut changes: Vec<(i64, &Change)> = changes.collect();
    changes.sort_by_key(|(at, _)| *at);
    let mut moves: Vec<Move> = Vec::new();
    for (at, change) in changes {
        // a move is older than this change by less than a minute, and few are
        let mut recent = moves.iter_mut().rev().take(8);
        match recent.find(|it| it.has(change, at)) {
            Some(it) => it.add(change),
            None => {
                let mut it = Move {
                    at,
                    parts: BTreeSet::new(),
                    changes: Vec::new(),
                };
                it.add(change);
                moves.push(it);
            }
        }
    }
    moves
}

fn row(entry: &Entry, known: &Known, now: &ZonedDateTime) -> Markup {
    html! {
        li {
            p.at { (time_of_day(entry.at(), now)) }
            div {
                @match entry {
                    Entry::Move(it) => (move_row(it, known)),
                    Entry::Finding(at, it) => (finding_row(*at, it, now)),
                }
            }
        }
    }
}

fn move_row(it: &Move, known: &Known) -> Markup {
    html! {
        p.what {
            (listed(&it.groups(known), MAX_NAMES))
            ": "
            @for (at, change) in it.changes.iter().enumerate() {
                @if at > 0 { ", " }
                bdi { (change.own.node) } " became " (badge(Kind::of(&change.to).word(), Kind::of(&change.to)))
            }
        }
        @if let Some(main) = it.main() {
            p.why { (main.why) "." }
            p.meta { span { "quality: " (fitness(&main.own)) @if let Some(peer) = &main.peer { "; " (fitness(peer)) } } }
        }
    }
}

fn fitness(of: &Fitness) -> Markup {
    html! {
        bdi { (of.node) } " " (of.quality)
        @if let Some(first) = of.failing.first() { ", " (first) }
        @if of.failing.len() > 1 { ", and " (of.failing.len() - 1) " more" }
    }
}

fn finding_row(at: i64, it: &Episode, now: &ZonedDateTime) -> Markup {
    let ended = it.ended.as_ref().and_then(milliseconds);
    html! {
        p.what { span.finding { (Icon::Warning.draw()) } (it.text) }
        p.meta {
            span { (it.id) }
            span { "on " bdi { (it.node) } }
            @if it.times > 1 { span { "came " (it.times) " times" } }
            @match ended {
                Some(ended) if it.is_end_unknown => span { "lasted at least " (duration(ended - at)) },
                Some(ended) => span { "over after " (duration(ended - at)) },
                None => span.lasts { "lasts, for " (duration(now.timestamp().as_millisecond() - at)) },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(at: &str, node: &str, group: &str, to: &str) -> Change {
        let from = if to == "active" { "backup" } else { "active" };
        Change {
            at: Text::new(&format!("2026-11-20T{at}+01:00")),
            group: Text::new(group),
            number: Some(7),
            from: Text::new(from),
            to: Text::new(to),
            own: Fitness {
                node: Text::new(node),
                ..Fitness::default()
            },
            ..Change::default()
        }
    }

    /// Groups and nodes of each move, oldest first.
    fn moved(changes: &[Change]) -> Vec<(usize, Vec<&str>)> {
        let moves = moves(changes);
        let mut moved = Vec::new();
        for it in moves {
            let nodes = it.changes.iter().map(|it| it.own.node.as_str());
            let groups: BTreeSet<_> = it.parts.iter().map(|(group, _)| group).collect();
            moved.push((groups.len(), nodes.collect()));
        }
        moved
    }

    #[test]
    fn changes_of_both_nodes_and_of_many_groups_are_one_move() {
        let mut changes = Vec::new();
        for number in 0..20 {
            let group = format!("g{number}");
            changes.push(change("01:52:03.100", "r2", &group, "active"));
            changes.push(change("01:52:03.900", "r1", &group, "backup"));
        }
        assert_eq!(moved(&changes), [(20, vec!["r2", "r1"])]);
    }

    #[test]
    fn changes_with_one_number_belong_together_though_the_clocks_differ() {
        let changes = [
            change("01:52:03", "r2", "office", "active"),
            change("01:52:21", "r1", "office", "backup"),
        ];
        assert_eq!(moved(&changes), [(1, vec!["r2", "r1"])]);
    }

    #[test]
    fn a_return_is_a_move_of_its_own() {
        let changes = [
            change("01:52:03.0", "r2", "office", "active"),
            change("01:52:03.9", "r2", "office", "backup"),
            change("01:52:04.9", "r2", "office", "active"),
        ];
        assert_eq!(moved(&changes).len(), 3);
    }
}
