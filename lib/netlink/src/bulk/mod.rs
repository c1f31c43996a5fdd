//! Netlink for tables with a million entries: many notifications per system call, batches of requests with one
//! acknowledgement, dumps in pieces.

mod dump;
mod notifications;
mod writer;

pub use dump::{Dump, Progress};
pub use notifications::{Notifications, Read};
pub use writer::{BATCH_MAX, Verdict, Writer};
