// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the tables: they reach all findings, and each row has its own name.

use std::collections::BTreeSet;

use spared_verdict::Id;

use super::BEDS;

/// Findings that no row causes, with the reason or the test that covers them.
const ELSEWHERE: &[(Id, &str)] = &[
    (Id::PeerMute, "its daemon hangs: end_to_end/silent.rs"),
    (Id::CannotTakeOver, "whose interfaces all work: facts alone"),
    (
        Id::FenceBlocking,
        "until the elector gives way: facts alone",
    ),
    (Id::AddressMissing, "until it is put back: facts alone"),
    (
        Id::ElectorSilent,
        "a machine that has no time for it: facts alone",
    ),
    (
        Id::PluginSilent,
        "it hangs for a second before it is killed: end_to_end/silent.rs",
    ),
    (
        Id::StarterSilent,
        "until systemd ends it: host/tests/run/starter.rs",
    ),
    (
        Id::Unconfirmed,
        "it needs an edit: host/tests/run/confirm.rs",
    ),
    (
        Id::VirtualMacDropped,
        "a virtual MAC address, which the pairs of the tables have not: end_to_end/identity.rs",
    ),
    (
        Id::VirtualMacDroppedBefore,
        "of that address, after the role has moved: end_to_end/identity.rs",
    ),
    (
        Id::VirtualMacUnanswered,
        "the same of frames to that address: end_to_end/identity.rs",
    ),
    (
        Id::NetworksUnproven,
        "networks without heartbeats that carry no adverts either: the engine's tests of identities",
    ),
    (
        Id::AdvertsSigned,
        "a router outside the pair signs its adverts: end_to_end/signed.rs",
    ),
    (
        Id::AddressesDiffer,
        "keepalived with an address on another interface: end_to_end/other_addresses.rs",
    ),
    (
        Id::SettingDiffers,
        "by default after a minute: end_to_end/equal.rs",
    ),
    (
        Id::NoDefaultRoute,
        "by default after a minute: end_to_end/equal.rs",
    ),
    (
        Id::RoutingDiffers,
        "by default after a minute: end_to_end/equal.rs",
    ),
];

/// States in which a node has no daemon that could be queried.
const DEAD: &[&str] = &[
    "its daemon has no descriptor left, and cannot be asked",
    "its daemon is killed",
    "its daemon is stopped",
    "its daemon is stopped in its tracks",
    "no other node lives, and every interface is down",
    "no other node lives, and the fence blocks, as no advert leaves",
];

fn rows() -> Vec<String> {
    let mut rows = Vec::new();
    for bed in BEDS {
        for state in bed.states {
            for struck in state.on.struck() {
                let on = state.on.word(*struck);
                rows.push(format!("{}: {} ({on})", bed.name, state.name));
            }
        }
    }
    rows
}

#[test]
fn every_finding_is_reached() {
    let reports = BEDS.iter().flat_map(|bed| bed.states);
    let reports = reports
        .flat_map(|state| [state.here, state.there])
        .flatten();
    let real: BTreeSet<&str> = reports
        .flat_map(|(_, found)| found)
        .map(|it| it.id())
        .collect();
    for id in Id::ALL {
        let elsewhere = ELSEWHERE.iter().any(|(other, _)| other == id);
        let is_real = real.contains(id.code());
        assert!(is_real || elsewhere, "{} is reached by no state", id.code());
        assert!(!(is_real && elsewhere), "{} is made for real", id.code());
    }
}

#[test]
fn each_node_that_lives_is_judged() {
    for state in BEDS.iter().flat_map(|bed| bed.states) {
        let asked = [state.here, state.there].iter().flatten().count();
        let wanted = if DEAD.contains(&state.name) { 1 } else { 2 };
        assert_eq!(asked, wanted, "nodes that are asked: {}", state.name);
    }
}

#[test]
fn each_word_of_a_headline_is_reached() {
    let reports = BEDS.iter().flat_map(|bed| bed.states);
    let reports = reports
        .flat_map(|state| [state.here, state.there])
        .flatten();
    let words: BTreeSet<&str> = reports.map(|(word, _)| word.word()).collect();
    let all = ["OK", "WARN", "UNKNOWN", "ALONE", "NONE", "CONFLICT"];
    assert_eq!(words, BTreeSet::from(all));
}

#[test]
fn there_are_140_rows_and_each_has_a_name_of_its_own() {
    let rows = rows();
    let names: BTreeSet<&String> = rows.iter().collect();
    assert_eq!(names.len(), rows.len(), "{rows:#?}");
    assert!(rows.len() >= 140, "{}", rows.len());
}
