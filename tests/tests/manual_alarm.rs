// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manual page of alarm names every key, its example is accepted, and severities are those of ids that exist. A
//! program of its own, as two plugins do not fit into one.

mod page;

use std::collections::BTreeSet;
use std::fs;

use page::{assert_page_names, docs};
use spared_alarm::config;
use spared_alarm::severity::Severity;
use spared_sdk::config::Config;
use spared_verdict::Id;

#[test]
fn the_page_of_alarm_names_every_key_with_its_scope() {
    let config = Config::parse("[[alarm]]\nsyslog = \"/dev/log\"\n", "r1", &[]).expect("TOML");
    let _ = config::read(&config);
    let faults = config.finish().expect_err("the name is not there");
    assert!(faults.iter().all(|fault| fault.why == "missing"));
    assert_page_names("spared-alarm.5.scd", &config);
}

#[test]
fn the_examples_are_accepted_on_each_node() {
    let page = fs::read_to_string(docs().join("man/spared-alarm.5.scd")).expect("the page");
    let (_, example) = page.split_once("# EXAMPLE\n\n```\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    let mut examples = page::examples(|name| name == "alarm.toml");
    examples.push(("the page".to_owned(), example.to_owned()));
    for (name, text) in examples {
        for node in ["r1", "r2"] {
            let config = Config::parse(&text, node, &[]).expect("TOML");
            let settings = config::read(&config);
            assert_eq!(config.finish(), Ok(()), "{name}");
            assert!(
                settings.is_some_and(|it| it.recipients.len() >= 2),
                "{name}"
            );
        }
    }
}

#[test]
fn each_id_with_a_severity_of_its_own_exists_and_is_on_the_page() {
    let known: BTreeSet<&str> = Id::ALL.iter().map(|id| id.code()).collect();
    let page = fs::read_to_string(docs().join("man/spared-alarm.5.scd")).expect("the page");
    let (_, severities) = page.split_once("Critical: ").expect("severities");
    let (severities, _) = severities.split_once("All others").expect("their end");
    let mut named = BTreeSet::new();
    for part in severities.split([',', '(', ')']) {
        let ids: Vec<u32> = part
            .split(" to ")
            .filter_map(|it| it.trim().strip_prefix("SP-")?.parse().ok())
            .collect();
        let range = ids.first().copied().zip(ids.last().copied());
        named.extend(range.into_iter().flat_map(|(first, last)| first..=last));
    }
    let listed: BTreeSet<u32> = Severity::listed()
        .inspect(|id| assert!(known.contains(id), "{id}"))
        .filter_map(|id| id.strip_prefix("SP-")?.parse().ok())
        .collect();
    assert_eq!(named, listed);
}
