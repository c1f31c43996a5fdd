//! Tests messages of newer and older ends.

use std::fmt::Debug;

use spared_contract::cbor::MUST_UNDERSTAND;
use spared_contract::codec::Message;
use spared_contract::schema::{self, Field, Kind, Shape};
use spared_contract::{Call, CauseKind, FromPlugin, Role, Scope, ToPlugin, VerdictWord};

use crate::tree::Tree;
use crate::{comes_back, samples};

/// Bodies of the samples: name, form, kind, body.
fn bodies(kinds: &[Kind]) -> Vec<(String, Shape, u32, Tree)> {
    let all = samples(kinds)
        .into_iter()
        .zip(kinds.iter().flat_map(|kind| [kind, kind]));
    let body = |((name, tree), kind): ((String, Tree), &Kind)| match tree {
        Tree::Map(mut entries) => (name, kind.body.clone(), kind.number, entries.remove(1).1),
        other => panic!("{other:?}"),
    };
    all.map(body).collect()
}

fn envelope(kind: u32, body: Tree) -> Tree {
    Tree::Map(vec![(0, Tree::Number(kind.into())), (1, body)])
}

fn an_older_end<M: Message + Debug>(kinds: &[Kind]) {
    for (name, shape, kind, body) in bodies(kinds) {
        let mut dropped = Vec::new();
        let all = body.each_map(&shape, &mut |fields: &[Field], entries: &[(u64, Tree)]| {
            let each = (0..entries.len()).map(|at| {
                let mut entries = entries.to_vec();
                let (key, _) = entries.remove(at);
                let field = fields.iter().find(|field| field.key == key).unwrap();
                dropped.push((field.name, field.is_required));
                Tree::Map(entries)
            });
            each.collect()
        });
        // the outermost map is changed first, because the test notes what it drops
        for changed in all {
            let record = envelope(kind, changed.clone()).record();
            match M::decode(&record) {
                Ok(message) => assert_eq!(message.encode().unwrap(), record, "{name}: {message:?}"),
                Err(error) => {
                    let is_lawful = name.starts_with("Loaded")
                        || error.to_string().contains("is missing")
                            && dropped.iter().any(|(_, is_required)| *is_required);
                    assert!(is_lawful, "{name}: {changed:?}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_key_that_an_older_end_does_not_know_is_what_its_absence_means() {
    an_older_end::<ToPlugin>(&schema::to_plugin());
    an_older_end::<FromPlugin>(&schema::from_plugin());
}

fn a_newer_end<M: Message + Debug>(kinds: &[Kind]) {
    let unknown = Tree::List(vec![Tree::Text("new".to_owned())]);
    for (name, shape, kind, body) in bodies(kinds) {
        let plain = comes_back::<M>(&name, &envelope(kind, body.clone()))
            .encode()
            .unwrap();
        let mut all = body.each_map(&shape, &mut |_: &[Field], entries: &[(u64, Tree)]| {
            let mut entries = entries.to_vec();
            entries.push((999, unknown.clone()));
            vec![Tree::Map(entries)]
        });
        all.iter_mut()
            .for_each(|body| *body = envelope(kind, body.clone()));
        let mut outer = envelope(kind, body);
        if let Tree::Map(entries) = &mut outer {
            entries.push((7, unknown.clone()));
        }
        all.push(outer);
        for changed in all {
            let message = M::decode(&changed.record());
            let message = message.unwrap_or_else(|error| panic!("{name}: {changed:?}: {error}"));
            assert_eq!(message.encode().unwrap(), plain, "{name}: {message:?}");
        }
    }
}

#[test]
fn a_key_of_a_newer_end_is_skipped_in_each_map() {
    a_newer_end::<ToPlugin>(&schema::to_plugin());
    a_newer_end::<FromPlugin>(&schema::from_plugin());
}

/// Message of a kind of a later version, with a body that nobody knows.
fn later(kind: u32) -> Vec<u8> {
    let body = Tree::Map(vec![
        (0, Tree::Number(77)),
        (9, Tree::List(vec![Tree::Map(vec![(0, Tree::Flag(true))])])),
    ]);
    envelope(kind, body).record()
}

#[test]
fn a_kind_of_a_newer_end_is_passed_over_unless_it_must_be_understood() {
    let kind = 0x5000;
    assert_eq!(
        ToPlugin::decode(&later(kind)),
        Ok(ToPlugin::Unknown { kind })
    );
    assert_eq!(
        FromPlugin::decode(&later(kind)),
        Ok(FromPlugin::Unknown { kind })
    );
    let kind = kind | MUST_UNDERSTAND;
    let error = ToPlugin::decode(&later(kind)).unwrap_err().to_string();
    assert_eq!(
        error,
        "its kind 0x80005000 must be understood and is not known here: update the plugin"
    );
    let error = FromPlugin::decode(&later(kind)).unwrap_err().to_string();
    assert!(error.ends_with(": update spared"), "{error}");
}

#[test]
fn a_call_of_a_newer_plugin_has_the_number_by_which_it_is_answered() {
    let kind = 0x1ff;
    let call = Call::Unknown { kind };
    assert_eq!(
        FromPlugin::decode(&later(kind)),
        Ok(FromPlugin::Call { number: 77, call })
    );
}

#[test]
fn a_number_without_a_name_is_the_one_that_does_no_harm() {
    assert_eq!(Role::from(99), Role::Backup);
    assert_eq!(CauseKind::from(99), CauseKind::Other);
    assert_eq!(Scope::from(99), Scope::Secret);
    assert_eq!(VerdictWord::from(99), VerdictWord::Warn);
}
