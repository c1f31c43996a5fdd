//! Child processes: the common parts of workers and of the link's process.
//!
//! `Child` starts a process with its descriptors in place and reports its exit reason. `Pings` finds a process that
//! hangs, and `TaskTimer` one that takes too long. `RestartBudget` decides when it is started again, and `Killed` keeps
//! killed processes until they are reaped. [`starter`] is the interface to whoever starts them, and [`service`] reports
//! to systemd. `Subprocess` does all this for a part of this program, and its `MessageHandler` handles its messages.
//!
//! `spared_records` carries messages and descriptors, [`account`] chooses the account of a process, [`token_bucket`]
//! bounds what a process sends, and [`pace`] bounds how often costly work is done. [`poller`] reports who has sent
//! something, and [`signals`] are those of the host. The messages themselves, and what follows from an end, belong to
//! the owner. [`worker`] is the process of a plugin: both its halves, and the sandbox.
//!
//! Only a start and a reaping wait here, for the starter's answer. Time is an argument.

pub mod account;
pub mod child;
pub mod clock;
mod killed;
pub mod pace;
mod pings;
pub mod poller;
pub mod proc;
mod restart_budget;
pub mod service;
pub mod signals;
pub mod starter;
mod subprocess;
mod task_timer;
#[cfg(test)]
mod tests;
pub mod token_bucket;
mod usage;
pub mod worker;

pub use child::Child;
pub use killed::Killed;
pub use pings::{PING_EVERY, Pings, nearest_tick};
pub use restart_budget::{Next, Policy, RestartBudget, TRIAL};
pub use subprocess::{MessageHandler, Subprocess};
pub use task_timer::TaskTimer;
pub use usage::{Usage, UsageReader};
