//! Decides which sockets a plugin gets from the host with the interfaces that it follows. A plugin can open raw sockets
//! itself only with CAP_NET_RAW, which its configuration can deny (host/supervisor/src/starter/worker_rights.rs).

use spared_abi::{SOCKETS_HEARTBEAT, SOCKETS_PING, SOCKETS_VRRP};
use spared_kernel::ANY;

use super::Network;

const NAME_MAX: usize = 15;
/// All known socket sets.
const KNOWN: u32 = SOCKETS_VRRP | SOCKETS_HEARTBEAT | SOCKETS_PING;

impl Network {
    /// Returns 0 if a plugin may follow an interface with these sockets, else -errno.
    pub(super) fn may_follow(
        &self,
        plugin: &str,
        is_elector: bool,
        interface: &str,
        sockets: u32,
    ) -> i32 {
        if interface.is_empty() || interface.len() > NAME_MAX || interface.contains('/') {
            return -libc::EINVAL;
        }
        if (interface == ANY && sockets != SOCKETS_PING) || sockets & !KNOWN != 0 {
            return -libc::EINVAL;
        }
        // Raw frames and heartbeats are reserved for the elector.
        let reserved = sockets & (SOCKETS_VRRP | SOCKETS_HEARTBEAT) != 0;
        if reserved && !is_elector {
            log::warn!("{plugin}: denied sockets on {interface} that only the vrrp plugin may use");
            return -libc::EPERM;
        }
        if self.follows.has_room(interface, plugin) {
            0
        } else {
            -libc::ENOSPC
        }
    }
}
