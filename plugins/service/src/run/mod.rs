//! Jobs under way: children that end by themselves or are killed, and what the kernel does at once.

use std::os::fd::RawFd;

use spared_sdk::Host;

use crate::job::{Job, Service, Status};

/// What came of something that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The job of that number; why it failed, in a sentence.
    Job(u64, Result<(), String>),
    Observed(Vec<(Service, Status)>),
}

/// All jobs, by the engine's number.
#[derive(Debug)]
pub struct Runs {
    host: Host,
}

impl Runs {
    pub fn new(host: Host) -> Self {
        Self { host }
    }

    /// Begins a job; what ends at once is found by [`Runs::poll_ended`], too.
    pub fn begin(&mut self, number: u64, job: Job) {
        let _ = (number, job, self.host);
        todo!()
    }

    /// Ends a job's children, all of their group; nothing more is heard of it.
    pub fn cancel(&mut self, number: u64) {
        let _ = number;
        todo!()
    }

    /// Asks how services are; a question that is under way is not asked again.
    pub fn observe(&mut self, services: &[Service]) {
        let _ = services;
        todo!()
    }

    /// A watched descriptor is ready; false where it is none of these.
    pub fn ready(&mut self, fd: RawFd) -> bool {
        let _ = fd;
        todo!()
    }

    /// When [`Runs::handle_timeout`] is due (a bounce's end), in the host's ns.
    pub fn next_timeout(&self) -> Option<u64> {
        todo!()
    }

    pub fn handle_timeout(&mut self, now_ns: u64) {
        let _ = now_ns;
        todo!()
    }

    pub fn poll_ended(&mut self) -> Option<Ended> {
        todo!()
    }

    /// Nothing is left behind; what runs as a service goes on.
    pub fn end_all(&mut self) {
        todo!()
    }
}

/// Hooks of a folder, in the order of their names: executable, root's, writable by nobody else.
///
/// # Errors
/// One sentence for each that is refused, beside those that are fine.
pub fn hooks(folder: &std::path::Path) -> (Vec<String>, Vec<String>) {
    let _ = folder;
    todo!()
}
