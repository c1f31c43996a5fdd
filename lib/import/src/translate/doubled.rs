//! The tree of a node as keepalived understands words that are repeated, or used before they are defined.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::Sources;
use crate::table::{Block, Fate, find};
use crate::tree::Statement;

const EARLIER: &str = "an earlier line with the same word counts: keepalived ignores this one";
const LATER: &str = "a later line with the same word counts";
const TOO_EARLY: &str =
    "the definition is further down: keepalived does not know it yet, and ignores this line";
const TOO_EARLY_TODO: &str =
    "nothing, or put the definition before the instance on both nodes, and import again";

/// Blocks of the top that have names, with the word under which keepalived knows them.
const NAMED: [(&str, &str); 7] = [
    ("vrrp_instance", "vrrp_instance"),
    ("vrrp_sync_group", "vrrp_sync_group"),
    ("vrrp_script", "track_script"),
    ("track_file", "track_file"),
    ("vrrp_track_file", "track_file"),
    ("track_process", "track_process"),
    ("vrrp_track_process", "track_process"),
];
/// Words of which the first counts.
const FIRST: [(Block, &str); 13] = [
    (Block::Instance, "notify_master"),
    (Block::Instance, "notify_backup"),
    (Block::Instance, "notify_fault"),
    (Block::Instance, "notify"),
    (Block::Sync, "notify_master"),
    (Block::Sync, "notify_backup"),
    (Block::Sync, "notify_fault"),
    (Block::Sync, "notify"),
    (Block::Sync, "group"),
    (Block::File, "file"),
    (Block::File, "weight"),
    (Block::Process, "process"),
    (Block::Process, "weight"),
];

/// Lists go on, of named blocks and of some words the first counts, of others the last.
pub fn merged(sources: &mut Sources, tree: Vec<Statement>) -> Vec<Statement> {
    let (globals, tree): (Vec<_>, Vec<_>) =
        tree.into_iter().partition(|it| it.word(0) == "global_defs");
    let globals = globals.into_iter().reduce(|mut all, next| {
        sources.translated(next.place);
        all.braces.extend(next.braces);
        all.block
            .get_or_insert_default()
            .extend(next.block.unwrap_or_default());
        all
    });
    let mut tree = first_of_each_name(sources, tree);
    tree.extend(globals);
    for statement in &mut tree {
        let block = find(Block::Top, statement.word(0)).and_then(|it| it.opens);
        if let Some(block) = block {
            let inner = statement.block.take();
            statement.block = inner.map(|it| joined(sources, block, it));
        }
    }
    without_early_uses(sources, &mut tree);
    tree
}

/// Word under which keepalived knows a named block.
fn kind(word: &str) -> Option<&'static str> {
    NAMED.iter().find(|it| it.0 == word).map(|it| it.1)
}

fn first_of_each_name(sources: &mut Sources, tree: Vec<Statement>) -> Vec<Statement> {
    let mut known = BTreeSet::new();
    let mut is_first = |statement: &Statement| {
        let Some(kind) = kind(statement.word(0)) else {
            return true;
        };
        known.insert((kind, statement.word(1).to_owned()))
    };
    let (first, later): (Vec<_>, Vec<_>) = tree.into_iter().partition(|it| is_first(it));
    for statement in later {
        let why = "it is defined already: keepalived ignores all of this one";
        sources.list_all(&statement, &statement.text(), why, "keep one of them");
    }
    first
}

/// Takes out what tracks something that is defined further down.
fn without_early_uses(sources: &mut Sources, tree: &mut [Statement]) {
    let names = tree
        .iter()
        .filter_map(|it| Some((kind(it.word(0))?, it.word(1).to_owned())));
    let mut later: BTreeSet<(&str, String)> = names.collect();
    for statement in tree {
        if let Some(kind) = kind(statement.word(0)) {
            later.remove(&(kind, statement.word(1).to_owned()));
        }
        if !matches!(statement.word(0), "vrrp_instance" | "vrrp_sync_group") {
            continue;
        }
        for list in statement.block.iter_mut().flatten() {
            let Some(kind) = kind_of_list(list.word(0)) else {
                continue;
            };
            let entries = list.block.take().unwrap_or_default();
            let is_early = |it: &Statement| later.contains(&(kind, it.word(0).to_owned()));
            let (early, known): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_early);
            for entry in early {
                let what = entry.text();
                sources.list_all(&entry, &what, TOO_EARLY, TOO_EARLY_TODO);
            }
            list.block = Some(known);
        }
    }
}

fn kind_of_list(word: &str) -> Option<&'static str> {
    let kinds = ["track_script", "track_file", "track_process"];
    kinds.into_iter().find(|it| *it == word)
}

fn joined(sources: &mut Sources, block: Block, tree: Vec<Statement>) -> Vec<Statement> {
    let mut found: Vec<Statement> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for statement in tree {
        let word = statement.word(0).to_owned();
        let is_becoming = find(block, &word).is_some_and(|it| matches!(it.fate, Fate::Becomes(_)));
        match known.get(&word).and_then(|at| found.get_mut(*at)) {
            Some(_) if FIRST.contains(&(block, word.as_str())) => {
                sources.needless_all(&statement, &word, EARLIER);
            }
            Some(Statement {
                block: Some(before),
                braces,
                ..
            }) if statement.block.is_some() => {
                sources.translated(statement.place);
                braces.extend(statement.braces);
                before.extend(statement.block.unwrap_or_default());
            }
            Some(before) if is_becoming => {
                sources.needless_all(before, &word, LATER);
                *before = statement;
            }
            _ => {
                if is_becoming {
                    known.insert(word, found.len());
                }
                found.push(statement);
            }
        }
    }
    found
}
