//! Tests the thread of one DHCP server, with plain files and with Debian's servers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod dhcpd;
mod dnsmasq;
mod fixture;
mod journal;
mod kea;
mod lab;
mod limits;
mod rewritten;
#[path = "../../src/server/scratch.rs"]
mod scratch;
mod setup;
mod stamp;
