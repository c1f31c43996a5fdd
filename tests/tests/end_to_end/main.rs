// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real programs in labs: a module for each subject, all in one program, because linking a
//! program for each would take longer than many of them run. What links a plugin stays beside this
//! directory as a program of its own, as two plugins do not fit into one.

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
mod conntrack_offload;
mod conntrack_proxy;
mod conntrack_select;
mod control_groups;
mod copied;
mod demo;
mod dhcp_client;
mod dhcp_clock;
mod dhcp_failover;
mod dhcp_files;
mod dhcp_followed;
mod dhcp_lab;
mod dhcp_warm;
mod everything;
mod faults;
mod fence;
mod fence_off;
mod few_rights;
mod files;
mod files_beside_rsync;
mod files_config;
mod files_config_faults;
mod files_config_worse;
mod files_diff;
mod files_follow;
mod files_hostile;
mod files_large;
mod files_machines;
mod files_power;
mod files_programs;
mod files_reload;
mod files_stop;
mod filtered;
mod forger;
mod forging;
mod frr;
mod groups;
mod guests;
mod heartbeats;
mod history;
mod hostile_peer;
mod hostile_plugin;
mod idle;
mod interfaces;
mod ipsec_check;
mod ipsec_ended;
mod ipsec_failover;
mod ipsec_farewell;
mod ipsec_faults;
mod ipsec_ike;
mod ipsec_orders;
mod ipsec_pools;
mod ipsec_routes;
mod ipsec_switchover;
mod ipsec_truth;
mod keepalived;
mod lab;
mod lacks;
mod leftovers;
mod link;
mod machines;
mod malformed;
mod many_groups;
mod networks;
mod older;
mod overload;
mod pair;
mod pairs_of_faults;
mod paused;
mod reload;
mod report;
mod service;
mod sets;
mod side_by_side;
mod silent;
mod sparectl;
mod storm;
mod strangers;
mod survivor;
mod switchover;
mod truth;
mod units;
mod unlinked;
mod walk;

/// A file that no line above names would be left out without a word.
#[test]
fn every_file_here_is_a_module() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/end_to_end");
    let entries = std::fs::read_dir(folder).expect("the sources are there");
    let listed = include_str!("main.rs");
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy();
        let is_source = path.extension().is_some_and(|is| is == "rs") && name != "main";
        let line = format!("\nmod {name};\n");
        assert!(!is_source || listed.contains(&line), "no line mod {name};");
    }
}
