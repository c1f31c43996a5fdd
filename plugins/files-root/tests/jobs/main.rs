//! Changes of real trees: complete, refused, reverted, and cut off at every step.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod back;
mod confirm;
mod cut;
mod link;
mod moved;
mod node;
mod own;
mod refused;
mod spared;
mod whole;
