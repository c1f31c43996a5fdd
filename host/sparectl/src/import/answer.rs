//! Result of an import, as a person reads it.

use std::fmt::Write;

use spared_import::{Import, Outcome, Place, Sources};

/// Places that are shown of one thing.
const SHOWN_MAX: usize = 6;

/// Counts, decisions, words without a counterpart, and the list.
pub fn found(import: &Import) -> String {
    let sources = &import.sources;
    let count = |outcome| {
        sources
            .outcomes()
            .values()
            .filter(|it| **it == outcome)
            .count()
    };
    let mut text = format!(
        "{} lines: {} are translated, {} need no counterpart, {} are not translated\n",
        sources.outcomes().len(),
        count(Outcome::Translated),
        count(Outcome::Needless),
        count(Outcome::Listed)
    );
    for decision in &import.decisions {
        let _ = writeln!(text, "group {}: {}", decision.group, decision.why);
    }
    let reasons: Vec<String> = sources.reasons().map(|it| reason(sources, it)).collect();
    if !reasons.is_empty() {
        text += &format!("\nno counterpart is needed:\n{}", reasons.concat());
    }
    let problems = sources.problems();
    if !problems.is_empty() {
        text += "\nto do by hand:\n";
    }
    for (number, problem) in (1..).zip(problems) {
        let _ = write!(
            text,
            "  {number}. {}: {}: {}\n     {}\n",
            places(sources, &problem.places),
            problem.what,
            problem.why,
            problem.todo
        );
    }
    text
}

/// The steps of the migration, or why there are none.
pub fn steps(import: &Import) -> String {
    if !import.obstacles.is_empty() {
        let lines = import.obstacles.iter().map(|it| format!("  {it}\n"));
        return format!(
            "\nthe migration cannot begin, so there are no steps:\n{}",
            lines.collect::<String>()
        );
    }
    let mut text = "\nthe migration, each step as root:\n".to_owned();
    for (number, step) in (1..).zip(&import.steps) {
        for line in step.lines(number) {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn reason(sources: &Sources, (what, why, of): (&str, &str, Vec<Place>)) -> String {
    format!("  {what} ({}): {why}\n", places(sources, &of))
}

/// The first places with the file's name, then only numbers of lines of the same file.
fn places(sources: &Sources, places: &[Place]) -> String {
    let mut text = String::new();
    let mut last = None;
    for place in places.iter().take(SHOWN_MAX) {
        let between = if text.is_empty() { "" } else { ", " };
        text += between;
        if last == Some(place.file) {
            let _ = write!(text, "{}", place.line);
        } else {
            text += &sources.shown(*place);
        }
        last = Some(place.file);
    }
    let more = places.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}
