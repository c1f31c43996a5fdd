//! Write a spared plugin in safe Rust.
