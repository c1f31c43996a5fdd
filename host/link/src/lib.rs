//! The link to the peer: TLS sessions over one or two paths, channels between peers, and
//! `spared link`, the process that talks to the network in place of the host.
//!
//! [`message`] has the messages between host and link, [`word`] those between the hosts.
#![forbid(unsafe_code)]

pub mod frame;
pub mod message;
mod path;
mod run;
pub mod session;
pub mod tls;
pub mod word;

pub use run::run;
