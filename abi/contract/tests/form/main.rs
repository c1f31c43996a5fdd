//! Tests the form of the messages: the schema, golden bytes, and messages that a newer or older end may send.
//!
//! `BLESS=1 cargo test -p spared-contract --test form` writes `abi/contract.cddl` and `golden.txt` again. From the
//! first release on, lines may only be added to them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod hostile;
mod independent;
mod tree;
mod versions;

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use spared_contract::codec::Message;
use spared_contract::schema::{self, Kind};
use spared_contract::{FromPlugin, ToPlugin};

use tree::Tree;

/// Sample messages of every kind, one with every key and one with as few keys as possible: their names and records.
pub fn samples(kinds: &[Kind]) -> Vec<(String, Tree)> {
    let both = |kind: &Kind| {
        let envelope = |body| Tree::Map(vec![(0, Tree::Number(kind.number.into())), (1, body)]);
        let (full, few) = match kind.name {
            // either key is allowed, but not both
            "Loaded" => (
                tree::without(&tree::full(&kind.body), 1),
                tree::only(&kind.body, 1),
            ),
            _ => (tree::full(&kind.body), tree::few(&kind.body)),
        };
        [
            (format!("{}, all keys", kind.name), envelope(full)),
            (format!("{}, few keys", kind.name), envelope(few)),
        ]
    };
    kinds.iter().flat_map(both).collect()
}

fn bless(file: &Path, text: &str) {
    if std::env::var_os("BLESS").is_some() {
        fs::write(file, text).unwrap();
    }
    let committed = fs::read_to_string(file).unwrap_or_default();
    let at = committed
        .lines()
        .zip(text.lines())
        .position(|(one, other)| one != other);
    assert!(
        committed == text,
        "{} is out of date from line {} on: BLESS=1 writes it",
        file.display(),
        at.map_or(0, |at| at + 1)
    );
}

#[test]
fn the_schema_is_that_of_the_definitions() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contract.cddl");
    bless(&file, &schema::text());
}

#[test]
fn no_kind_and_no_name_comes_twice() {
    for kinds in [schema::to_plugin(), schema::from_plugin()] {
        let mut numbers: Vec<u32> = kinds.iter().map(|kind| kind.number).collect();
        let mut names: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
        numbers.sort_unstable();
        numbers.dedup();
        names.sort_unstable();
        names.dedup();
        assert_eq!((numbers.len(), names.len()), (kinds.len(), kinds.len()));
        for kind in kinds {
            let keys: Vec<u64> = kind.fields().iter().map(|field| field.key).collect();
            assert!(keys.is_sorted_by(|one, next| one < next), "{}", kind.name);
        }
    }
}

/// Decodes a record, asserts that the message is encoded as the same record, and returns the message.
fn comes_back<M: Message + Debug>(name: &str, tree: &Tree) -> M {
    let record = tree.record();
    let message = M::decode(&record).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(message.encode().unwrap(), record, "{name}: {message:?}");
    message
}

/// Bytes from their digits in golden.txt.
pub fn hexadecimal(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn golden<M: Message + Debug>(title: &str, kinds: &[Kind]) -> String {
    let lines = samples(kinds).into_iter().map(|(name, tree)| {
        let message = comes_back::<M>(&name, &tree);
        let bytes: String = tree
            .record()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{title}: {name}\n  {message:?}\n  {bytes}\n")
    });
    lines.collect()
}

#[test]
fn every_message_is_the_golden_bytes_and_they_are_the_message() {
    let to = golden::<ToPlugin>("to the plugin", &schema::to_plugin());
    let from = golden::<FromPlugin>("from the plugin", &schema::from_plugin());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden.txt");
    bless(&file, &(to + &from));
}
