//! The session with the peer: that there is one is all that counts of it.

use spared_sdk::Peer;

use crate::Vrrp;

impl Peer for Vrrp {
    fn up(&mut self, _wire: u32) {
        if let Some(engine) = &mut self.engine {
            engine.set_session(true);
        }
        // there is nothing to fetch first: who hears heartbeats knows all that vrrp knows
        if let Some(Err(error)) = self.peer.map(|peer| peer.in_sync(true, "")) {
            log::warn!("{error}");
        }
    }

    fn down(&mut self) {
        if let Some(engine) = &mut self.engine {
            engine.set_session(false);
        }
    }

    /// Nobody says anything there: heartbeats tell it all, and the channel that there is a session.
    fn message(&mut self, _message: &[u8]) {}

    fn writable(&mut self) {}
}
