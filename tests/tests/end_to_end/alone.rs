// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests that have the machine to themselves: they time packets, or take all of the processor.

mod demo;
mod files_beside_rsync;
mod hostile_plugin;
mod ipsec_switchover;
mod many_groups;
mod older;
mod storm;
