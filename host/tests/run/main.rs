//! Runs of the real binary: its starts and ends, its plugins, and the link to another node.

#![allow(clippy::unwrap_used)]

mod additions;
mod arm;
mod confirm;
mod control_groups;
mod end;
mod firewall;
mod identity;
mod lab;
mod link;
mod orders;
mod pair;
mod partners;
mod plugins;
mod reload;
mod replaced;
mod restart;
mod starter;
mod systemd;
mod versions;
mod watchers;
