// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random changes of interfaces and addresses, of any kind, on both nodes of a pair: stations outside must be answered
//! by the active node only.
//!
//! A [`Sequence`] is the steps of a seed. Each is made on a node, which is repaired at the end, and `judge` decides
//! from frames at the switch which rule was broken:
//!
//! 1. **Two answer.** A router answers for an address, then the other one, then the first again, within 60 ms. Every
//!    station asks every 20 ms, and no role moves back and forth that fast; when a role changes, the last answer of one
//!    router precedes the first of the other. So one answer among those of the other router is enough.
//! 2. **One answers that may not.** A router answers 0.5 s after the last advert that it sent on any network, not
//!    counting priority 0, and no advert follows within 50 ms: a fence lease lasts 0.27 s from its advert, and is
//!    granted just before the first one.
//! 3. **No node serves, and none reports it.** Within 1 s of the last step a node that reports to be active is not the
//!    one that answers for each address, while its `sparectl status` has no finding about it. This does not apply to a
//!    network whose name another network's interface has: a node cannot detect that by itself.
//! 4. **The pair does not recover.** After the repair no router answers for all addresses, alone and for 0.3 s, within
//!    10 s.
//!
//! A virtual address that an administrator sets while spared runs is guarded from then on, also after a kill and after
//! an orderly end. None is set while spared does not run: such an address belongs to the administrator. A link-local
//! address is set on the interface of its network, or on a bridge or a macvlan of it: elsewhere it is another address.

mod course;
mod judge;
mod node;
mod sequence;
mod step;

pub use course::{Course, Kind};
pub use judge::{Wrong, two_within};
pub use sequence::Sequence;
