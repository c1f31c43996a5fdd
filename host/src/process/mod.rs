//! Child processes: what workers and the link's process have in common.
//!
//! `Child` starts a process with its descriptors in place and gives its exit reason; `Pings` finds
//! one that hangs; `RestartBudget` decides when it is started again; `Killed` keeps killed
//! processes until they are reaped. Messages to a process, and what follows from its end, belong to
//! its owner.
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
