//! A real worker process with real plugins: the test plays the host.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod calls;
mod checks;
mod confinement;
mod facts;
mod faults;
mod frozen;
mod identity;
mod lab;
mod life;
mod loading;
mod messenger;
mod peer;
mod pending;
mod sessions;
