//! Session with the peer, of which only the existence matters.

use spared_sdk::Peer;

use crate::Vrrp;

impl Peer for Vrrp {
    fn up(&mut self, _wire: u32) {
        self.set_session(true);
        self.request_hello();
        // there is nothing to load first: heartbeats contain all state of vrrp
        if let Err(error) = self.peer.in_sync(true, "") {
            log::warn!("{error}");
        }
    }

    fn down(&mut self) {
        self.set_session(false);
    }

    /// No messages are sent: heartbeats contain everything, and the channel shows that there is a session.
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

    /// Sends a hello when another path is up, unless the peer is heard: earlier ones may not have been received.
    pub(crate) fn request_hello(&mut self) {
        let now_ns = self.host.now();
        if let Some(links) = &mut self.links {
            links.request_hello(now_ns);
        }
        self.execute_actions();
    }
}
