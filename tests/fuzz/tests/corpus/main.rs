//! Every fuzz target over its committed corpus and over mutations of it, on any toolchain.
//!
//! `SPARED_ROUNDS` mutations of a target are tried, by `SPARED_SEED` and the numbers after it. An input that
//! fails is kept under target/fuzz, and `SPARED_INPUT=FILE` tries that one alone.

mod allocation;
mod mutation;
mod trial;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use spared_fuzz_targets::TARGETS;

macro_rules! tried {
    ($($name:ident,)*) => {
        $(#[test]
        fn $name() {
            trial::run(stringify!($name));
        })*

        const TRIED: &[&str] = &[$(stringify!($name)),*];
    };
}

tried! {
    alarm_wire,
    configuration,
    conntrack_wire,
    control,
    dhcp_formats,
    files_own,
    files_wire,
    firewall_messages,
    from_plugin,
    heartbeat,
    icmp,
    ipsec_ha,
    ipsec_vici,
    ipsec_wire,
    ipsec_xfrm,
    keepalived_conf,
    link_frame,
    link_messages,
    netlink,
    packet,
    pairing,
    peer_words,
    replica,
    ruleset,
    service_bus,
    sets_nft,
    settings,
    starter_requests,
    to_plugin,
    vrrp_engine,
    vrrp_packet,
    web_page,
    web_request,
    worker_messages,
}

/// The folder `fuzz` of the checkout.
fn fuzz() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz"))
}

#[test]
fn every_target_is_tried_and_has_a_program_for_libfuzzer() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|it| it.name.to_owned()).collect();
    let tried = TRIED.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(targets, tried);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let programs = manifest["bin"].as_array().unwrap();
    let programs = programs
        .iter()
        .map(|it| it["name"].as_str().unwrap().to_owned());
    assert_eq!(targets, programs.collect());
    assert_eq!(targets, names(&fuzz().join("fuzz_targets")));
    assert_eq!(targets, names(&fuzz().join("seeds")));
}

/// Names of the files of a folder, without what follows a dot.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let name = |path: PathBuf| Some(path.file_stem()?.to_string_lossy().into_owned());
    paths.filter_map(name).collect()
}
