//! Knowledge of the charon that runs here, by its messages and the socket of its plugin `ha`.

use std::collections::BTreeSet;

use crate::sessions::IkeSpis;
use crate::sessions::message::{Kind, Message};

#[derive(Debug, Default)]
pub(super) struct Charon {
    /// IKE SAs that it has.
    pub has: BTreeSet<IkeSpis>,
    /// The kernel has its plugin's socket.
    pub is_there: bool,
    /// It is older than this run of the plugin: which sessions it has is not known.
    pub is_older: bool,
    /// Version of its messages, by its release or by those that it has sent.
    pub version: Option<u8>,
    /// Inode of the socket.
    socket: Option<u64>,
    /// IKE SAs and socket when it was last said to have ended: its control socket may have failed alone.
    former: Option<(u64, BTreeSet<IkeSpis>)>,
}

impl Charon {
    pub fn note_message(&mut self, message: &Message) {
        self.version = Some(message.version);
        let Some(ike) = message.ike else {
            return;
        };
        match message.kind {
            Kind::IkeAdd => drop(self.has.insert(ike)),
            Kind::IkeDelete => drop(self.has.remove(&ike)),
            _ => {}
        }
    }

    /// Notes the socket: with the one from before it is the same charon, which has its sessions.
    pub fn note_socket(&mut self, socket: u64) {
        (self.is_there, self.socket) = (true, Some(socket));
        let former = self.former.take();
        if let Some((_, has)) = former.filter(|(former, _)| *former == socket) {
            self.has.extend(has);
        }
    }

    /// Forgets a charon that has ended.
    pub fn forget(&mut self) {
        let former = self
            .socket
            .map(|socket| (socket, std::mem::take(&mut self.has)));
        *self = Self {
            former,
            ..Self::default()
        };
    }
}
