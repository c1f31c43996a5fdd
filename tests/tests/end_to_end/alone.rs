// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests that have the machine to themselves: they time packets, or take all of the processor.

mod demo;
mod everything;
mod faults;
mod fence;
mod files_beside_rsync;
mod forger;
mod forging;
pub mod hostile_peer;
mod hostile_plugin;
mod idle;
mod ipsec_switchover;
mod lab;
mod many_groups;
mod older;
mod overload;
mod pairs_of_faults;
mod storm;
mod walk;
