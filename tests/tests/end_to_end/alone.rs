// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests that have the machine to themselves: they time packets, or take all of the processor.

mod demo;
mod everything;
mod files_beside_rsync;
pub mod hostile_peer;
mod hostile_plugin;
mod ipsec_switchover;
mod many_groups;
mod older;
mod pairs_of_faults;
mod storm;
