// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests that time packets, or count what a node does, while their routers have little to do. Some run at once, and none
//! of another kind does: a control thread tells whether the machine was late.

mod everything;
mod faults;
mod fence;
mod forger;
mod forging;
pub mod hostile_peer;
mod idle;
mod kinds;
mod lab;
mod pairs_of_faults;
mod paused;
mod versions;
mod walk;
