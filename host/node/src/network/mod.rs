//! Manages the network of this node: the kernel, the groups' actions in it, the interfaces that plugins and the link
//! follow, and what plugins add to groups.

mod actions;
mod additions;
mod events;
mod fences;
mod follows;
mod interfaces;
mod paths;
mod socket_rights;

use std::collections::BTreeMap;
use std::time::Instant;

use spared_kernel::{Kernel, KernelEvent};

use additions::Additions;
use follows::Follows;
pub use interfaces::InterfaceState;
use paths::Paths;

/// Kernel of this node, and the state that belongs to it.
pub struct Network {
    kernel: Kernel,
    /// True if a call to the kernel may have left events that no descriptor announces.
    may_have_events: bool,
    follows: Follows,
    seen: BTreeMap<String, InterfaceState>,
    additions: Additions,
    /// Paths of the link.
    paths: Paths,
    /// Reason why the fence is missing, if it is.
    fence_missing: Option<String>,
    /// Groups without a fence lease at the last check, with the number of checks in a row.
    lapsed: BTreeMap<String, u32>,
}

impl Network {
    pub fn new(kernel: Kernel) -> Self {
        Self {
            kernel,
            may_have_events: false,
            follows: Follows::default(),
            seen: BTreeMap::new(),
            additions: Additions::default(),
            paths: Paths::default(),
            fence_missing: None,
            lapsed: BTreeMap::new(),
        }
    }

    /// Returns the kernel for queries.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Returns the kernel for changes.
    pub fn kernel_mut(&mut self) -> &mut Kernel {
        self.may_have_events = true;
        &mut self.kernel
    }

    pub fn handle_ready(&mut self, now: Instant) -> Vec<KernelEvent> {
        self.kernel.handle_ready(now)
    }

    /// Handles what is due by now.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<KernelEvent> {
        match self.kernel.next_timeout() {
            Some(due) if now >= due => self.kernel.handle_timeout(now),
            _ => Vec::new(),
        }
    }

    /// Returns the events that a change left; None if nothing was changed.
    pub fn take_touched(&mut self, now: Instant) -> Option<Vec<KernelEvent>> {
        std::mem::take(&mut self.may_have_events).then(|| self.kernel.handle_timeout(now))
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.kernel.next_timeout()
    }

    /// Removes everything that spared set in the kernel.
    pub fn close(self) {
        self.kernel.close();
    }
}
