//! First line of the page: the verdict, and the findings with what to do.

use jiff::ZonedDateTime;
use maud::{Markup, html};
use spared_sdk::VerdictWord;

use super::Known;
use super::command;
use super::documents::{Finding, Headline, Verdict};
use super::frame::{listed, more};
use super::icon::Icon;
use super::moment::{clock, passed};
use super::text::Text;

/// Most names of groups in one sentence.
const MAX_NAMES: usize = 6;
/// Most findings that are listed.
const MAX_FINDINGS: usize = 40;

/// Sentence about groups that are in the same state.
struct Sentence<'v> {
    word: VerdictWord,
    groups: Vec<&'v Text>,
    /// Sentence without the name of the group.
    text: &'v str,
}

/// Class of everything in the colour of a verdict.
pub fn class(word: VerdictWord) -> &'static str {
    match word {
        VerdictWord::Ok => "ok",
        VerdictWord::Unknown => "unknown",
        VerdictWord::Alone => "alone",
        VerdictWord::Conflict => "conflict",
        VerdictWord::None => "none",
        _ => "warn",
    }
}

pub fn verdict(known: &Known) -> Markup {
    let verdict = &known.pair.verdict;
    let sentences = sentences(&verdict.headlines);
    let differ = sentences.iter().any(|it| it.word != verdict.word);
    html! {
        section #verdict class={ "verdict " (class(verdict.word)) } aria-labelledby="word" {
            (Icon::of_verdict(verdict.word).draw())
            div {
                h1 #word { (verdict.word.word()) }
                @for sentence in &sentences { (line(sentence, differ)) }
            }
        }
    }
}

fn line(sentence: &Sentence, differ: bool) -> Markup {
    html! {
        p.said {
            @if differ {
                span class={ "badge " (class(sentence.word)) } {
                    (Icon::of_verdict(sentence.word).draw()) (sentence.word.word())
                }
                " "
            }
            (listed(&sentence.groups, MAX_NAMES))
            @if !sentence.groups.is_empty() { ": " }
            (command::sentence(sentence.text))
        }
    }
}

// Sentences of all groups, the worst first; groups with the same one are named together.
fn sentences(headlines: &[Headline]) -> Vec<Sentence<'_>> {
    let mut sentences: Vec<Sentence> = Vec::new();
    for headline in headlines {
        let (group, text) = without_name(headline);
        let same = |it: &&mut Sentence| it.word == headline.word && it.text == text;
        match sentences.iter_mut().find(same) {
            Some(sentence) => sentence.groups.extend(group),
            None => sentences.push(Sentence {
                word: headline.word,
                groups: group.into_iter().collect(),
                text,
            }),
        }
    }
    sentences.sort_by_key(|it| std::cmp::Reverse(it.word));
    sentences
}

fn without_name(headline: &Headline) -> (Option<&Text>, &str) {
    let text = headline.text.as_str();
    let named = headline.group.as_ref().and_then(|group| {
        let rest = text.strip_prefix(group.as_str())?.strip_prefix(": ")?;
        Some((Some(group), rest))
    });
    named.unwrap_or((None, text))
}

pub fn findings(known: &Known, now: &ZonedDateTime) -> Markup {
    let Verdict { findings, .. } = &known.pair.verdict;
    html! {
        @if !findings.is_empty() {
            section #findings.card aria-labelledby="findings-title" {
                h2 #findings-title { (counted(findings.len(), "finding")) }
                ol.findings {
                    @for finding in findings.iter().take(MAX_FINDINGS) { li { (row(finding, now)) } }
                }
                (more(findings.len(), MAX_FINDINGS, "sparectl status"))
            }
        }
    }
}

fn row(finding: &Finding, now: &ZonedDateTime) -> Markup {
    html! {
        p.what { (finding.text) @if !finding.text.as_str().ends_with('…') { "." } }
        @if !finding.todo.is_empty() { p.todo { (Icon::Wrench.draw()) span { (command::sentence(finding.todo.as_str())) } } }
        p.meta {
            span { (finding.id) }
            @if !finding.node.is_empty() { span { "on " bdi { (finding.node) } } }
            @if let Some(since) = &finding.since {
                span {
                    "since " (clock(since, now))
                    @if let Some(passed) = passed(since, now) { " (" (passed) ")" }
                }
            }
        }
    }
}

/// "1 finding", "3 findings".
pub fn counted(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    }
}
