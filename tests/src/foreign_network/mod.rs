// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pair on a foreign network: random faults on either node and between them, one or two at a time. Three views are
//! compared: the faults, what stations see, and what `sparectl status` reports.
//!
//! A [`Sequence`] is the faults of a seed, each with its begin and its end. Stations on both networks ask for every
//! virtual address every 20 ms, and both nodes are queried for their status twice a second. `judge` decides which rule
//! was broken, and `expected` has the expectations for each fault:
//!
//! 1. **No request is answered twice**, by both nodes, unless no heartbeat passes in one direction on any path (E5).
//!    The number of a request is in the MAC address to which it is answered.
//! 2. **No OK during a known fault**, for more than 3 s, or the time that the manual gives for that fault. With a link
//!    this holds for each node. Without one it holds for each node if heartbeats inform the other node (of a fault of a
//!    network), and otherwise for the node that knows the fault.
//! 3. **All is well after the last repair**, within 5 s and the hold of E9: both nodes report OK, the preferred node is
//!    active, and it alone answers for every address.
//!
//! Each sequence has a lab and a pair of its own, so that a seed repeats it.

mod course;
mod expected;
mod fault;
mod judge;
mod kind;
mod make;
mod sequence;

pub use course::{Course, Outcome};
pub use fault::FORMS;
pub use judge::Wrong;
pub use kind::Kind;
pub use sequence::Sequence;
