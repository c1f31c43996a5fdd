//! Knowledge of the charon that runs here, by its messages and the socket of its plugin `ha`.

use std::collections::{BTreeMap, BTreeSet};

use crate::sa::Body;
use crate::sessions::IkeSpis;
use crate::sessions::message::{Kind, Message};

#[derive(Debug, Default)]
pub(super) struct Charon {
    /// IKE SAs that it has.
    pub has: BTreeSet<IkeSpis>,
    /// IKE SAs that it has, and whose address has left, with the message that ends each.
    left: BTreeMap<IkeSpis, Body>,
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

    /// Notes that the address of an IKE SA has left; `end` ends it.
    pub fn note_left(&mut self, ike: IkeSpis, end: Body) {
        if self.has.remove(&ike) {
            self.left.insert(ike, end);
        }
    }

    /// True if it still has an IKE SA from before its address left.
    pub fn is_left(&self, ike: &IkeSpis) -> bool {
        self.left.contains_key(ike)
    }

    /// Notes a message that it was told.
    pub fn note_told(&mut self, message: &Message) {
        if let (Kind::IkeAdd, Some(ike)) = (message.kind, message.ike) {
            if let Some(replaced) = message.rekeyed {
                self.has.remove(&replaced);
            }
            self.has.insert(ike);
        }
    }

    /// Messages that end the IKE SAs whose addresses have left.
    pub fn take_ends(&mut self) -> Vec<Body> {
        std::mem::take(&mut self.left).into_values().collect()
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
        let mut has = std::mem::take(&mut self.has);
        has.extend(self.left.keys());
        let former = self.socket.map(|socket| (socket, has));
        *self = Self {
            former,
            ..Self::default()
        };
    }
}
