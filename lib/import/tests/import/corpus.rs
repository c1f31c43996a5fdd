//! Configurations with the structure of public ones: each line is accounted for, and most of those about VRRP are
//! translated. `tests/tests/imports.rs` has `spared check` read the results.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::common::{CONFIGS, Disk, blessed, names, request, shown};
use spared_import::{Import, Outcome, import};

/// Share of the lines about VRRP that have to be in the files, in percent.
const TRANSLATED_MIN: usize = 90;
/// Files that are wrong on purpose, so that most of their lines are listed.
const WRONG: [&str; 3] = ["conflict-marks", "no-address", "unknown-words"];
/// Files whose whole result is kept in `configs/results`.
const RESULTS: [&str; 8] = [
    "conditional",
    "dual-stack",
    "gateway",
    "masters-apart",
    "sample-localcheck",
    "sample-routes",
    "seq-hex",
    "vyos",
];

fn imported(name: &str, is_final: bool) -> Import {
    let mut request = request(name);
    request.is_final = is_final;
    import(&Disk, &request).unwrap_or_else(|fault| panic!("{name}: {fault}"))
}

#[test]
fn there_are_forty() {
    assert!(names().len() >= 40, "{}", names().len());
}

#[test]
fn each_line_is_translated_explained_or_listed() {
    for name in names() {
        let import = imported(&name, false);
        for (place, outcome) in import.sources.outcomes() {
            let shown = import.sources.shown(*place);
            assert_ne!(*outcome, Outcome::Open, "{shown}");
            let listed = import
                .sources
                .problems()
                .iter()
                .any(|it| it.places.contains(place));
            let explained = import.sources.reasons().any(|it| it.2.contains(place));
            match outcome {
                Outcome::Listed => assert!(listed, "{shown} is not in the list"),
                Outcome::Needless => assert!(explained, "{shown} has no reason"),
                _ => {}
            }
        }
        // each line that says something has an outcome
        let counted: BTreeSet<_> = import
            .sources
            .outcomes()
            .keys()
            .map(|it| import.sources.shown(*it))
            .collect();
        let main = request(&name).keepalived[0].clone();
        let text = fs::read_to_string(&main).expect("readable");
        for (number, line) in (1..).zip(text.lines()) {
            let place = format!("{}:{number}", main.file_name().unwrap().to_string_lossy());
            let is_empty = line.trim().is_empty() || line.trim().starts_with(['#', '!']);
            assert!(is_empty || counted.contains(&place), "{place}: {line}");
        }
    }
}

/// Numbers of lines about VRRP: those in blocks about it, but for braces alone.
fn vrrp_lines(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let (mut depth, mut top) = (0_i32, String::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split(['#', '!']).next().unwrap_or_default().trim();
        let word = line.split([' ', '\t']).next().unwrap_or_default();
        if depth == 0 && !matches!(word, "" | "{" | "}") {
            word.clone_into(&mut top);
        }
        let is_vrrp = top.starts_with("vrrp_") || top.starts_with("track_");
        let says_something = line.chars().any(|it| !"{} \t".contains(it));
        if is_vrrp && says_something {
            found.push(number);
        }
        depth += line.matches('{').count() as i32 - line.matches('}').count() as i32;
    }
    found
}

#[test]
fn nine_of_ten_lines_about_vrrp_are_translated() {
    let mut table = "| file | lines | translated | not needed | listed | about VRRP, without braces alone | of these translated |\n|---|---|---|---|---|---|---|\n".to_owned();
    let mut sums = [0; 6];
    for name in names() {
        let import = imported(&name, false);
        let outcomes = import.sources.outcomes();
        let count = |outcome| outcomes.values().filter(|it| **it == outcome).count();
        let text =
            fs::read_to_string(CONFIGS.to_owned() + "/" + &name + ".conf").expect("readable");
        let about = vrrp_lines(&text);
        let of_main = |number: &usize| {
            outcomes
                .iter()
                .find(|(place, _)| place.file == 0 && place.line == *number)
        };
        let translated = about
            .iter()
            .filter(|it| of_main(it).is_some_and(|it| *it.1 == Outcome::Translated))
            .count();
        let row = [
            outcomes.len(),
            count(Outcome::Translated),
            count(Outcome::Needless),
            count(Outcome::Listed),
            about.len(),
            translated,
        ];
        let cells: Vec<String> = row.iter().map(ToString::to_string).collect();
        let _ = writeln!(table, "| {name} | {} |", cells.join(" | "));
        if !WRONG.contains(&name.as_str()) {
            sums.iter_mut().zip(row).for_each(|(sum, it)| *sum += it);
        }
    }
    let cells: Vec<String> = sums.iter().map(ToString::to_string).collect();
    let _ = writeln!(
        table,
        "| all but {} | {} |",
        WRONG.join(", "),
        cells.join(" | ")
    );
    blessed(
        "README.md",
        &format!(
            "# Lines of the configurations, by what becomes of them\n\nMade by `BLESS=1 cargo nextest run -p spared-import`.\n\n{table}"
        ),
    );
    assert!(
        sums[5] * 100 >= sums[4] * TRANSLATED_MIN,
        "{} of {}",
        sums[5],
        sums[4]
    );
}

#[test]
fn results_are_as_they_were() {
    for name in RESULTS {
        let [during, after] = [false, true].map(|is_final| shown(&imported(name, is_final)));
        blessed(
            &format!("results/{name}.txt"),
            &format!("{during}\n==== --both ====\n{after}"),
        );
    }
}

#[test]
fn pages_have_the_tables() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for (page, title, table) in [
        (
            "migrating-from-keepalived.md",
            "## Word by word\n",
            spared_import::page::keepalived(),
        ),
        (
            "howto/migrate-from-conntrackd.md",
            "## Setting by setting\n",
            spared_import::page::conntrackd(),
        ),
    ] {
        let path = docs.join(page);
        let text = fs::read_to_string(&path).expect("a page");
        let (before, after) = text.split_once(title).expect("a title");
        let rest = after.find("\n## ").map_or("", |at| &after[at..]);
        let new = format!("{before}{title}\n{}\n{}", table.trim_end(), rest);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, &new).expect("written");
        }
        let text = fs::read_to_string(&path).expect("a page");
        assert_eq!(text, new, "{page}: BLESS=1 renews it");
    }
}
