//! Messages between the daemon, its starter, the link and the firewall, and between the daemons of both nodes. They are
//! plain data, which parts of the daemon also use among themselves. The messages to and from plugins, and the encoding
//! of all records, are in `spared_contract`; sockets are elsewhere.

#![forbid(unsafe_code)]

pub mod clean;
mod device_name;
mod fingerprint;
pub mod firewall;
pub mod link;
pub mod load;
pub mod notice;
pub mod paths;
pub mod starter;
pub mod word;

pub use device_name::device_name;
pub use fingerprint::fingerprint;
