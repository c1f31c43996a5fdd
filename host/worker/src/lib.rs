//! Runs one plugin in a process of its own.

pub mod message;
