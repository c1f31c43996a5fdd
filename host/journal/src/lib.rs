//! Texts for the administrator: lines of the log, events, changes of roles with their causes, and findings that last.
//! [`Notices`] keeps what can be queried later. A thread writes the log, so that nothing delays the loop.

#![forbid(unsafe_code)]

mod events;
mod journal;
mod notices;

pub use events::Recorded;
pub use journal::{flush, start};
pub use notices::Notices;
