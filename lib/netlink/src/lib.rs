//! The netlink edge: links, addresses, routes and forwarding of the kernel on neli's sockets and structures.
//!
//! [`Requests`] changes and dumps, [`Monitor`] reports changes by others. Both never wait: the kernel answers a request
//! before `send` returns. [`attributes`] reads the kernel's bytes from a borrowed slice and cannot panic on any bytes.

mod address;
mod attribute;
pub mod bpf;
mod bulk;
mod internet_sockets;
mod link;
mod message;
mod monitor;
mod neighbour;
mod netconf;
mod packet;
mod packet_queue;
mod reason;
mod route;
mod rule;
mod socket;
mod socket_options;
#[cfg(feature = "test-namespace")]
pub mod test_namespace;
mod transaction;
mod watch;

pub mod constants;

pub use address::Address;
pub use attribute::{
    attributes, find_attribute, put, put_nested, put_text, text, u32_be, u32_of, u64_be,
};
pub use bulk::{BATCH_MAX, Dump, Notifications, Progress, Read, Verdict, Writer};
pub use internet_sockets::{Ends, datagram_sender, echo_socket};
pub use link::Link;
pub use message::Message;
pub use monitor::{Event, Monitor, Overrun};
pub use netconf::Forwarding;
pub use packet::{PacketSocket, join_groups, link_state, raw_ip_socket};
pub use packet_queue::{PacketQueue, Waiting};
pub use reason::reason;
pub use route::{LocalRoute, Route};
pub use rule::{FR_ACT_TO_TBL, FRA_FWMARK, FRA_FWMASK, Rule};
pub use socket::{Header, Requests, messages, receive};
pub use socket_options::{attach_filter, namespace_cookie, set_send_buffer};
pub use transaction::{OUTDATED, Transactions};
pub use watch::AddressWatch;
