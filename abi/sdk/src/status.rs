//! The state of the pair, and its events.

use std::ops::BitOr;

use spared_abi as abi;
use spared_contract::{Call, EventRecord, PairStatus};

use crate::error::check;
use crate::host::Host;
use crate::{Error, Plugin};

/// The part `watch`: gets the state of the pair and its events, after [`WatchHandle::watch`].
pub trait Watch: Plugin {
    /// Handles the state of the pair: once after [`WatchHandle::watch`], then at each change, at most once a second.
    fn status(&mut self, status: &PairStatus) {
        let _ = status;
    }

    /// Handles an event of this node.
    fn event(&mut self, event: &EventRecord) {
        let _ = event;
    }
}

/// Set of reports that [`WatchHandle::watch`] requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched(u32);

impl Watched {
    /// No reports any more.
    pub const NOTHING: Self = Self(0);
    /// Calls of [`Watch::status`].
    pub const STATUS: Self = Self(abi::WATCH_STATUS);
    /// Calls of [`Watch::event`].
    pub const EVENTS: Self = Self(abi::WATCH_EVENTS);
}

impl BitOr for Watched {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Handle that requests the state of the pair and its events; from [`Host::status`].
#[derive(Clone, Copy, Debug)]
pub struct WatchHandle(pub(crate) Host);

impl WatchHandle {
    /// Requests calls of [`Watch`]. Replaces an earlier request.
    ///
    /// # Errors
    /// The daemon's.
    pub fn watch(&self, what: Watched) -> Result<(), Error> {
        check(
            "watch the pair",
            self.0.core().call(Call::Watch { what: what.0 }),
        )
    }
}
