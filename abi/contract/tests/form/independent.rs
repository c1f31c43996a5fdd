//! Checks schema and records with another reader of CDDL and of CBOR. Schema, codec and golden bytes come from one
//! definition, so that none of them shows a fault of the others.

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use cddl_cat::cbor::validate_cbor;
use cddl_cat::context::BasicContext;
use cddl_cat::flatten::flatten_from_str;
use spared_contract::cbor::MUST_UNDERSTAND;
use spared_contract::codec::{Malformed, Message};
use spared_contract::schema::{self, Field, Kind};
use spared_contract::{FromPlugin, ToPlugin};

use crate::tree::Tree;
use crate::{hexadecimal, samples};

/// The least number of 64 bits. cddl-cat reads it as a sign and a number that is too large.
const LEAST: &str = "-9223372036854775808..";

struct Schema(BasicContext);

impl Schema {
    fn committed() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contract.cddl");
        let text = fs::read_to_string(file).unwrap();
        assert_eq!(text.matches(LEAST).count(), 1);
        let text = text.replace(LEAST, "-9223372036854775807..");
        Self(BasicContext::new(flatten_from_str(&text).unwrap()))
    }

    /// Reason why a record does not match a rule; None if it does.
    fn refuses(&self, rule: &str, record: &[u8]) -> Option<String> {
        let value = match ciborium::from_reader::<ciborium::Value, _>(record) {
            Ok(value) => value,
            Err(error) => return Some(error.to_string()),
        };
        let found = validate_cbor(&self.0.rules[rule], &value, &self.0);
        found.err().map(|error| error.to_string())
    }
}

/// Golden records: title, rule of their direction, bytes.
fn golden() -> Vec<(String, &'static str, Vec<u8>)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden.txt");
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let record = |lines: &[&str]| {
        let rule = if lines[0].starts_with("to the plugin") {
            "to-plugin"
        } else {
            "from-plugin"
        };
        (lines[0].to_owned(), rule, hexadecimal(lines[2].trim()))
    };
    lines.chunks(3).map(record).collect()
}

#[test]
fn every_golden_record_is_what_the_schema_says() {
    let schema = Schema::committed();
    let records = golden();
    let kinds = schema::to_plugin().len() + schema::from_plugin().len();
    assert_eq!(records.len(), 2 * kinds);
    for (title, rule, record) in records {
        assert_eq!(schema.refuses(rule, &record), None, "{title}");
    }
}

#[test]
fn a_record_without_its_kind_or_with_a_key_of_another_type_is_refused() {
    let schema = Schema::committed();
    let refused = |record: &[u8]| schema.refuses("to-plugin", record).is_some();
    assert!(!refused(&[0xa2, 0, 15, 1, 0xa1, 0, 7]), "a ping");
    assert!(refused(&[0xa2, 0, 15, 1, 0xa1, 0, 0x61, b'7']), "a text");
    assert!(refused(&[0xa2, 0, 15, 1, 0xa1, 0, 0x20]), "a negative one");
    assert!(refused(&[0xa2, 0, 15, 1, 0x81, 7]), "a list as the body");
    assert!(
        refused(&[0xa2, 0, 15, 1, 0xa1, 0x61, b'0', 7]),
        "a text as key"
    );
    assert!(refused(&[0xa1, 1, 0xa1, 0, 7]), "no kind");
    assert!(refused(&[0xa2, 0, 0x61, b'P', 1, 0xa0]), "a kind as text");
    assert!(refused(&[0x82, 15, 0xa0]), "a list as the envelope");
    assert!(refused(&[0xa1, 0, 6]), "a role without its event");
    assert!(!refused(&[0xa1, 0, 15]), "a ping without a body");
}

#[test]
fn a_kind_of_a_newer_end_is_what_the_schema_allows_unless_it_must_be_understood() {
    let schema = Schema::committed();
    for rule in ["to-plugin", "from-plugin"] {
        let refused = |kind: u32| {
            let body = Tree::Map(vec![(0, Tree::Number(77)), (9, Tree::List(Vec::new()))]);
            let record = Tree::Map(vec![(0, Tree::Number(kind.into())), (1, body)]);
            schema.refuses(rule, &record.record()).is_some()
        };
        assert!(!refused(0x5000), "{rule}");
        assert!(refused(0x5000 | MUST_UNDERSTAND), "{rule}");
    }
}

/// Values of every type, one of which fits almost nowhere.
fn others() -> [Tree; 9] {
    [
        Tree::Number(7),
        Tree::Number(300),
        Tree::Number(u64::MAX),
        Tree::Negative(-1),
        Tree::Flag(true),
        Tree::Text("other".to_owned()),
        Tree::Bytes(vec![1; 5]),
        Tree::List(vec![Tree::Map(Vec::new())]),
        Tree::Map(vec![(99, Tree::Flag(false))]),
    ]
}

/// Variants of a map: without each of its entries, and with another value in each of them.
fn changed(_: &[Field], entries: &[(u64, Tree)]) -> Vec<Tree> {
    let mut all = Vec::new();
    for at in 0..entries.len() {
        let mut fewer = entries.to_vec();
        fewer.remove(at);
        all.push(Tree::Map(fewer));
        for other in others() {
            let mut entries = entries.to_vec();
            entries[at].1 = other;
            all.push(Tree::Map(entries));
        }
    }
    all
}

/// Returns true for errors by rules between the keys of a map, which CDDL could express only in another form.
fn is_beyond(error: &Malformed) -> bool {
    let error = error.to_string();
    let (of_loading, of_row) = ("Loaded at byte ", "Returned.rows at byte ");
    // one of two keys is required, and not both; a number that may be negative has 63 bits
    error.starts_with(of_loading) || error.starts_with(of_row) && error.ends_with("is too large")
}

fn agrees<M: Message + Debug>(rule: &str, kinds: &[Kind]) -> [usize; 2] {
    let schema = Schema::committed();
    let mut counts = [0; 2];
    let kind_of = kinds.iter().flat_map(|kind| [kind, kind]);
    for ((name, tree), kind) in samples(kinds).into_iter().zip(kind_of) {
        let Tree::Map(envelope) = tree else {
            panic!("{name}")
        };
        let mut bodies = envelope[1].1.each_map(&kind.body, &mut changed);
        bodies.extend(others());
        for body in bodies {
            let record = Tree::Map(vec![envelope[0].clone(), (1, body.clone())]).record();
            let (ours, theirs) = (M::decode(&record), schema.refuses(rule, &record));
            let is_beyond = ours.as_ref().is_err_and(is_beyond);
            if theirs.is_none() && is_beyond {
                continue;
            }
            counts[usize::from(theirs.is_some())] += 1;
            assert_eq!(
                ours.is_err(),
                theirs.is_some(),
                "{name}: {body:?}: {ours:?}, by the schema {theirs:?}"
            );
        }
    }
    counts
}

#[test]
fn what_the_codec_refuses_the_schema_refuses_and_nothing_else() {
    for [taken, refused] in [
        agrees::<ToPlugin>("to-plugin", &schema::to_plugin()),
        agrees::<FromPlugin>("from-plugin", &schema::from_plugin()),
    ] {
        assert!(taken > 100 && refused > 500, "{taken} {refused}");
    }
}
