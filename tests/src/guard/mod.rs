// SPDX-License-Identifier: MIT OR Apache-2.0
//! Anything that can happen to interfaces and addresses, at random, on both nodes of a pair: stations outside
//! must be answered by the active node alone.
//!
//! A [`Sequence`] is the steps of a seed. Each is done by a node, which is put right at the end, and
//! `judge` tells from frames at the switch which promise was broken:
//!
//! 1. **Two answer.** A router answers for an address, then the other one, then the first again, within
//!    60 ms. Every station asks each 20 ms, and no role moves there and back that fast; at a change of roles
//!    the last answer of one precedes the first of the other. So one answer among those of the other router
//!    is enough.
//! 2. **One answers that may not.** A router answers 0.5 s after the last advert that it sent on any network, priority
//!    0 not counted, and no advert follows within 50 ms: a fence lease lasts 0.27 s from its advert, and is granted just before
//!    the first one.
//! 3. **Nobody serves and nobody says so.** Within 1 s of the last step a node that says that it is active is not
//!    the one that answers for each address, while its `sparectl status` has no finding about it.
//!    Not for a network whose name another network's interface has: a node cannot tell that alone.
//! 4. **It does not recover.** When all is put right, one router does not answer for all addresses, alone and
//!    for 0.3 s, within 10 s.
//!
//! A virtual address that somebody sets while spared runs is guarded from then on, also after a kill and after an
//! end in order. None is set while spared does not run: then it is the administrator's. A link-local address is
//! set on the interface of its network, a bridge or a macvlan of it: elsewhere it is another address.

mod course;
mod judge;
mod node;
mod sequence;
mod step;

pub use course::{Course, Kind};
pub use judge::{Wrong, two_within};
pub use sequence::Sequence;
