// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pair on a stranger's network: faults at random on either node and between them, one or two at a time, and three
//! parties that are compared: what was broken, what stations see, and what `sparectl status` says.
//!
//! A [`Sequence`] is the faults of a seed, each with its begin and its end. Stations on both networks ask for every
//! virtual address each 20 ms, and both nodes are asked for their status twice a second. `judge` tells which rule was
//! broken, and `known` has what is known of each fault:
//!
//! 1. **No request is answered twice**, by both nodes, unless no heartbeat passes in one direction on any path (E5).
//!    The number of a request is in the MAC address to which it is answered.
//! 2. **No OK beside something that is known to be broken**, for more than 3 s, or the time that the manual gives for
//!    that fault. With a link this holds for each node. Without one it holds for each node as well where heartbeats tell the
//!    other node (of a fault of a network), and else for the node that knows it.
//! 3. **All is well after the last mend**, within 5 s and the hold of E9: both nodes say OK, the preferred node is
//!    active, and it alone answers for every address.
//!
//! Each sequence has a lab and a pair of its own, so that a seed repeats it.

mod course;
mod deed;
mod fault;
mod judge;
mod kind;
mod known;
mod sequence;

pub use course::{Course, Outcome};
pub use fault::FORMS;
pub use judge::Wrong;
pub use kind::Kind;
pub use sequence::Sequence;
