//! Messages to other plugins of this node.

use std::ffi::CStr;

use crate::Plugin;
use crate::host::Host;
use crate::peer::{SendError, queued};
use crate::plugin::text;

/// The part `local`: exchanges messages with other plugins of this node, each of which has to name this one as well.
/// For example, a plugin that is root and a plugin that has a peer can be halves of one service.
///
/// A partner is identified by its position in [`PARTNERS`](Self::PARTNERS).
pub trait Local: Plugin {
    /// Partners, at most [`LOCAL_PARTNERS_MAX`](crate::abi::LOCAL_PARTNERS_MAX).
    const PARTNERS: &'static [Partner];

    /// Handles that a partner is connected: both have started. It knows nothing of earlier messages.
    fn partner_up(&mut self, partner: usize);

    /// Handles that a partner has ended or is restarted. [`partner_up`](Self::partner_up) follows when it runs again.
    fn partner_down(&mut self, partner: usize);

    /// Handles a message from a partner, in order, each once. For a plugin that is root these are untrusted bytes,
    /// because its partner may read the network.
    fn partner_message(&mut self, partner: usize, message: &[u8]);

    /// Handles that [`LocalHandle::send`] has room again for this partner.
    fn partner_writable(&mut self, partner: usize) {
        let _ = partner;
    }
}

/// Name of a plugin in [`Local::PARTNERS`].
#[derive(Clone, Copy, Debug)]
pub struct Partner(&'static str);

impl Partner {
    /// Creates the partner with this name.
    pub const fn named(name: &'static CStr) -> Self {
        Self(text(name))
    }

    pub(crate) const fn name(self) -> &'static str {
        self.0
    }
}

/// Handle that sends to partners; from [`Host::local`].
#[derive(Clone, Copy, Debug)]
pub struct LocalHandle(pub(crate) Host);

impl LocalHandle {
    /// Queues one message. Messages are ordered and reliable while the partner is up. Never blocks.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(&self, partner: usize, message: &[u8]) -> Result<(), SendError> {
        queued(self.0.core().send_to_partner(partner, message))
    }
}
