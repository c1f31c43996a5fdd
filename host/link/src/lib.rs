//! The link to the peer: TLS sessions over one or two paths, channels between peers, and
//! `spared link`, the process that talks to the network in place of the host.
//!
//! `host/message/src/link.rs` has the messages between host and link, `word.rs` those between the hosts.
#![forbid(unsafe_code)]

pub mod frame;
mod path;
mod run;
pub mod session;
pub mod tls;

pub use run::run;
pub use spared_message::{link as message, word};
