//! Nodes in network namespaces, run by the real binary: one alone, or a pair.

mod alone;
mod asked;
mod library;
mod node;
mod pair;

pub use alone::{Alone, VRRP};
pub use node::{Node, SOON};
pub use pair::{HOT, HOT2, Pair, key, keyed};
