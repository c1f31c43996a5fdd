//! Keeping a child process: what a worker and the link's process have in common.
//!
//! `Child` starts one with its descriptors in place and says why it ended; `Pings` pings it and
//! tells when it does not answer; `RestartBudget` says when to start it again; `Killed` holds what was killed
//! until it is reaped. What is said to a process, and what its end means, is its owner's.
//!
//! Nothing here waits, and time is an argument.

mod killed;
mod pings;
mod restart_budget;
#[cfg(test)]
mod tests;
mod usage;

pub use spared_worker::child::Child;

pub(crate) use killed::Killed;
pub(crate) use pings::{PING_EVERY, Pings};
pub(crate) use restart_budget::{Next, Policy, RestartBudget, TRIAL};
pub(crate) use usage::Usage;
