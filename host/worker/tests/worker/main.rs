//! A real worker process with real plugins: the test plays the host.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::duplicate_mod,
    reason = "the tests of both forms of a plugin are the same files"
)]

mod c_library;
mod checks;
mod confinement;
mod facts;
mod faults;
mod frozen;
mod in_c;
mod lab;
mod life;
mod loading;
mod messenger;
mod own_loop;
mod records;
mod sessions;
mod table;
