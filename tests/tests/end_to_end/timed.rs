// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests that time packets while their routers have little to do. Some run at once, and none of another kind does:
//! a control thread tells whether the machine was late.

mod faults;
mod fence;
mod forger;
mod forging;
mod lab;
mod walk;
