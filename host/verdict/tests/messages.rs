//! Tests that docs/messages.md explains every finding, and nothing else.

use spared_verdict::Id;

const PAGE: &str = include_str!("../../../docs/messages.md");

/// Returns the sections, each with its heading and the text below.
fn sections() -> Vec<(&'static str, &'static str)> {
    let sections = PAGE.split("\n### ").skip(1);
    let sections = sections.map(|section| section.split_once('\n').unwrap_or((section, "")));
    sections.collect()
}

#[test]
fn every_id_has_its_section_and_every_section_an_id() {
    let explained: Vec<&str> = sections()
        .iter()
        .map(|(heading, _)| heading.split(':').next().unwrap_or_default())
        .collect();
    let known: Vec<&str> = Id::ALL.iter().map(|id| id.code()).collect();
    assert_eq!(explained, known);
}

#[test]
fn a_section_says_what_it_means_what_is_lost_and_how_to_mend_it() {
    for (heading, text) in sections() {
        for part in ["**Means.**", "**Meanwhile.**", "**Fix.**", "**Fixed.**"] {
            assert!(text.contains(part), "{heading}: {part}");
        }
    }
}

#[test]
fn a_section_says_what_to_type_and_what_one_sees_in_the_end() {
    for (heading, text) in sections() {
        let (_, after) = text.split_once("**Fix.**").expect("how to mend it");
        let (fix, fixed) = after.split_once("**Fixed.**").expect("what one sees then");
        assert!(fix.contains('`'), "{heading}: no command: {fix}");
        let fixed = fixed.split("\n\n").next().unwrap_or_default();
        let is_seen = ["`", "headline", "gone", "finding ends"]
            .iter()
            .any(|it| fixed.contains(it));
        assert!(is_seen, "{heading}: {fixed}");
    }
}
