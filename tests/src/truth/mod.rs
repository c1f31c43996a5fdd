// SPDX-License-Identifier: MIT OR Apache-2.0
//! Broken states of a pair, each made for real, and what both nodes say of them: the word of the
//! headline, the exit code, and the findings. A state that is mended is OK again on both.
//!
//! A state is a row of a table here, from which the tests run and `make matrix` prints. Many rows share
//! a [`Bed`], so that each costs no more than what it takes to be noticed.

mod bed;
mod beds;
mod state;
#[cfg(test)]
mod tests;

pub use bed::Bed;
pub use beds::{BEDS, Kind};
pub use state::{Found, On, Says, State};
