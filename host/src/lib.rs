//! The spared host: runs plugins, holds addresses and the fence.
//!
//! The host loads no foreign code and parses no packet. [`run`] is one epoll loop over the workers
//! ([`spared_supervisor`]), the kernel and the control socket ([`spared_control_server`]); [`spared_group`] decides the order of
//! steps, without input or output of its own.

#![forbid(unsafe_code)]

pub mod arguments;
pub mod notify;
pub mod run;
