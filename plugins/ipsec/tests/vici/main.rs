//! Tests the thread for charon, with Debian's charon and with fake listeners.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod charon;
mod fixture;
mod lab;
mod scripted;
