//! Whoever starts the host's processes for it. The host itself need not be root: it asks the process of
//! `spared starter`; a test has the starter within.

use std::cell::RefCell;
use std::fmt;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use spared_message::starter::{Groups, NotStarted, Reaped, Start};

/// A starter that all owners of processes share.
pub type Starter = Rc<RefCell<dyn Starts>>;

/// Starts, kills and reaps. No call waits longer than a start takes, or, where the starter does not answer,
/// a bounded time.
pub trait Starts: fmt::Debug {
    /// Reads the configuration, from which the rights of processes follow, at the start and after a reload.
    ///
    /// # Errors
    /// Why an earlier one stays in force.
    fn configure(&mut self) -> Result<(), String>;

    /// Control groups of the workers, or why there are none.
    fn groups(&self) -> Groups;

    /// # Errors
    /// Why it does not run, and whether another try may help.
    fn start(&mut self, start: &Start) -> Result<Started, NotStarted>;

    /// Sends SIGKILL.
    fn kill(&mut self, pid: u32);

    /// Reaps a process that has ended.
    fn reap(&mut self, pid: u32) -> Reaped;
}

/// A process, as the host gets it.
#[derive(Debug)]
pub struct Started {
    pub pid: u32,
    /// The host's end of its socket.
    pub socket: OwnedFd,
    /// What reads its error output; None if that is the host's.
    pub errors: Option<OwnedFd>,
}
