//! Two replicas over toy stores in virtual time.

mod faults;
mod follow;
mod garbage;
mod lab;
mod map;
mod own_messages;
mod random;
mod watch;
