// SPDX-License-Identifier: MIT OR Apache-2.0
//! A type has at most 15 fields: what lives for another time, or changes for another reason, is a value of its own. At
//! most three files touch a private field: the others ask its owner.
//!
//! Two files of a folder do not differ by an s alone: nobody guesses what is in role.rs and what in roles.rs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const FIELDS_MAX: usize = 15;
/// Maximum number of files that touch a private field.
const TOUCHES_MAX: usize = 3;
/// Folders of the code that is installed or that plugins are built with.
const PRODUCT: [&str; 5] = ["abi", "check", "host", "lib", "plugins"];

/// Types with more fields, each with its number. The list only shrinks: who takes a field away corrects the number.
const WIDE: [(&str, usize); 5] = [
    ("abi/contract/src/descriptor.rs Descriptor", 18),
    ("abi/examples/messenger/src/messenger.rs Messenger", 16),
    ("abi/examples/probe/src/lib.rs Seen", 16),
    ("abi/sdk/src/run/core.rs Core", 22),
    ("plugins/vrrp/src/config/mod.rs VirtualRouter", 17),
];

/// Fields that more files touch, each with their number. The list only shrinks: who takes a file away corrects the
/// number.
const OPEN: [(&str, usize); 5] = [
    ("lib/replica/src/session.rs Replica inbox", 5),
    ("lib/replica/src/session.rs Replica outbox", 5),
    ("plugins/conntrack/src/engine/mod.rs Engine reports", 8),
    ("plugins/service/src/engine/item.rs Item spec", 9),
    ("plugins/vrrp/src/lib.rs Vrrp engine", 9),
];

/// A source file of the product, without its tests and comments.
struct Source {
    file: String,
    text: String,
    /// Folder of its crate.
    room: String,
}

#[derive(Debug, PartialEq)]
struct Type {
    name: String,
    fields: Vec<Field>,
}

#[derive(Debug, PartialEq)]
struct Field {
    name: String,
    is_public: bool,
    of: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().expect("the repository");
    let mut found = Vec::new();
    let mut folders: Vec<(PathBuf, String)> = PRODUCT
        .iter()
        .map(|it| (root.join(it), (*it).to_owned()))
        .collect();
    while let Some((folder, above)) = folders.pop() {
        let below = |path: &Path| {
            path.strip_prefix(&root)
                .expect("below the root")
                .display()
                .to_string()
        };
        let room = if folder.join("Cargo.toml").exists() {
            below(&folder)
        } else {
            above
        };
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if path.is_dir() {
                let is_product = name != "tests" && name != "target";
                folders.extend(is_product.then(|| (path, room.clone())));
            } else if name.ends_with(".rs") && name != "tests.rs" {
                let text = fs::read_to_string(&path).expect("a source file");
                found.push(Source {
                    file: below(&path),
                    text: without_tests(&text),
                    room: room.clone(),
                });
            }
        }
    }
    found
}

fn without_tests(text: &str) -> String {
    let end = text
        .find("\n#[cfg(test)]\nmod tests {")
        .unwrap_or(text.len());
    let lines = text.get(..end).unwrap_or_default().lines();
    lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The structs of a file that rustfmt has formatted.
fn types(text: &str) -> Vec<Type> {
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
        let fields = body.filter_map(|it| field(it, margin + 4)).collect();
        found.push(Type { name, fields });
    }
    found
}

fn struct_name(line: &str) -> Option<String> {
    type_name(line, "struct ")
}

fn type_name(line: &str, kind: &str) -> Option<String> {
    let (before, after) = line.trim_start().split_once(kind)?;
    let is_declaration = before.is_empty() || before.starts_with("pub") && before.ends_with(' ');
    let name = after.split(|it: char| !is_of_name(it)).next()?;
    is_declaration.then(|| name.to_owned())
}

fn field(line: &str, margin: usize) -> Option<Field> {
    let is_comment = line.trim_start().starts_with("//");
    let (name, of) = line.split_once(": ").filter(|_| !is_comment)?;
    let indented = name.len() - name.trim_start().len() == margin;
    let is_public = name.trim_start().starts_with("pub ");
    let name = name.trim_start().rsplit(' ').next().unwrap_or_default();
    let is_name = name.chars().all(is_of_name);
    (indented && is_name).then(|| Field {
        name: name.to_owned(),
        is_public,
        of: of.trim_end_matches(',').to_owned(),
    })
}

fn is_of_name(it: char) -> bool {
    it.is_alphanumeric() || it == '_'
}

/// Private fields with the number of files that touch them, by "file Type field". They are told by their names: those
/// whose name another field of the crate or a public field has are not counted, and neither are patterns.
///
/// A file that only calls methods of a field's value does not touch it, if its type is one of `own`: that type has walls
/// itself.
fn touched(sources: &[Source], own: &BTreeSet<String>) -> BTreeMap<String, usize> {
    let mut places: BTreeMap<(&str, String), Vec<(String, Field)>> = BTreeMap::new();
    let mut public = BTreeSet::new();
    for source in sources {
        for it in types(&source.text) {
            let place = format!("{} {}", source.file, it.name);
            for field in it.fields {
                public.extend(field.is_public.then(|| field.name.clone()));
                let key = (source.room.as_str(), field.name.clone());
                places.entry(key).or_default().push((place.clone(), field));
            }
        }
    }
    let mut found = BTreeMap::new();
    for ((room, name), declared) in &places {
        let [(place, field)] = declared.as_slice() else {
            continue;
        };
        if public.contains(name) {
            continue;
        }
        let path = field.of.split('<').next().unwrap_or_default();
        let is_walled = own.contains(path.rsplit("::").next().unwrap_or_default());
        let inside = sources.iter().filter(|it| it.room == *room);
        let count = inside
            .filter(|it| touches(&it.text, name, is_walled))
            .count();
        found.insert(format!("{place} {name}"), count);
    }
    found
}

/// Returns true if a text uses the field of some value; with true, otherwise than by a call of a method of the field's
/// own.
fn touches(text: &str, name: &str, is_walled: bool) -> bool {
    text.match_indices(&format!(".{name}")).any(|(at, found)| {
        let after = text.get(at + found.len()..).unwrap_or_default();
        let is_longer = after.starts_with(is_of_name);
        let after = after.trim_start();
        let is_method = after.starts_with('(') || after.starts_with("::");
        let called = after
            .strip_prefix('.')
            .map(|it| it.trim_start_matches(is_of_name));
        let is_call = called.is_some_and(|it| it.starts_with('('));
        !(is_longer || is_method || is_walled && is_call)
    })
}

/// Compares a list in this file with what is found.
fn compare(found: &BTreeMap<String, usize>, known: &[(&str, usize)], what: &str) {
    let known: BTreeMap<String, usize> = known
        .iter()
        .map(|(name, number)| ((*name).to_owned(), *number))
        .collect();
    let lines: Vec<String> = found
        .iter()
        .map(|(name, number)| format!("    (\"{name}\", {number}),"))
        .collect();
    assert_eq!(*found, known, "{what}. They are\n{}", lines.join("\n"));
}

#[test]
fn no_type_gets_more_fields_than_it_may_have() {
    let mut found = BTreeMap::new();
    for source in sources() {
        for it in types(&source.text) {
            let name = format!("{} {}", source.file, it.name);
            found.insert(name, it.fields.len());
        }
    }
    found.retain(|_, fields| *fields > FIELDS_MAX);
    let what = format!(
        "types with more than {FIELDS_MAX} fields: put what has another life into a value of its own, or correct WIDE"
    );
    compare(&found, &WIDE, &what);
}

#[test]
fn no_field_gets_touched_by_more_files_than_it_may_be() {
    let sources = sources();
    let own = sources.iter().flat_map(|it| {
        let lines = it.text.lines();
        let names =
            lines.filter_map(|line| type_name(line, "struct ").or(type_name(line, "enum ")));
        names.collect::<Vec<_>>()
    });
    let mut found = touched(&sources, &own.collect());
    assert!(found.len() > 500, "fields are found: {}", found.len());
    found.retain(|_, files| *files > TOUCHES_MAX);
    let what = format!(
        "fields that more than {TOUCHES_MAX} files touch: give their owner a method, or correct OPEN"
    );
    compare(&found, &OPEN, &what);
}

#[test]
fn no_two_files_of_a_folder_differ_by_an_s_alone() {
    let sources = sources();
    let files: BTreeSet<&str> = sources.iter().map(|it| it.file.as_str()).collect();
    let plural = |file: &str| file.strip_suffix(".rs").map(|it| format!("{it}s.rs"));
    let both = files
        .iter()
        .filter(|it| plural(it).is_some_and(|other| files.contains(other.as_str())));
    let both: Vec<&&str> = both.collect();
    assert!(
        both.is_empty(),
        "name what each of them has: {both:?}, and the file with an s more"
    );
}

#[test]
fn fields_are_found_in_each_struct_of_a_file() {
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
    let found = types(text);
    let names: Vec<_> = found.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["One", "Three"]);
    let field = |name: &str, is_public, of: &str| Field {
        name: name.to_owned(),
        is_public,
        of: of.to_owned(),
    };
    let one = [field("a", false, "u8"), field("c", false, "Vec<T>")];
    assert_eq!(found[0].fields, one);
    assert_eq!(found[1].fields, [field("a", true, "u8")]);
}

#[test]
fn a_field_is_touched_by_reading_and_not_by_a_method_of_its_name() {
    for text in [
        "self.walk",
        "it.walk = 1",
        "a\n    .walk\n",
        "&mut self.walk,",
        "self.walk.next",
    ] {
        assert!(touches(text, "walk", true), "{text}");
    }
    for text in ["self.walk()", "self.walks", "walk.a", "self.walk::<u8>()"] {
        assert!(!touches(text, "walk", false), "{text}");
    }
    assert!(touches("self.walk\n.begin(1)", "walk", false));
    assert!(!touches("self.walk\n    .begin(1)", "walk", true));
}

#[test]
fn files_are_counted_for_each_private_field_whose_name_is_its_own() {
    let source = |file: &str, text: &str| Source {
        file: file.to_owned(),
        text: text.to_owned(),
        room: "host/one".to_owned(),
    };
    let one = "struct One {\n    walk: u8,\n    twice: u8,\n    pub seen: u8,\n}\n";
    let two = "struct Two {\n    twice: u8,\n}\nfn f(it: &One) { it.walk }\n";
    let sources = [
        source("a.rs", one),
        source("b.rs", two),
        source("c.rs", "it.walk; it.twice"),
    ];
    let found = touched(&sources, &BTreeSet::new());
    assert_eq!(found, BTreeMap::from([("a.rs One walk".to_owned(), 2)]));
}
