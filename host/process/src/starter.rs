//! Interface to whoever starts processes for the host. The host itself need not be root: it asks the process `spared
//! starter`. A test has a starter within its own process.

use std::cell::RefCell;
use std::fmt;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use spared_message::starter::{About, NotStarted, Reaped, Start};

/// Starter that all owners of processes share.
pub type Starter = Rc<RefCell<dyn ProcessStarter>>;

/// Starts, kills and reaps processes. No call waits longer than a start takes or, if the starter does not answer, a
/// bounded time.
pub trait ProcessStarter: fmt::Debug {
    /// Reads the configuration, which determines the rights of processes, at the start and after a reload. `digest`
    /// identifies the files in force, which count even if the files have changed since.
    ///
    /// # Errors
    /// The reason why an earlier configuration stays in force.
    fn configure(&mut self, digest: &str) -> Result<(), String>;

    /// Keeps the files in force, so that they come back when they are configured again ([`Self::configure`]) or at a
    /// start, until [`Self::forget_files`]. With a term they come back at a start after it, or in another boot.
    ///
    /// # Errors
    /// The reason why they are not kept.
    fn keep_files(&mut self, _term_s: u64) -> Result<(), String> {
        Err("this starter keeps no files".to_owned())
    }

    /// Ends the term of the files that are kept, so that a start puts them back from now on.
    ///
    /// # Errors
    /// The reason why a start within the term still has the new files in force.
    fn end_term(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// Keeps the files from before no longer.
    ///
    /// # Errors
    /// The reason why they are still kept.
    fn forget_files(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// Facts about the starter that the host needs.
    fn about(&self) -> About;

    /// # Errors
    /// The reason why the process does not run, and whether another attempt may help.
    fn start(&mut self, start: &Start) -> Result<Started, NotStarted>;

    /// Sends SIGKILL to the process with this number.
    fn kill(&mut self, process: u64);

    /// Kills the process with this number. It is reaped once it has ended, without a request.
    fn kill_and_reap(&mut self, process: u64);

    /// Reaps the process with this number, if it has ended.
    fn reap(&mut self, process: u64) -> Reaped;

    /// Returns true if the starter does not answer. Checks this without waiting.
    fn is_silent(&mut self) -> bool {
        false
    }

    /// Returns true if the starter no longer serves this host because its version is another one: its package was
    /// replaced.
    fn is_outdated(&self) -> bool {
        false
    }
}

/// Started process, as the host gets it.
#[derive(Debug)]
pub struct Started {
    /// Number of the process, which no other process of any starter has.
    pub process: u64,
    pub pid: u32,
    /// Host's end of the process's socket.
    pub socket: OwnedFd,
    /// Descriptor to read the error output from; None if the process shares the starter's.
    pub errors: Option<OwnedFd>,
}
