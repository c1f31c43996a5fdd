//! The bytes on the wire: ICMP echoes of both families.

pub mod icmp;
