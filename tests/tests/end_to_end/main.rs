// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real programs in labs: a module for each subject, all in one program, because linking a
//! program for each would take longer than many of them run. What links a plugin stays beside this
//! directory as a program of its own, as two plugins do not fit into one.

mod alarm;
mod alone;
mod conntrack_attributes;
mod conntrack_both;
mod conntrack_control;
mod conntrack_failover;
mod conntrack_flows;
mod conntrack_garbage;
mod conntrack_groups;
mod conntrack_helpers;
mod conntrack_idle;
mod conntrack_kernel;
mod conntrack_loss;
mod conntrack_nat;
mod conntrack_proxy;
mod conntrack_quiet;
mod conntrack_select;
mod contained;
mod copied;
mod dhcp_client;
mod dhcp_clock;
mod dhcp_failover;
mod dhcp_files;
mod dhcp_followed;
mod dhcp_lab;
mod dhcp_warm;
mod duplicates;
mod equal;
mod exec;
mod fence_off;
mod files;
mod files_config;
mod files_config_back;
mod files_config_faults;
mod files_config_worse;
mod files_diff;
mod files_follow;
mod files_hostile;
mod files_large;
mod files_programs;
mod files_stop;
mod filtered;
mod first_ok;
mod frr;
mod groups;
mod guard;
mod guests;
mod heartbeats;
mod history;
mod identity;
mod imported;
mod in_machines;
mod interfaces;
mod interfaces_renamed;
mod journal;
mod keepalived;
mod lacks;
mod leftovers;
mod link;
mod malformed;
mod metrics;
mod migrating;
mod networks;
mod newer;
mod other_addresses;
mod overload;
mod own_packets;
mod pair;
mod paired;
mod paired_asked;
mod paired_killed;
mod paired_lines;
mod paired_relay;
mod paired_replaced;
mod paired_secrecy;
mod reload;
mod report;
mod service;
mod sets;
mod side_by_side;
mod signed;
mod silent;
mod snmp;
mod sparectl;
mod standstill;
mod strangers;
mod strangers_networks;
mod survivor;
mod switchover;
mod timed;
mod truth;
mod units;
mod unlinked;
mod upgrade;
mod uplink;
mod web;

use std::path::Path;

/// A file that is named in no list of modules would be left out without a word.
#[test]
fn every_file_here_is_a_module() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/end_to_end");
    let lists = [
        ("", include_str!("main.rs")),
        ("alone", include_str!("alone.rs")),
        ("in_machines", include_str!("in_machines.rs")),
        ("timed", include_str!("timed.rs")),
    ];
    for (folder, listed) in lists {
        let entries = std::fs::read_dir(here.join(folder)).expect("the sources are there");
        for entry in entries {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy();
            let is_source = path.extension().is_some_and(|is| is == "rs") && name != "main";
            let is_listed = listed
                .lines()
                .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
                .any(|module| module.trim_end_matches(';') == name);
            assert!(!is_source || is_listed, "{folder}: no line mod {name};");
        }
    }
}
