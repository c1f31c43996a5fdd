// SPDX-License-Identifier: MIT OR Apache-2.0
//! Routers in network namespaces, their faults, and probes that observe what users observe.
//!
//! [`lab`] makes the networks, [`router`] runs spared, keepalived or FRR on them, [`probe`] measures. The
//! end-to-end tests, `demo` and the benches (`bench/`) use these three; tests of other crates use the namespaces and
//! daemons of [`lab`].

#![deny(unsafe_code)]

pub mod ask;
pub mod clock;
pub mod conntrackd;
pub mod dashboard;
pub mod dhcp;
pub mod elements;
pub mod flows;
pub mod foreign_network;
pub mod forger;
pub mod guard;
pub mod hostile;
pub mod ipsec;
pub mod journal;
pub mod kinds;
pub mod lab;
pub mod linked;
pub mod machine;
pub mod many;
pub mod page;
pub mod pair;
pub mod printed;
pub mod probe;
pub mod random;
pub mod recipe;
pub mod router;
pub mod rsync;
#[allow(unsafe_code)]
pub mod rtnl;
pub mod say;
pub mod soak;
pub mod steady;
pub mod synced;
#[allow(unsafe_code)]
mod sys;
pub mod truth;
pub mod versions;

/// Result of most functions here. The error is a sentence for the reader of a failed test.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
