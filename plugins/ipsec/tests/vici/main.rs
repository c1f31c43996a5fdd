//! The thread that speaks with charon, beside Debian's charon and beside listeners that are none.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod charon;
mod fixture;
mod lab;
mod scripted;
