//! `spared.local/1`: messages to other plugins of this node.

use std::ffi::{CStr, c_char};

use spared_abi as abi;

use crate::Plugin;
use crate::host::Host;
use crate::interface::call_ctx;
use crate::peer::{SendError, queued};

/// The part `local`: exchanges messages with other plugins of this node, each of which names this one
/// as well. So can a plugin that is root and one that has a peer be halves of one service.
///
/// A partner is a position in [`PARTNERS`](Self::PARTNERS).
pub trait Local: Plugin {
    /// The partners, at most [`abi::LOCAL_PARTNERS_MAX`].
    const PARTNERS: &'static [Partner];

    /// A partner is connected: both have started. It knows nothing of earlier messages.
    fn partner_up(&mut self, partner: usize);

    /// A partner has ended or is restarted; [`partner_up`](Self::partner_up) follows when it runs
    /// again.
    fn partner_down(&mut self, partner: usize);

    /// A message from a partner, in order, each once: untrusted bytes to a plugin that is root, as its
    /// partner may read the network.
    fn partner_message(&mut self, partner: usize, message: &[u8]);

    /// [`LocalHandle::send`] has room again for this partner.
    fn partner_writable(&mut self, partner: usize) {
        let _ = partner;
    }
}

/// A name in [`Local::PARTNERS`].
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Partner(*const c_char);

impl Partner {
    /// The plugin of this name.
    pub const fn named(name: &'static CStr) -> Self {
        Self(name.as_ptr())
    }

    pub(crate) const fn name(self) -> &'static str {
        // SAFETY: it is that of a static CStr: `named` is the only constructor.
        match unsafe { CStr::from_ptr(self.0) }.to_str() {
            Ok(name) => name,
            Err(_) => panic!("the name of a partner is not UTF-8"),
        }
    }
}

/// Sends to partners; from [`Host::local`].
#[derive(Clone, Copy, Debug)]
pub struct LocalHandle {
    pub(crate) host: Host,
    pub(crate) table: *const abi::Local,
}

impl LocalHandle {
    /// Queues one message; messages are ordered and reliable while the partner is up. Never blocks.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(&self, partner: usize, message: &[u8]) -> Result<(), SendError> {
        if let Some(core) = self.host.core() {
            return queued(core.send_to_partner(partner, message));
        }
        let partner = u32::try_from(partner).unwrap_or(u32::MAX);
        // SAFETY: the table is valid as long as the instance; the bytes live through the call.
        let status = unsafe {
            let message = abi::Bytes::of(message);
            call_ctx!(self.table, send, self.host.ctx(), partner, message)
        };
        queued(status)
    }
}
