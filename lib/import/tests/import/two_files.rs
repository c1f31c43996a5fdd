//! A file of each node: the same line has the same outcome in both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use spared_import::{Files, Import, Outcome, Request, import};

use crate::common::{Disk, names, request};

/// End of the name of a second file with the same text.
const COPY: &str = ".copy";

/// Files of which each has a copy.
struct Copied<F>(F);

impl<F: Files> Files for Copied<F> {
    fn read(&self, path: &Path) -> Result<String, String> {
        let name = path.to_string_lossy();
        self.0
            .read(Path::new(name.strip_suffix(COPY).unwrap_or(&name)))
    }

    fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        self.0.matching(pattern)
    }
}

/// A file of each node.
struct Texts {
    own: String,
    copy: String,
}

impl Files for Texts {
    fn read(&self, path: &Path) -> Result<String, String> {
        let is_copy = path.to_string_lossy().ends_with(COPY);
        Ok(if is_copy { &self.copy } else { &self.own }.clone())
    }

    fn matching(&self, _: &Path) -> Result<Vec<PathBuf>, String> {
        Ok(Vec::new())
    }
}

/// The text with other names of its instances, which are local to a node.
fn renamed(text: &str) -> String {
    let words = |line: &str| {
        line.split([' ', '\t'])
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let heads = text
        .lines()
        .map(words)
        .filter(|it| it[0] == "vrrp_instance");
    let names: BTreeSet<String> = heads.filter_map(|it| it.get(1).cloned()).collect();
    let line = |line: &str| {
        let mut found = words(line);
        let has_names = found
            .iter()
            .filter(|it| !it.is_empty())
            .all(|it| names.contains(it))
            || ["vrrp_instance", "vrrp_sync_group", "group"]
                .contains(&line.trim_start().split(' ').next().unwrap_or(""));
        for word in found
            .iter_mut()
            .filter(|it| has_names && names.contains(*it))
        {
            *word += "_b";
        }
        found.join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The text with its blocks of the top in the opposite order.
fn turned(lines: &[String]) -> Vec<String> {
    let blocks = lines.split_inclusive(|it| it.starts_with('}'));
    blocks.rev().flatten().cloned().collect()
}

fn copy_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}{COPY}", path.display()))
}

/// Outcomes and places in the list, by the name of the file and the line.
fn told(import: &Import, path: &Path) -> BTreeMap<usize, (Outcome, usize)> {
    let problems = import.sources.problems();
    let outcomes = import.sources.outcomes().iter();
    let here = outcomes.filter(|it| import.sources.path(it.0.file) == path);
    here.map(|(place, outcome)| {
        let items = problems.iter().filter(|it| it.places.contains(place));
        (place.line, (*outcome, items.count()))
    })
    .collect()
}

/// Each line of a file with how it is counted there and in the copy, if that differs.
fn differing(files: &dyn Files, mut request: Request) -> Vec<String> {
    let main = request.keepalived[0].clone();
    let copy = copy_of(&main);
    request.keepalived = [main.clone(), copy.clone()];
    let Ok(import) = import(files, &request) else {
        return Vec::new();
    };
    let (one, two) = (told(&import, &main), told(&import, &copy));
    assert_eq!(one.len(), two.len());
    one.iter()
        .filter(|it| two.get(it.0) != Some(it.1))
        .map(|(line, it)| format!("line {line}: {it:?}, copy {:?}", two.get(line)))
        .collect()
}

#[test]
fn the_same_line_is_counted_in_the_same_way_in_both_files() {
    let mut count = 0;
    for name in names() {
        let request = request(&name);
        let text = Disk.read(&request.keepalived[0]).expect("readable");
        // lines for one node have another outcome for the other
        if text.contains('@') {
            continue;
        }
        count += 1;
        let differing = differing(&Copied(Disk), request);
        assert!(differing.is_empty(), "{name}: {}", differing.join("\n"));
    }
    assert!(count > 30, "{count}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_line_is_counted_in_the_same_way_in_both_files(
        name in prop::sample::select(names()),
        kept in prop::collection::vec(0..8_u8, 200),
        has_other_names: bool,
        is_turned: bool,
    ) {
        let mut request = request(&name);
        request.conntrackd = None;
        let text = Disk.read(&request.keepalived[0]).expect("readable");
        // lines for one node are for both; a line in eight is missing, so that values have their defaults and blocks no
        // end, and one in eight is there twice
        let lines = text.lines().zip(kept).flat_map(|(line, kept)| {
            let times = match kept { 0 => 0, 1 => 2, _ => 1 };
            vec![line.replace('@', ""); times]
        });
        let mut lines: Vec<String> = lines.collect();
        if is_turned {
            // definitions stand below their use
            lines = turned(&lines);
        }
        let own = lines.join("\n");
        let copy = if has_other_names { renamed(&own) } else { own.clone() };
        let differing = differing(&Texts { own, copy }, request);
        prop_assert!(differing.is_empty(), "{name}: {}", differing.join("\n"));
    }
}
