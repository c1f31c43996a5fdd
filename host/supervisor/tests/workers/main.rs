//! Workers that misbehave: scripts in place of the program, and arbitrary messages.

#![allow(clippy::unwrap_used)]

mod choices;
mod hostile;
mod messages;
mod reaping;
mod replaced;
mod test_worker;
