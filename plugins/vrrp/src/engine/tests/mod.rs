//! Nodes on wires under a virtual clock: what the engines decide together.

mod election;
mod exhaustive;
mod fence;
mod lab;
mod linked;
mod linked_exhaustive;
mod linked_found;
mod linked_handover;
mod linked_random;
mod random;
mod reload;
mod rfc;
