//! Contact with the peer plugin: its last heartbeat, and whether the peer hears this node.

use super::peer::Peer;
use crate::wire::heartbeat::Heartbeat;

/// Directions in which the nodes hear each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Contact {
    #[default]
    None,
    /// The peer's heartbeats are heard, but the peer hears none of this node.
    OneWay,
    /// Each node hears the other: both have the same knowledge.
    Mutual,
}

#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct PeerContact {
    /// Last heartbeat; None until one was heard.
    peer: Option<Peer>,
    /// Run of the peer that has confirmed this node's key.
    run: Option<u64>,
    /// Contact at the last look.
    last_contact: Contact,
    /// Time when both nodes last heard each other.
    mutual_ns: Option<u64>,
    /// Time when the peer last blocked its fence for this node.
    released_ns: Option<u64>,
    /// One node elects by priority, the other one by quality.
    modes_differ: bool,
}

impl Contact {
    pub fn name(self) -> &'static str {
        match self {
            Contact::None => "silent",
            Contact::OneWay => "hears nothing",
            Contact::Mutual => "both ways",
        }
    }
}

impl PeerContact {
    /// Stores a heartbeat; returns true if the peer has just released the group. `is_alive`: the peer was heard within
    /// the failover time before.
    pub fn handle_heartbeat(&mut self, now_ns: u64, heartbeat: &Heartbeat, is_alive: bool) -> bool {
        let peer = self.peer.get_or_insert_with(|| Peer::new(now_ns));
        let releases = heartbeat.is_release && !(is_alive && peer.heartbeat.is_release);
        if !is_alive {
            (peer.idle_since_ns, peer.active_since_ns) = (now_ns, now_ns);
        }
        peer.update(now_ns, heartbeat);
        releases
    }

    /// Stores the contact; returns true if it has changed since the last look.
    pub fn handle_contact(&mut self, now_ns: u64, contact: Contact) -> bool {
        if contact == Contact::Mutual {
            self.mutual_ns = Some(now_ns);
        }
        std::mem::replace(&mut self.last_contact, contact) != contact
    }

    /// Forgets the peer: this node begins another run, which the peer has not heard yet.
    pub fn handle_new_run(&mut self) {
        (self.peer, self.mutual_ns, self.released_ns) = (None, None, None);
    }

    /// Stores the peer's run; returns true if it replaces another one, as the peer has started again.
    pub fn handle_run(&mut self, run: u64) -> bool {
        self.run.replace(run).is_some_and(|of| of != run)
    }

    /// The peer has blocked its fence for this node.
    pub fn handle_release(&mut self, now_ns: u64) {
        self.released_ns = Some(now_ns);
    }

    /// Stores whether the nodes elect by different modes; returns true if they have just begun to.
    pub fn handle_modes(&mut self, differ: bool) -> bool {
        let differed = std::mem::replace(&mut self.modes_differ, differ);
        differ && !differed
    }

    /// The peer as its last heartbeat described it.
    pub fn last(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// Contact at the last look.
    pub fn last_contact(&self) -> Contact {
        self.last_contact
    }

    pub fn was_mutual(&self) -> bool {
        self.last_contact == Contact::Mutual
    }

    pub fn mutual_ns(&self) -> Option<u64> {
        self.mutual_ns
    }

    pub fn released_ns(&self) -> Option<u64> {
        self.released_ns
    }
}
