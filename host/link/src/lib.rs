//! Implements the link to the peer: TLS sessions over one or two paths, channels between peer plugins, and `spared
//! link`, the process that uses the network for the host. [`host_end`] is the host's end of it.
//!
//! `host/message/src/link.rs` has the messages between host and link, `word.rs` those between the hosts.
#![forbid(unsafe_code)]

pub mod frame;
pub mod host_end;
mod path;
mod run;
pub mod session;
pub mod tls;

pub use run::run;
pub use spared_message::{link as message, word};
