//! Messages between the processes of a node, and between the hosts of both: plain data, which the host's
//! parts use among themselves as well. Sockets and encodings are elsewhere.

#![forbid(unsafe_code)]

pub mod clean;
mod device_name;
mod fingerprint;
pub mod firewall;
pub mod link;
mod load;
pub mod notice;
pub mod starter;
pub mod word;
pub mod worker;

pub use device_name::device_name;
pub use fingerprint::fingerprint;
