//! Nodes on wires under a virtual clock: what the engines decide together.

mod deaf;
mod duplicates;
mod election;
mod exhaustive;
mod fence;
mod forged;
mod forger;
mod keyed;
mod lab;
mod lapse;
mod linked;
mod linked_exhaustive;
mod linked_found;
mod linked_groups;
mod linked_random;
mod linked_switchover;
mod pairs_of_faults;
mod random;
mod reload;
mod restart;
mod rfc;
mod source;
mod states;
mod tracked;
mod victories;
mod virtual_source;
