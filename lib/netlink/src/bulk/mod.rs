//! Netlink for tables of a million entries: notifications many per system call, requests in batches
//! with one acknowledgement, dumps piece by piece.

mod dump;
mod notifications;
mod writer;

pub use dump::{Dump, Progress};
pub use notifications::{Notifications, Read};
pub use writer::{BATCH_MAX, Verdict, Writer};
