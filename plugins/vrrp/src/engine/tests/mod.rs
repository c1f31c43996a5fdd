//! Nodes on wires under a virtual clock: what the engines decide together.

mod election;
mod exhaustive;
mod fence;
mod lab;
mod linked;
mod random;
mod reload;
mod rfc;
