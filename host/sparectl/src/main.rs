//! Ask and command spared.

fn main() {}
