// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manual page of conntrack names every key and every row, and its example is accepted. A
//! program of its own, as two plugins do not fit into one.

mod page;

use std::collections::BTreeSet;
use std::fs;

use page::{assert_page_names, docs};
use spared_conntrack::engine::Engine;
use spared_sdk::config::Config;

#[test]
fn the_page_of_conntrack_names_every_key_with_its_scope() {
    let config = Config::parse("[[exclude]]\n[[include]]\n", "r1", &[]).expect("TOML");
    let _ = spared_conntrack::config::read(&config);
    let faults = config.finish().expect_err("rules without a key");
    assert!(
        faults
            .iter()
            .all(|it| it.why.starts_with("matches every flow"))
    );
    assert_page_names("spared-conntrack.5.scd", &config);
}

/// Rows of the table below "sparectl conntrack": the cells that begin with a bold word.
#[test]
fn the_page_of_conntrack_names_every_row_of_its_answer() {
    let page = docs().join("man/spared-conntrack.5.scd");
    let text = fs::read_to_string(page).expect("the page is there");
    let (_, answers) = text.split_once("# SPARECTL\n").expect("what it answers");
    let cells = answers.lines().filter_map(|line| {
        let cell = line
            .strip_prefix("[[ ")
            .or_else(|| line.strip_prefix("|  "))?;
        cell.starts_with('*').then(|| cell.replace('*', ""))
    });
    let cells: Vec<String> = cells.collect();
    let named: BTreeSet<&str> = cells.iter().flat_map(|cell| cell.split(", ")).collect();
    let rows = Engine::new([0, 0]).rows(0);
    assert_eq!(named, rows.iter().map(|(key, _)| *key).collect());
}

#[test]
fn the_example_is_accepted_on_each_node() {
    for (name, text) in page::examples(|name| name == "conntrack.toml") {
        for node in ["r1", "r2"] {
            let config = Config::parse(&text, node, &[]).expect("TOML");
            let settings = spared_conntrack::config::read(&config);
            assert_eq!(config.finish(), Ok(()), "{name}");
            assert!(
                settings.is_some_and(|it| it.filter.exclude.len() == 2),
                "{name}"
            );
        }
    }
}
