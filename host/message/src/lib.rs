//! Messages between the daemon, its starter, the link and the firewall, and between the daemons of both nodes: plain
//! data, which the daemon's parts use among themselves as well. The messages to plugins and from them, and the encoding
//! of all records, are in `spared_contract`; sockets are elsewhere.

#![forbid(unsafe_code)]

pub mod clean;
mod device_name;
mod fingerprint;
pub mod firewall;
pub mod link;
pub mod load;
pub mod notice;
pub mod starter;
pub mod word;

pub use device_name::device_name;
pub use fingerprint::fingerprint;
