//! The spared host: runs plugins, holds addresses and the fence.
//!
//! The host loads no foreign code and parses no packet. [`run`] is one epoll loop over the workers
//! ([`spared_supervisor`]), the kernel ([`spared_node::network`]), the control socket ([`spared_requests::server`])
//! and two processes of its own. [`spared_group`] decides the order of steps, without input or output. This crate joins
//! these owners, each of which has its own state.

#![forbid(unsafe_code)]

pub mod arguments;
pub mod run;
