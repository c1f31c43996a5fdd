//! History: role changes and findings as a list, newest first.

use std::collections::BTreeSet;

use jiff::ZonedDateTime;
use maud::{Markup, html};

use super::Known;
use super::bands::Kind;
use super::command::command;
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
    groups: BTreeSet<&'h Text>,
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
                    && !self.groups.contains(&change.group)
            }
            None => {
                let is_numbered = change.number.is_some()
                    && self.changes.iter().any(|it| it.number == change.number);
                let is_near = apart <= TOGETHER_MS || (is_numbered && apart <= SAME_NUMBER_MS);
                is_near && self.groups.contains(&change.group)
            }
        }
    }

    // Adds a group's change, or that of the other node.
    fn add(&mut self, change: &'h Change) {
        self.groups.insert(&change.group);
        if !self.changes.iter().any(|it| it.own.node == change.own.node) {
            self.changes.push(change);
        }
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
                ol.history { @for it in entries { (row(it, now)) } }
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
                @if history.is_cut { " Older entries are left out: " (command("sparectl history --since 31d")) }
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
                    groups: BTreeSet::new(),
                    changes: Vec::new(),
                };
                it.add(change);
                moves.push(it);
            }
        }
    }
    moves
}

fn row(entry: &Entry, now: &ZonedDateTime) -> Markup {
    html! {
        li {
            p.at { (time_of_day(entry.at(), now)) }
            div {
                @match entry {
                    Entry::Move(it) => (move_row(it)),
                    Entry::Finding(at, it) => (finding_row(*at, it, now)),
                }
            }
        }
    }
}

fn move_row(it: &Move) -> Markup {
    html! {
        p.what {
            (listed(&it.groups, MAX_NAMES))
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
