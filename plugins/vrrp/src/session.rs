//! The session with the peer: that there is one is all that counts of it.

use spared_sdk::Peer;

use crate::Vrrp;

impl Peer for Vrrp {
    fn up(&mut self, _wire: u32) {
        self.set_session(true);
        self.greet();
        // there is nothing to fetch first: who hears heartbeats knows all that vrrp knows
        if let Err(error) = self.peer.in_sync(true, "") {
            log::warn!("{error}");
        }
    }

    fn down(&mut self) {
        self.set_session(false);
    }

    /// Nobody says anything there: heartbeats tell it all, and the channel that there is a session.
    fn message(&mut self, _message: &[u8]) {}

    fn writable(&mut self) {}
}

impl Vrrp {
    fn set_session(&mut self, is_up: bool) {
        let now_ns = self.host.now();
        if let Some(engine) = &mut self.engine {
            engine.set_session(now_ns, is_up);
        }
    }

    /// Another path carries: a peer whose key is not agreed yet is greeted, since nobody may have heard what was said before.
    pub(crate) fn greet(&mut self) {
        let now_ns = self.host.now();
        if let Some(links) = &mut self.links {
            links.greet(now_ns);
        }
        self.act();
    }
}
