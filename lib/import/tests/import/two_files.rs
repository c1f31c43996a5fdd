//! A file of each node: the same line has the same outcome in both.

use std::collections::BTreeMap;
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

struct Text(String);

impl Files for Text {
    fn read(&self, _: &Path) -> Result<String, String> {
        Ok(self.0.clone())
    }

    fn matching(&self, _: &Path) -> Result<Vec<PathBuf>, String> {
        Ok(Vec::new())
    }
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
    ) {
        let mut request = request(&name);
        request.conntrackd = None;
        let text = Disk.read(&request.keepalived[0]).expect("readable");
        // lines for one node are for both, and a line in eight is missing: values have their defaults, blocks have no end
        let lines = text.lines().zip(kept).filter(|it| it.1 > 0);
        let lines: Vec<String> = lines.map(|it| it.0.replace('@', "")).collect();
        let differing = differing(&Text(lines.join("\n")), request);
        prop_assert!(differing.is_empty(), "{name}: {}", differing.join("\n"));
    }
}
