//! Readers of foreign bytes, as functions of bytes: whatever the input, none panics, hangs, or takes memory out of
//! proportion. libFuzzer drives them in `fuzz/`, and the test `corpus` of this crate in every build.
//!
//! A target is a module: `run` takes an input, `seeds` makes inputs of messages that the code itself
//! encodes. `fuzz/README.md` says how the committed corpora are made of these.

#![forbid(unsafe_code)]

pub mod alarm_wire;
pub mod configuration;
pub mod conntrack_wire;
pub mod control;
pub mod dhcp_formats;
pub mod files_own;
pub mod files_wire;
pub mod firewall_messages;
mod folder;
pub mod from_plugin;
mod golden;
pub mod heartbeat;
pub mod icmp;
pub mod ipsec_ha;
pub mod ipsec_vici;
pub mod ipsec_wire;
pub mod ipsec_xfrm;
pub mod keepalived_conf;
pub mod link_frame;
pub mod link_messages;
pub mod netlink;
mod node;
pub mod packet;
pub mod pairing;
pub mod peer_words;
pub mod replica;
pub mod ruleset;
mod sample;
pub mod service_bus;
pub mod sets_nft;
pub mod settings;
mod sleeper;
pub mod starter_requests;
pub mod to_plugin;
pub mod vrrp_engine;
pub mod vrrp_packet;
pub mod web_page;
pub mod web_request;
pub mod worker_messages;

/// A target: a function that must bear all bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// Name of the module, the corpus and libFuzzer's program.
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Inputs that are what the code itself says.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Mutations that the test of every build tries: up to five seconds of one processor, unoptimised.
    pub rounds: u64,
    /// MiB of memory that any input may hold.
    pub held_max_mib: usize,
}

macro_rules! held_max_mib {
    () => {
        2
    };
    ($held_max_mib:literal) => {
        $held_max_mib
    };
}

macro_rules! targets {
    ($($name:ident: $rounds:literal $(holding $held_max_mib:literal)?,)*) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            run: $name::run,
            seeds: $name::seeds,
            rounds: $rounds,
            held_max_mib: held_max_mib!($($held_max_mib)?),
        },)*];
    };
}

targets! {
    alarm_wire: 5_000,
    configuration: 5_000,
    conntrack_wire: 80_000,
    control: 15_000,
    dhcp_formats: 20_000,
    files_own: 20_000,
    files_wire: 3_000,
    firewall_messages: 25_000,
    from_plugin: 100_000,
    heartbeat: 10_000,
    icmp: 100_000,
    ipsec_ha: 10_000,
    ipsec_vici: 100_000,
    ipsec_wire: 10_000,
    ipsec_xfrm: 80_000,
    // a sequence of a few bytes makes many lines
    keepalived_conf: 2_000 holding 64,
    link_frame: 25_000,
    link_messages: 25_000,
    netlink: 80_000,
    packet: 100_000,
    pairing: 10_000,
    peer_words: 5_000,
    replica: 25_000,
    ruleset: 10_000,
    service_bus: 80_000,
    sets_nft: 80_000,
    settings: 20_000,
    starter_requests: 10_000,
    to_plugin: 100_000,
    vrrp_engine: 12_000,
    vrrp_packet: 100_000,
    // a page is longer than its documents
    web_page: 1_000 holding 16,
    web_request: 20_000,
    worker_messages: 250,
}

/// The target of this name.
///
/// # Panics
/// There is none.
pub fn target(name: &str) -> Target {
    let found = TARGETS.iter().find(|target| target.name == name);
    *found.unwrap_or_else(|| panic!("{name}: no such fuzz target"))
}
