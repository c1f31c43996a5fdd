// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manual page of ipsec names every key, and its example is accepted. A program of its own, as
//! two plugins do not fit into one.

mod page;

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;

use page::assert_page_names;
use spared_ipsec::connections::{
    Connection, Finding, HA_SETTINGS, Listed, NodeAddresses, PeerConnections, Pool, differences,
    findings, left_running, shared_pools, unseen_mobike,
};
use spared_sdk::config::Config;

/// Steps of the manual at most.
const STEPS_MAX: usize = 5;

#[test]
fn the_page_of_ipsec_names_every_key_with_its_scope() {
    let config = Config::parse("[adopt]\n", "r1", &[]).expect("TOML");
    let _ = spared_ipsec::config::read(&config);
    assert_eq!(config.finish(), Ok(()), "nothing is required");
    assert_page_names("spared-ipsec.5.scd", &config);
}

#[test]
fn the_example_is_accepted_on_each_node() {
    for (name, text) in page::examples(|name| name == "ipsec.toml") {
        for node in ["r1", "r2"] {
            let config = Config::parse(&text, node, &[]).expect("TOML");
            let settings = spared_ipsec::config::read(&config);
            assert_eq!(config.finish(), Ok(()), "{name}");
            assert!(settings.is_some_and(|it| it.endpoints.len() == 1), "{name}");
        }
    }
}

#[test]
fn an_empty_file_is_enough() {
    let config = Config::parse("", "r1", &[]).expect("TOML");
    let settings = spared_ipsec::config::read(&config);
    assert_eq!(config.finish(), Ok(()));
    assert_eq!(settings, Some(spared_ipsec::config::Settings::default()));
}

/// Settings of strongSwan, without comments and the space around them.
fn settings(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.collect()
}

#[test]
fn the_settings_of_ha_are_the_same_in_the_example_the_manual_and_the_check() {
    let read = |path| fs::read_to_string(page::docs().join(path)).expect("the file");
    let (example, manual) = (read("examples/ha.conf"), read("man/spared-ipsec.5.scd"));
    let mut blocks = manual.split("```").map(settings);
    let block = blocks.find(|lines| lines.first() == Some(&"ha {"));
    let example = settings(&example);
    assert_eq!(block.as_ref(), Some(&example));
    let lines = HA_SETTINGS.map(|(key, value)| format!("{key} = {value}"));
    let found = example
        .iter()
        .filter(|line| lines.iter().any(|it| it == *line));
    assert_eq!(found.count(), lines.len(), "{example:?}");
}

/// The steps of SETTING UP.
fn steps() -> Vec<String> {
    let page = page::docs().join("man/spared-ipsec.5.scd");
    let text = fs::read_to_string(page).expect("the page");
    let (_, section) = text.split_once("# SETTING UP").expect("the section");
    let section = section.split("\n# ").next().unwrap_or_default();
    let steps = section.lines().filter_map(|line| line.strip_prefix(". "));
    steps.map(str::to_owned).collect()
}

fn of(found: impl IntoIterator<Item = Finding>) -> BTreeSet<&'static str> {
    found.into_iter().map(|it| it.kind).collect()
}

/// As strongSwan's defaults have it, with one pool.
fn distributed() -> Listed {
    let connection = Connection {
        name: "office".to_owned(),
        unique: "UNIQUE_NO".to_owned(),
        mobike: Some(true),
        ..Connection::default()
    };
    let pool = Pool {
        name: "road".to_owned(),
        base: IpAddr::from([10, 3, 0, 0]),
        size: 254,
    };
    Listed {
        connections: vec![connection],
        pools: vec![pool],
    }
}

#[test]
fn the_manual_has_five_steps_at_most_and_the_check_names_what_each_lacks() {
    let listed = distributed();
    let addresses = NodeAddresses {
        moved: BTreeSet::from([IpAddr::from([203, 0, 113, 1])]),
        ..NodeAddresses::default()
    };
    let other = PeerConnections {
        is_whole: true,
        ..PeerConnections::default()
    };
    let mut unseen = listed.clone();
    unseen.connections[0].mobike = None;
    let lacks = [
        ("service.toml", of(left_running(&listed, &addresses, false))),
        ("mobike = no", of(findings(&listed, &addresses))),
        ("same connections", of(differences(&listed, &other))),
        (
            "half of a pool",
            of(shared_pools(&listed.pools, &listed.pools)),
        ),
        // what nobody can see before
        (
            "sparectl switch",
            unseen_mobike(&unseen, &addresses)
                .map(|_| "unseen")
                .into_iter()
                .collect(),
        ),
    ];
    let steps = steps();
    assert!(steps.len() <= STEPS_MAX, "{steps:?}");
    assert_eq!(steps.len(), lacks.len(), "{steps:?}");
    for (step, (word, lacks)) in steps.iter().zip(&lacks) {
        assert!(step.contains(word), "{word}: {step}");
        assert!(!lacks.is_empty(), "nothing of it is named: {step}");
    }
    assert_eq!(
        lacks[1].1,
        BTreeSet::from(["local_addrs", "mobike", "unique"])
    );
}
