//! The time line: roles of both nodes as bands, findings as marks, over hours or days.

use jiff::ZonedDateTime;
use maud::{Markup, html};

use super::Known;
use super::bands::{Band, Kind, Present, Record, Turn};
use super::documents::{Episode, Node, Run};
use super::frame::listed;
use super::head::counted;
use super::icon::Icon;
use super::moment::{duration, local, milliseconds};
use super::nodes::kind_class;
use super::range::{Range, Window};
use super::text::Text;

/// Most blocks of groups that are drawn.
const MAX_BLOCKS: usize = 32;
/// Blocks up to this number are drawn high.
const HIGH_BLOCKS: usize = 3;
/// Most names of groups beside one block.
const MAX_NAMES: usize = 3;
/// Rows of marks of one node; later findings that overlap all of these share the last one.
const MARK_ROWS: usize = 4;
/// Most marks of one node.
const MAX_MARKS: usize = 120;
/// Width of the shortest mark, in percent of the window.
const LEAST_MARK: f64 = 0.35;
/// Bands of the same time differ by at most one part in so many of the window.
const SAME: i64 = 200;
/// Least width in percent of a band with its word in it, on any screen and on a wide one.
const WORD_ANYWHERE: f64 = 32.0;
const WORD_WIDE: f64 = 9.0;

/// Groups whose bands are the same.
struct Block<'k> {
    groups: Vec<&'k Text>,
    /// Bands of each node.
    lanes: Vec<Vec<Band>>,
}

/// A finding on the time line.
struct Mark<'k> {
    row: usize,
    from: i64,
    to: Option<i64>,
    episode: &'k Episode,
}

struct Scale<'n> {
    range: Range,
    window: Window,
    now: &'n ZonedDateTime,
}

pub fn section(known: &Known, range: Range, now: &ZonedDateTime) -> Markup {
    let scale = Scale {
        range,
        window: range.window(now),
        now,
    };
    let names = names(known);
    let blocks = blocks(known, &names, scale.window);
    let is_high = blocks.len() <= HIGH_BLOCKS;
    html! {
        section #timeline.card aria-labelledby="timeline-title" {
            div.title {
                h2 #timeline-title { "Last " (range.title()) }
                (ranges(range))
            }
            div.lanes.high[is_high] {
                @for block in blocks.iter().take(MAX_BLOCKS) { (block_rows(block, &names, &scale, is_high)) }
                @for name in &names { (marks_row(known, name, &scale)) }
                (axis(&scale))
            }
            @if blocks.len() > MAX_BLOCKS { p.soft { "and " (blocks.len() - MAX_BLOCKS) " more groups" } }
            (legend())
        }
    }
}

fn ranges(chosen: Range) -> Markup {
    html! {
        nav.ranges aria-label="Time shown" {
            @for range in Range::ALL {
                a href={ "/?range=" (range.word()) "#timeline" } aria-current=[(range == chosen).then_some("true")] {
                    (range.title())
                }
            }
        }
    }
}

/// Names of this node and of the other one, if there is one.
fn names(known: &Known) -> Vec<&Text> {
    let peer = known.peer().map(|peer| &peer.node);
    [&known.own.node].into_iter().chain(peer).collect()
}

fn blocks<'k>(known: &'k Known, names: &[&Text], window: Window) -> Vec<Block<'k>> {
    let mut blocks: Vec<Block> = Vec::new();
    for group in &known.own.groups {
        let lane = |node: &&Text| record(known, &group.name, node, window).bands(window);
        let lanes: Vec<Vec<Band>> = names.iter().map(lane).collect();
        match blocks
            .iter_mut()
            .find(|it| is_same(&it.lanes, &lanes, window))
        {
            Some(block) => block.groups.push(&group.name),
            None => blocks.push(Block {
                groups: vec![&group.name],
                lanes,
            }),
        }
    }
    blocks
}

fn is_same(first: &[Vec<Band>], second: &[Vec<Band>], window: Window) -> bool {
    let least = window.length() / SAME;
    let is_near = |(one, other): (&Band, &Band)| {
        one.kind == other.kind && (one.from - other.from).abs() <= least
    };
    let mut lanes = first.iter().zip(second);
    lanes.all(|(one, other)| one.len() == other.len() && one.iter().zip(other).all(is_near))
}

// Record of a node in a group.
fn record(known: &Known, group: &Text, node: &Text, window: Window) -> Record {
    let history = &known.history;
    let changes = history.changes.iter();
    let own = changes.filter(|it| &it.group == group && &it.own.node == node);
    let mut turns: Vec<Turn> = own.filter_map(Turn::of).collect();
    turns.sort_by_key(|it| it.at);
    let is_silent = history.silent.as_ref() == Some(node);
    let whole_since = history.since.as_ref().filter(|_| !is_silent);
    Record {
        present: present(known, group, node, turns.last(), window),
        turns,
        whole_since: whole_since.and_then(milliseconds),
        gaps: gaps(&history.runs, node),
    }
}

// Times in which the daemon of a node did not run.
fn gaps(runs: &[Run], node: &Text) -> Vec<(i64, i64)> {
    let runs = runs.iter().filter(|it| &it.node == node);
    let times = |it: &Run| {
        let ended = it.ended.as_ref().and_then(milliseconds);
        Some((milliseconds(&it.began)?, ended.unwrap_or(i64::MAX)))
    };
    let mut runs: Vec<(i64, i64)> = runs.filter_map(times).collect();
    runs.sort_unstable();
    let (mut gaps, mut known) = (Vec::new(), i64::MIN);
    for (began, ended) in runs {
        if known < began {
            gaps.push((known, began));
        }
        known = known.max(ended);
    }
    gaps
}

fn present(
    known: &Known,
    group: &Text,
    node: &Text,
    last: Option<&Turn>,
    window: Window,
) -> Option<Present> {
    let of = |status: &Node| {
        let group = status.groups.iter().find(|it| &it.name == group)?;
        Some(Present {
            since: milliseconds(&group.since),
            kind: Kind::of(&group.role),
            until: window.to,
        })
    };
    match known.nodes().into_iter().find(|it| &it.node == node) {
        Some(status) => of(status),
        None => {
            let heard = known.peer().and_then(|peer| peer.last_heard.as_ref());
            Some(Present {
                since: None,
                kind: last?.to,
                until: milliseconds(heard?)?,
            })
        }
    }
}

fn block_rows(block: &Block, names: &[&Text], scale: &Scale, is_high: bool) -> Markup {
    let height = if is_high { 24 } else { 12 };
    html! {
        p.of { (listed(&block.groups, MAX_NAMES)) }
        @for (name, bands) in names.iter().zip(&block.lanes) {
            p.who { bdi { (name) } }
            svg.bands role="img" height=(height) aria-label=(summary(name, bands, scale)) {
                (grid(scale))
                @for band in bands { (rect(band, height, scale)) }
            }
        }
    }
}

// Summary for those who do not see the picture.
fn summary(name: &Text, bands: &[Band], scale: &Scale) -> String {
    let share = |kind: Kind| {
        let of_kind = bands.iter().filter(|it| it.kind == kind);
        let time: i64 = of_kind.map(|it| it.to - it.from).sum();
        (time > 0).then(|| format!("{} for {}", kind.word(), duration(time)))
    };
    let kinds = [
        Kind::Active,
        Kind::Backup,
        Kind::Fault,
        Kind::Mixed,
        Kind::Unknown,
    ];
    let shares: Vec<String> = kinds.into_iter().filter_map(share).collect();
    let changes = counted(bands.len().saturating_sub(1), "change");
    let title = scale.range.title();
    format!("{name}, last {title}: {}; {changes}", shares.join(", "))
}

fn rect(band: &Band, height: u32, scale: &Scale) -> Markup {
    let (from, width) = place(band.from, band.to, scale.window);
    let (top, thick) = match band.kind {
        Kind::Backup => (height * 3 / 8, height / 4),
        _ => (1, height - 2),
    };
    let word = match width {
        width if height < 20 || width < WORD_WIDE => None,
        width if width < WORD_ANYWHERE => Some("word roomy"),
        _ => Some("word"),
    };
    html! {
        rect class=(kind_class(band.kind)) x={ (percent(from)) "%" } width={ (percent(width)) "%" } y=(top) height=(thick) rx="2" {
            @let to = Some(band.to).filter(|to| *to < scale.window.to);
            title { (band.kind.word()) ", " (span(band.from, to, scale)) }
        }
        @if let Some(class) = word.filter(|_| band.kind != Kind::Backup) {
            text class={ (class) " on-" (kind_class(band.kind)) } x={ (percent(from)) "%" } dx="8" y="16.500" { (band.kind.word()) }
        }
    }
}

// Begin and width in percent of the window.
fn place(from: i64, to: i64, window: Window) -> (f64, f64) {
    let begin = window.percent(from);
    (begin, window.percent(to) - begin)
}

fn percent(number: f64) -> String {
    format!("{number:.2}")
}

// Times such as "23:10:04 to 02:13:12 (3 h 3 min)".
fn span(from: i64, to: Option<i64>, scale: &Scale) -> String {
    let format = match scale.range {
        Range::Hour | Range::Day => "%H:%M:%S",
        Range::Week | Range::Month => "%-d %b %H:%M",
    };
    let words = |at: i64| {
        let time = local(at, scale.now);
        time.map_or("-".to_owned(), |it| it.strftime(format).to_string())
    };
    let lasted = duration(to.unwrap_or(scale.window.to) - from);
    match to {
        Some(to) => format!("{} to {} ({lasted})", words(from), words(to)),
        None => format!("since {} ({lasted})", words(from)),
    }
}

fn grid(scale: &Scale) -> Markup {
    html! {
        @for tick in scale.range.ticks(scale.now) {
            @let x = percent(scale.window.percent(tick.at));
            line.grid x1={ (x) "%" } x2={ (x) "%" } y1="0" y2="100%" {}
        }
    }
}

fn axis(scale: &Scale) -> Markup {
    html! {
        p.who {}
        svg.axis height="20" aria-hidden="true" {
            @for tick in scale.range.ticks(scale.now) {
                @let x = scale.window.percent(tick.at);
                @if (3.0..=93.0).contains(&x) {
                    text.roomy[x > 82.0] x={ (percent(x)) "%" } y="14" text-anchor="middle" { (tick.label) }
                }
            }
            text x="100%" y="14" text-anchor="end" { "now" }
        }
    }
}

fn marks_row(known: &Known, node: &Text, scale: &Scale) -> Markup {
    let marks = marks(known, node, scale.window);
    let rows = marks.iter().map(|it| it.row + 1).max().unwrap_or(0);
    html! {
        @if !marks.is_empty() {
            p.of.findings-of { "findings on " bdi { (node) } }
            svg.marks role="img" height=(rows * 9 + 2) aria-label={ (counted(marks.len(), "finding")) " on " (node) "; the list below has them" } {
                (grid(scale))
                @for mark in &marks { (mark_rect(mark, scale)) }
            }
        }
    }
}

fn mark_rect(mark: &Mark, scale: &Scale) -> Markup {
    let to = mark.to.unwrap_or(scale.window.to);
    let (from, width) = place(mark.from, to, scale.window);
    let width = width.max(LEAST_MARK);
    let class = if mark.to.is_none() {
        "mark lasts"
    } else {
        "mark"
    };
    html! {
        rect class=(class) x={ (percent(from.min(100.0 - width))) "%" } width={ (percent(width)) "%" } y=(mark.row * 9 + 2) height="6" rx="3" {
            title { (mark.episode.id) " " (mark.episode.text) ", " (span(mark.from, mark.to, scale)) }
        }
    }
}

// Findings of a node in the window, in rows in which none overlaps another one; the newest if they are too many.
fn marks<'k>(known: &'k Known, node: &Text, window: Window) -> Vec<Mark<'k>> {
    let of_node = known.history.findings.iter().filter(|it| &it.node == node);
    let mut marks: Vec<Mark> = of_node.filter_map(|it| mark(it, window)).collect();
    marks.sort_by_key(|it| it.from);
    marks.drain(..marks.len().saturating_sub(MAX_MARKS));
    let mut ends = [i64::MIN; MARK_ROWS];
    for mark in &mut marks {
        let free = ends.iter().position(|it| *it < mark.from);
        mark.row = free.unwrap_or(MARK_ROWS - 1);
        let end = mark.to.unwrap_or(window.to) + window.length() / SAME;
        ends[mark.row] = ends[mark.row].max(end);
    }
    marks
}

fn mark(episode: &Episode, window: Window) -> Option<Mark<'_>> {
    let from = milliseconds(&episode.began)?;
    let to = episode.ended.as_ref().and_then(milliseconds);
    let is_shown = to.is_none_or(|to| to >= window.from) && from <= window.to;
    is_shown.then_some(Mark {
        row: 0,
        from,
        to,
        episode,
    })
}

fn legend() -> Markup {
    let kinds = [Kind::Active, Kind::Backup, Kind::Fault, Kind::Unknown];
    html! {
        ul.legend {
            @for kind in kinds {
                li {
                    svg.swatch aria-hidden="true" {
                        @let (top, thick) = if kind == Kind::Backup { ("5", "4") } else { ("1", "12") };
                        rect class=(kind_class(kind)) width="20" y=(top) height=(thick) rx="2" {}
                    }
                    (kind.word())
                }
            }
            li { svg.swatch aria-hidden="true" { rect.mark width="20" y="4" height="6" rx="3" {} } "finding" }
            li.soft { (Icon::Clock.draw()) "times are those of this router" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(node: &str, began: &str, ended: Option<&str>) -> Run {
        let time = |clock: &str| Text::new(&format!("2026-11-20T{clock}Z"));
        Run {
            node: Text::new(node),
            began: time(began),
            ended: ended.map(time),
        }
    }

    #[test]
    fn nothing_is_known_before_the_first_run_and_between_two() {
        let runs = [
            run("r1", "04:00:00", None),
            run("r2", "00:00:00", None),
            run("r1", "01:00:00", Some("03:00:00")),
        ];
        let at = |run: &Run| milliseconds(&run.began).unwrap();
        let ended = runs[2].ended.as_ref().and_then(milliseconds).unwrap();
        let expected = [(i64::MIN, at(&runs[2])), (ended, at(&runs[0]))];
        assert_eq!(gaps(&runs, &Text::new("r1")), expected);
        assert_eq!(gaps(&runs, &Text::new("r3")), []);
    }
}
