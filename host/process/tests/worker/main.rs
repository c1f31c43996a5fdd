//! A real worker process with real plugins: the test plays the host.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::duplicate_mod,
    reason = "the tests of both loops are the same files"
)]

mod c_library;
mod checks;
mod confinement;
mod exec;
mod faults;
mod lab;
mod life;
mod loading;
mod messenger;
mod own_loop;
mod records;
mod sessions;
