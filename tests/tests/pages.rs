// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first pages say what is so: the README's screen and figures are those of their sources, its network is the tutorial's,
//! every claim about another product has its source, and every finding that a page names exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use spared_verdict::Id;

/// More than that nobody reads before deciding.
const README_LINES: usize = 85;
/// Products of the comparison beside spared itself.
const OTHERS: usize = 6;
const NO_SOURCE: &str = "not documented";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    let read = fs::read_to_string(root().join(path));
    read.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Lines of a table's body or of anything else, split into cells.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().filter_map(|line| {
        let inside = line.strip_prefix('|')?.strip_suffix('|')?;
        Some(inside.split('|').map(str::trim).collect::<Vec<_>>())
    });
    lines.filter(|cells| cells.iter().any(|cell| !cell.starts_with("---")))
}

/// Names of the sources that a text cites: `[[K1]]`.
fn cited(text: &str) -> BTreeSet<&str> {
    let after = text.split("[[").skip(1);
    after
        .filter_map(|rest| rest.split_once("]]"))
        .map(|(name, _)| name)
        .filter(|name| name.len() <= 3 && !name.contains('.'))
        .collect()
}

/// Configuration in a page: indented lines, without comments.
fn settings(page: &str) -> Vec<String> {
    let lines = page.lines().filter(|line| line.starts_with("    "));
    let lines = lines.map(|line| line.split('#').next().unwrap_or_default().trim());
    let settings = lines.filter(|line| line.starts_with("[[") || line.contains(" = "));
    settings.map(str::to_owned).collect()
}

#[test]
fn the_readme_is_short_enough_to_be_read() {
    let lines = read("README.md").lines().count();
    assert!(lines <= README_LINES, "{lines} lines");
}

#[test]
fn the_screen_of_the_readme_is_what_sparectl_prints() {
    let readme = read("README.md");
    let case = read("host/sparectl/tests/cases/status-readme.txt");
    let (_, screen) = readme
        .split_once("$ sparectl status\n")
        .expect("the README shows it");
    let screen: Vec<&str> = screen.lines().take_while(|line| !line.is_empty()).collect();
    assert!(screen.len() >= 6, "{screen:?}");
    // rows may be left out, but not moved
    let mut printed = case.lines();
    for line in screen {
        let line = line.strip_prefix("    ").unwrap_or(line);
        assert!(printed.any(|it| it == line), "not printed there: {line}");
    }
}

#[test]
fn the_picture_of_status_is_what_sparectl_prints() {
    let picture = read("docs/pictures/status.screen");
    let case = read("host/sparectl/tests/cases/status-readme.txt");
    let case = case.strip_suffix("exit 0\n").unwrap_or(&case);
    assert_eq!(picture, format!("$ sparectl status\n{case}"));
}

#[test]
fn the_figures_of_the_readme_are_those_of_the_measurements() {
    let readme = read("README.md");
    let (_, measured) = readme
        .split_once("## Measured")
        .expect("the README has figures");
    let (measured, _) = measured
        .split_once("\n## ")
        .expect("something follows them");
    let page = read("docs/performance.md");
    let mut found = 0;
    for row in rows(measured).skip(1) {
        for figure in &row[1..] {
            assert!(page.contains(&format!("| {figure} |")), "{figure}: {row:?}");
            found += 1;
        }
    }
    assert_eq!(found, 10);
}

#[test]
fn the_readme_and_the_tutorial_have_one_network() {
    let readme = settings(&read("README.md"));
    assert!(readme.len() > 12, "{readme:?}");
    let tutorial = read("docs/tutorial.md");
    let (_, machines) = tutorial
        .split_once("## On two machines")
        .expect("the tutorial has that part");
    let machines = settings(machines);
    for setting in readme.iter().filter(|it| !it.contains("sk1:")) {
        assert!(
            machines.contains(setting),
            "not in the tutorial: {setting}\n{machines:#?}"
        );
    }
}

#[test]
fn every_claim_about_another_product_has_its_source() {
    let page = read("docs/comparison.md");
    let (_, table) = page
        .split_once("## By feature")
        .expect("the page compares by feature");
    let (table, _) = table.split_once("\n## ").expect("something follows it");
    let mut rows = rows(table);
    let head = rows.next().expect("a head");
    assert_eq!(head.len(), OTHERS + 2, "{head:?}");
    for row in rows {
        assert_eq!(row.len(), head.len(), "{row:?}");
        for (product, claim) in head[1..=OTHERS].iter().zip(&row[1..=OTHERS]) {
            let has_source = !cited(claim).is_empty() || claim.contains("](performance.md#");
            assert!(
                has_source || *claim == NO_SOURCE,
                "{}, {product}: {claim}",
                row[0]
            );
        }
    }
}

#[test]
fn every_source_is_cited_and_every_citation_leads_somewhere() {
    let page = read("docs/comparison.md");
    let defined: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.split_once("]: https://"))
        .map(|(name, _)| name)
        .collect();
    let names: BTreeSet<&str> = defined.iter().copied().collect();
    assert_eq!(names.len(), defined.len(), "one is defined twice");
    assert_eq!(names, cited(&page));
}

#[test]
fn every_finding_that_a_page_names_exists() {
    let known: BTreeSet<&str> = Id::ALL.iter().map(|id| id.code()).collect();
    let mut named = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a readable page");
        for rest in text.split("SP-").skip(1) {
            let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let code = format!("SP-{number}");
            assert!(known.contains(code.as_str()), "{}: {code}", page.display());
            named += 1;
        }
    }
    assert!(named > 50, "{named}");
}

#[test]
fn every_page_is_one_step_from_the_readme() {
    let readme = read("README.md");
    for page in fs::read_dir(root().join("docs")).expect("the folder is there") {
        let name = page.expect("a readable folder").file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".md") {
            assert!(readme.contains(&format!("](docs/{name}")), "{name}");
        }
    }
}

/// The README, and the pages of docs.
fn pages() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md")];
    for folder in ["docs", "docs/howto"] {
        let entries = fs::read_dir(root().join(folder)).expect("the folder is there");
        let paths = entries.map(|entry| entry.expect("a readable folder").path());
        found.extend(paths.filter(|path| path.extension().is_some_and(|it| it == "md")));
    }
    found
}
