// SPDX-License-Identifier: MIT OR Apache-2.0
//! A type has at most 15 fields: what lives for another time, or changes for another reason, is a value of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const FIELDS_MAX: usize = 15;
/// Folders of the code that is installed or that plugins are built with.
const PRODUCT: [&str; 4] = ["abi", "host", "lib", "plugins"];

/// Types with more fields, each with its number. The list only shrinks: who takes a field away corrects the number.
const WIDE: [(&str, usize); 5] = [
    ("abi/contract/src/descriptor.rs Descriptor", 18),
    ("abi/examples/messenger/src/messenger.rs Messenger", 16),
    ("abi/examples/probe/src/lib.rs Seen", 16),
    ("abi/sdk/src/run/core.rs Core", 22),
    ("plugins/vrrp/src/config/mod.rs VirtualRouter", 17),
];

/// Types with more fields than they may have: by "file Type".
fn wide(root: &Path) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = PRODUCT.iter().map(|it| root.join(it)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if path.is_dir() {
                folders.extend((name != "tests" && name != "target").then_some(path));
            } else if name.ends_with(".rs") && name != "tests.rs" {
                let text = fs::read_to_string(&path).expect("a source file");
                let file = path.strip_prefix(root).expect("below the root").display();
                let types = types(&text);
                let types = types.into_iter().filter(|(_, fields)| *fields > FIELDS_MAX);
                found.extend(types.map(|(name, fields)| (format!("{file} {name}"), fields)));
            }
        }
    }
    found
}

/// The structs of a file that rustfmt has formatted, each with the number of its fields.
fn types(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(name) = struct_name(line).filter(|_| line.ends_with('{')) else {
            continue;
        };
        let margin = line.len() - line.trim_start().len();
        let body = lines
            .by_ref()
            .take_while(|it| *it != format!("{:margin$}}}", ""));
        let fields = body.filter(|it| is_field(it, margin + 4)).count();
        found.push((name, fields));
    }
    found
}

fn struct_name(line: &str) -> Option<String> {
    let (before, after) = line.trim_start().split_once("struct ")?;
    let is_declaration = before.is_empty() || before.starts_with("pub") && before.ends_with(' ');
    let name = after
        .split(|it: char| !it.is_alphanumeric() && it != '_')
        .next()?;
    is_declaration.then(|| name.to_owned())
}

fn is_field(line: &str, margin: usize) -> bool {
    let is_comment = line.trim_start().starts_with("//");
    let Some((name, _)) = line.split_once(": ").filter(|_| !is_comment) else {
        return false;
    };
    let indented = name.len() - name.trim_start().len() == margin;
    let name = name.trim_start().rsplit(' ').next().unwrap_or_default();
    indented && name.chars().all(|it| it.is_alphanumeric() || it == '_')
}

#[test]
fn no_type_gets_more_fields_than_it_may_have() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let found = wide(&root.canonicalize().expect("the repository"));
    let known: BTreeMap<String, usize> = WIDE
        .iter()
        .map(|(name, fields)| ((*name).to_owned(), *fields))
        .collect();
    let lines: Vec<String> = found
        .iter()
        .map(|(name, fields)| format!("    (\"{name}\", {fields}),"))
        .collect();
    assert_eq!(
        found,
        known,
        "types with more than {FIELDS_MAX} fields: put what has another life into a value of its own, or correct WIDE. They are\n{}",
        lines.join("\n")
    );
}

#[test]
fn fields_are_counted_of_each_struct_of_a_file() {
    let text = "\
/// struct Comment {
pub(crate) struct One<T> {
    a: u8,
    // b: u8,
    /// c: d
    pub(super) c: Vec<T>,
}

struct Two(u8);

mod inner {
    pub struct Three {
        pub a: u8,
    }
}
";
    assert_eq!(
        types(text),
        [("One".to_owned(), 2), ("Three".to_owned(), 1)]
    );
}
