// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests in machines with a kernel of their own, which take as much of the processor as several labs.

mod conntrack_offload;
mod control_groups;
mod few_rights;
mod files_boot;
pub mod files_machines;
mod files_power;
mod files_reload;
mod ipsec_check;
mod ipsec_ended;
mod ipsec_failover;
mod ipsec_farewell;
mod ipsec_faults;
mod ipsec_ike;
mod ipsec_orders;
mod ipsec_pools;
mod ipsec_routes;
mod ipsec_sessions;
mod ipsec_truth;
mod kinds_link;
mod machines;
