//! Documents of the daemon: what `sparectl --json` prints.

use spared_abi as abi;

use crate::host::Host;
use crate::{Error, Plugin};

/// The part `documents`: reads what read-only users may, after [`DocumentHandle::ask`].
pub trait Documents: Plugin {
    /// Handles a document, a JSON text as `sparectl --json` prints it for the same command, or the reason why there is
    /// none. Comes once for each request.
    fn document(&mut self, ticket: u64, document: Result<&str, Error>);
}

/// Document of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Document {
    /// Status of both nodes, as `sparectl status` shows it.
    Status = abi::DOCUMENT_STATUS,
    /// Causes of all roles, as `sparectl why` shows them.
    Why = abi::DOCUMENT_WHY,
    /// Changes of roles, as `sparectl history` shows them.
    History = abi::DOCUMENT_HISTORY,
    /// Newest events, as `sparectl events` shows them.
    Events = abi::DOCUMENT_EVENTS,
    /// Snapshot of this node behind `sparectl metrics`, at most a second old. It asks no peer.
    Metrics = abi::DOCUMENT_METRICS,
}

/// Handle that requests documents; from [`Host::documents`].
///
/// One request at a time is answered, at most ten in a second, and no document of more than
/// [`DOCUMENT_MAX`](crate::abi::DOCUMENT_MAX) bytes.
#[derive(Clone, Copy, Debug)]
pub struct DocumentHandle(pub(crate) Host);

impl DocumentHandle {
    /// Requests a document; [`Documents::document`] follows with the same ticket, within 2 s. Never blocks.
    pub fn ask(&self, ticket: u64, document: Document) {
        self.0.core().ask_for_document(ticket, document as u32, 0);
    }
}
