//! Checks a plugin before its users do.

fn main() {}
