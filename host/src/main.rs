//! The spared host: runs plugins, holds addresses and the fence.

fn main() {}
