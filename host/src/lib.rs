//! The spared host: runs plugins, holds addresses and the fence.
//!
//! The host loads no foreign code and parses no packet. [`run`] is one epoll loop over the workers
//! ([`supervisor`]), the kernel and the control socket ([`control`]); [`group`] decides what
//! happens in which order, without input or output of its own.

#![warn(clippy::unwrap_used)]

pub mod account;
pub mod check;
pub mod clock;
pub mod config;
pub mod control;
pub mod events;
pub mod fence;
pub mod group;
pub mod journal;
pub mod kernel;
pub mod notify;
pub mod poller;
pub mod supervisor;
