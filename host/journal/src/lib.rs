//! Texts for the administrator: lines of the log, events, changes of roles with their causes, and findings that last.
//! [`Notices`] keeps what can be queried later. A thread writes the log, so that nothing delays the loop.
//!
//! [`state_file`] keeps the [`overrides`] and the [`history`] of roles over a restart, [`unarmed`] the mark of a node
//! that is not armed, [`ring`] the last minutes over a crash. [`report`] is a process that gathers all of it for the administrator.

#![forbid(unsafe_code)]

mod events;
pub mod history;
pub mod history_keeper;
mod journal;
mod notices;
pub mod overrides;
pub mod report;
pub mod ring;
pub mod state_file;
pub mod unarmed;

pub use events::Recorded;
pub use journal::{flush, start};
pub use notices::Notices;
