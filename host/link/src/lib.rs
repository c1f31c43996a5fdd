//! The link to the peer: TLS sessions over one or two paths, channels between peers, and
//! `spared link`, the process that speaks with the network so that the host need not.
//!
//! [`message`] is what crosses between host and link, [`word`] what hosts say to each other.
#![forbid(unsafe_code)]

pub mod frame;
pub mod message;
mod path;
mod run;
pub mod session;
pub mod tls;
pub mod word;

pub use run::run;
