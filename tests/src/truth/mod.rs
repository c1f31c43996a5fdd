// SPDX-License-Identifier: MIT OR Apache-2.0
//! Broken states of a pair, made on real nodes, and the reports of both nodes: the word of the headline, the exit code,
//! and the findings. After the repair both nodes report OK again.
//!
//! A state is a row of a table here; the tests run these tables, and `make matrix` prints them. Many rows
//! share a [`Bed`], so that a row takes only the time in which its state is noticed.

mod bed;
mod beds;
mod state;
#[cfg(test)]
mod tests;

pub use bed::Bed;
pub(crate) use beds::plain;
pub use beds::{BEDS, Kind};
pub use state::{ExpectedReport, Found, Look, On, State};
