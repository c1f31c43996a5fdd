//! The reload of a configuration: everything is checked before anything changes, and only differences are applied.
//!
//! [`Reload::request`] and the `handle_*` methods feed [`Reload`]; they get the state of the host as [`InForce`].
//! [`Reload::poll_step`] returns what to do, in order. Checks run in short-lived workers while the host continues, so
//! that no advert waits for a reload. Requests that arrive meanwhile are served by one more reload, which reads the
//! newest files. No input or output, and no clock.

#![forbid(unsafe_code)]

mod changes;
mod in_force;
mod lost;
mod plan;
mod reload;
#[cfg(test)]
mod tests;

pub use in_force::{ActiveGroup, InForce, KnownPlugin};
pub use reload::{Reload, Step};
