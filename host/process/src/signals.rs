//! Signals of the host's process as flags, and one descriptor that wakes its loop.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// Flags of SIGHUP, SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Signals {
    reader: UnixStream,
    hangup: Arc<AtomicBool>,
    terminate: Arc<AtomicUsize>,
}

impl Signals {
    /// Catches the signals from now on.
    ///
    /// # Errors
    /// The kernel's: no descriptors left.
    pub fn catch() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        let hangup = Arc::new(AtomicBool::new(false));
        let terminate = Arc::new(AtomicUsize::new(0));
        flag::register(SIGHUP, Arc::clone(&hangup))?;
        for signal in [SIGTERM, SIGINT] {
            flag::register_usize(signal, Arc::clone(&terminate), 1)?;
        }
        // The pipes are registered after the flags, so that the loop finds the flags set when it wakes.
        for signal in [SIGHUP, SIGTERM, SIGINT] {
            low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        Ok(Self {
            reader,
            hangup,
            terminate,
        })
    }

    /// Empties the descriptor. Call it before looking at the flags.
    pub fn acknowledge(&mut self) {
        let mut bytes = [0; 64];
        while matches!(self.reader.read(&mut bytes), Ok(1..)) {}
    }

    /// Returns true if SIGHUP came since the last call.
    pub fn take_hangup(&self) -> bool {
        self.hangup.swap(false, Ordering::SeqCst)
    }

    /// Returns true if SIGTERM or SIGINT came since the last call.
    pub fn take_terminate(&self) -> bool {
        self.terminate.swap(0, Ordering::SeqCst) > 0
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
