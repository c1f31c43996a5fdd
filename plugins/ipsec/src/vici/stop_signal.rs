//! Request to end a thread, for code that computes and for code that waits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

#[derive(Clone, Debug)]
pub struct StopSignal {
    sent: Arc<AtomicBool>,
    /// Descriptor that is readable after the request.
    descriptor: Arc<OwnedFd>,
}

impl StopSignal {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            sent: Arc::new(AtomicBool::new(false)),
            descriptor: Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?),
        })
    }

    pub fn send(&self) {
        self.sent.store(true, Ordering::Relaxed);
        let _ = rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes());
    }

    pub fn is_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }
}

impl AsFd for StopSignal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
