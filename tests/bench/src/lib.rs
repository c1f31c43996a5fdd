// SPDX-License-Identifier: MIT OR Apache-2.0
//! Common parts of the benches beside other programs: their main, repeated faults, busy loops, and a report.
//!
//! They are a crate of their own, which `make test` does not build.

#![forbid(unsafe_code)]

mod load;
mod program;
mod report;
mod series;

pub use load::{busy, transitions, transitions_of};
pub use program::{Case, program, program_with};
pub use report::{Report, Row};
pub use series::{Bench, PRIORITIES, Series, plan};
