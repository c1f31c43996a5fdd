//! Two replicas over toy stores in virtual time.

mod faults;
mod follow;
mod garbage;
mod lab;
mod random;
mod watch;
