//! Two engines with a kernel each, one clock and two channels.

mod absent_lists;
mod drain;
mod faults;
mod follow;
mod lab;
mod lists;
mod random;
mod reload;
mod roles;
mod states;
