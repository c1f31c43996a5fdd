//! Whoever starts the host's processes for it. The host itself need not be root: it asks the process of
//! `spared starter`; a test has the starter within.

use std::cell::RefCell;
use std::fmt;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use spared_message::starter::{About, NotStarted, Reaped, Start};

/// A starter that all owners of processes share.
pub type Starter = Rc<RefCell<dyn Starts>>;

/// Starts, kills and reaps. No call waits longer than a start takes, or, where the starter does not answer,
/// a bounded time.
pub trait Starts: fmt::Debug {
    /// Reads the configuration, from which the rights of processes follow, at the start and after a reload. `digest` is
    /// that of the files that are in force, which decide even if the files have changed since.
    ///
    /// # Errors
    /// Why an earlier one stays in force.
    fn configure(&mut self, digest: &str) -> Result<(), String>;

    /// What the host has to know of it.
    fn about(&self) -> About;

    /// # Errors
    /// Why it does not run, and whether another try may help.
    fn start(&mut self, start: &Start) -> Result<Started, NotStarted>;

    /// Sends SIGKILL to the process of that number.
    fn kill(&mut self, process: u64);

    /// Kills the process of that number, which nobody will ask to be reaped: it is reaped once it has ended.
    fn abandon(&mut self, process: u64);

    /// Reaps the process of that number, if it has ended.
    fn reap(&mut self, process: u64) -> Reaped;

    /// Looks whether it could be asked for something, without waiting for it. True if it does not answer.
    fn is_silent(&mut self) -> bool {
        false
    }

    /// Whether it serves this host no more, as it is of another version: its package was replaced.
    fn is_outdated(&self) -> bool {
        false
    }
}

/// A process, as the host gets it.
#[derive(Debug)]
pub struct Started {
    /// Its number, which no other process of any starter has.
    pub process: u64,
    pub pid: u32,
    /// The host's end of its socket.
    pub socket: OwnedFd,
    /// What reads its error output; None if that is the starter's.
    pub errors: Option<OwnedFd>,
}
