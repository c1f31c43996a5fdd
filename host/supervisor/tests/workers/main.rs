//! Workers that say what no worker should: scripts in the place of the program, and any message there is.

#![allow(clippy::unwrap_used)]

mod choices;
mod hostile;
mod messages;
mod reaping;
mod test_worker;
