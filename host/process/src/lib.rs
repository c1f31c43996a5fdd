//! Child processes: what workers and the link's process have in common.
//!
//! `Child` starts a process with its descriptors in place and gives its exit reason; `Pings` finds
//! one that hangs, `OwnTime` one that takes too long; `RestartBudget` decides when it is started again; `Killed` keeps killed
//! processes until they are reaped; [`starter`] is who starts them; [`service`] tells systemd; `Subprocess`
//! does this for a part of this program, and its `Owner` hears it. `spared_records` carries messages and descriptors,
//! [`account`] chooses the account that a process runs as, [`limit`] bounds what it sends, [`pace`] how often costly
//! work is done, and [`poller`] says who has sent something; [`signals`] are the host's own. The messages themselves, and what follows from an end, belong to the owner.
//!
//! Nothing here waits but a start and a reaping, for the starter's answer; time is an argument.

pub mod about;
pub mod account;
pub mod child;
pub mod clock;
mod killed;
pub mod limit;
mod own_time;
pub mod pace;
mod pings;
pub mod poller;
mod restart_budget;
pub mod service;
pub mod signals;
pub mod starter;
mod subprocess;
#[cfg(test)]
mod tests;
mod usage;

pub use child::Child;
pub use killed::Killed;
pub use own_time::OwnTime;
pub use pings::{PING_EVERY, Pings};
pub use restart_budget::{Next, Policy, RestartBudget, TRIAL};
pub use subprocess::{Owner, Subprocess};
pub use usage::{Gauge, Usage};
