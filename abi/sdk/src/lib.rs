//! Write a spared plugin in safe Rust.

pub mod config;
