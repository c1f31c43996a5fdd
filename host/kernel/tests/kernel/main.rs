//! Tests what the kernel does for the host: fence, addresses, sockets; with real packets between namespaces.

#![allow(clippy::unwrap_used)]

mod addresses;
mod chaos;
mod fence;
mod fence_off;
mod forwarding;
mod interfaces;
mod lab;
mod link_local;
mod links;
mod moved;
mod routes;
mod rules;
mod switchover;
