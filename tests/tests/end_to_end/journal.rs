// SPDX-License-Identifier: MIT OR Apache-2.0
//! The journals of both nodes: the fields are those that spared(8) lists, and a change of the active node has
//! one number in both journals and in the history of both nodes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use spared_message::control::{Answer, RoleChange};
use spared_tests::Result;
use spared_tests::journal::{Entry, Journal};
use spared_tests::lab::{Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::pair::Fault;
use spared_tests::router::Plan;

/// Section of spared(8) about the journal.
fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/man/spared.8.scd");
    let page = fs::read_to_string(path).expect("the page is there");
    let section = page.split("\n# ").find(|it| it.starts_with("JOURNAL\n"));
    section.expect("it has the section").to_owned()
}

/// First cells of a table of the page whose title begins so.
fn table(page: &str, title: &str) -> BTreeSet<String> {
    let (_, table) = page
        .split_once(&format!("[[ *{title}*"))
        .expect("the table");
    let table = table.split("\n\n").next().unwrap_or_default();
    let cells = table.lines().filter_map(|line| line.strip_prefix("|  "));
    let words = cells.flat_map(|cell| cell.split(", "));
    words.map(|it| it.trim_matches('_').to_owned()).collect()
}

/// "backup -> active" of the changes with this id.
fn moved(entries: &[Entry], id: &str) -> Vec<String> {
    let of_it = entries
        .iter()
        .filter(|it| it.get("SPARED_CHANGE").is_some_and(|it| it == id));
    let texts = of_it.map(|it| it.get("MESSAGE").map_or("", String::as_str));
    let moves = texts.filter_map(|it| Some(it.split(": ").nth(1)?.to_owned()));
    moves.collect()
}

/// Ids of the changes of a node, oldest first, as its history has them.
fn history(pair: &Linked, site: usize) -> Result<Vec<RoleChange>> {
    let text = pair.done(site, &["--json", "history"])?;
    match serde_json::from_str(&text)? {
        Answer::History(past) => Ok(past.changes),
        other => Err(format!("{other:?}").into()),
    }
}

#[test]
fn a_change_has_one_number_in_the_journals_of_both_nodes() {
    scenario(2, |lab| {
        let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
        plan.without_preference();
        plan.has_journal = true;
        let journals = [Journal::of(lab, "r1")?, Journal::of(lab, "r2")?];
        let mut pair = Linked::start(lab, &plan)?;
        let first = pair.at()?;
        let group = pair.group(first).name;
        let numbers = |pair: &Linked, site: usize| -> Result<Vec<u64>> {
            let own = format!("r{}", site + 1);
            let changes = history(pair, site)?.into_iter();
            let own = changes.filter(|it| it.own.node == own);
            Ok(own.filter_map(|it| it.number).collect())
        };
        let last = |pair: &Linked, site: usize| -> Result<String> {
            let number = numbers(pair, site)?.pop().ok_or("no number")?;
            Ok(format!("{group}/{number}"))
        };
        let has = |site: usize, id: &str, change: &str| {
            let moves = moved(&journals[site].entries(), id);
            moves == [change]
        };

        pair.switch(1 - first)?;
        pair.wait_active(1 - first)?;
        let switched = last(&pair, first)?;
        assert_eq!(switched, last(&pair, 1 - first)?);
        pair.wait("the change in both journals", || {
            has(first, &switched, "active -> backup")
                && has(1 - first, &switched, "backup -> active")
        })?;

        // the one that died knows it when it is there again
        let survivor = pair.strike(Fault::Kill)?;
        pair.repair(Fault::Kill, 1 - survivor)?;
        let died = last(&pair, survivor)?;
        assert_eq!(died, last(&pair, 1 - survivor)?);
        assert_ne!(died, switched);
        pair.wait("the failover in the journal", || {
            has(survivor, &died, "backup -> active")
        })?;
        let shown = pair.done(survivor, &["history"])?;
        assert!(
            shown.contains(&format!("{died}: backup -> active")),
            "{shown}"
        );

        let page = page();
        let (fields, events) = (table(&page, "field"), table(&page, "SPARED_EVENT"));
        for entry in [journals[0].entries(), journals[1].entries()].concat() {
            let unknown: Vec<&String> = entry.keys().filter(|it| !fields.contains(*it)).collect();
            assert!(
                unknown.is_empty(),
                "spared(8) does not list {unknown:?}: {entry:?}"
            );
            let event = entry.get("SPARED_EVENT");
            let is_listed = event.is_none_or(|event| events.contains(event));
            assert!(is_listed, "{event:?} is not in {events:?}");
            let has_group = entry.contains_key("GROUP") || !entry.contains_key("SPARED_CHANGE");
            assert!(has_group, "{entry:?}");
        }
        Ok(())
    });
}
