// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the benches share: repeated faults, busy loops, and a report.

mod load;
mod report;
mod series;

pub use load::{busy, transitions, transitions_of};
pub use report::{Report, Row};
pub use series::{Bench, PRIORITIES, Series, plan};
