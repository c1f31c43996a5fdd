// SPDX-License-Identifier: MIT OR Apache-2.0
//! Common parts of the benches: their main, repeated faults, busy loops, and a report.

mod load;
mod program;
mod report;
mod series;

pub use load::{busy, transitions, transitions_of};
pub use program::{Case, program, program_with, wants_help};
pub use report::{Report, Row};
pub use series::{Bench, PRIORITIES, Series, plan};
