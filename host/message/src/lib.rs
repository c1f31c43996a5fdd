//! Messages between the daemon, its starter, the link and the firewall, between the daemons of both nodes, and between
//! the daemon and `sparectl` ([`control`]). They are plain data, which parts of the daemon also use among themselves. The
//! messages to and from plugins, and the encoding of all records, are in `spared_contract`; sockets are elsewhere.

#![forbid(unsafe_code)]

pub mod clean;
pub mod control;
mod device_name;
mod fingerprint;
pub mod firewall;
pub mod link;
pub mod load;
mod natural;
pub mod notice;
pub mod plugin_files;
pub mod query;
pub mod starter;
pub mod word;

pub use device_name::device_name;
pub use fingerprint::fingerprint;
pub use natural::Natural;
