//! Decides which node notices changes and which one sends, so that exactly one does.
//!
//! While the plugins hear each other, the node with the smaller name notices changes, and sends them. If it cannot reach a
//! recipient, the other one sends what that recipient is to be told. A node that does not hear the other plugin for
//! [`GRACE_NS`] does both.

use std::collections::BTreeSet;

/// Time in ns for which a node waits for the other plugin, after its own start or the end of the channel: it may have been
/// restarted.
pub const GRACE_NS: u64 = 5_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    /// There is no channel since this time.
    Down(u64),
    /// The channel began at this time; the peer has not sent all of its book yet.
    Joining(u64),
    Joined,
}

/// This node's part of the work.
#[derive(Debug)]
pub struct Duty {
    node: String,
    /// Name of the peer, empty if there is none; None until a status names it.
    peer: Option<String>,
    channel: Channel,
    /// Recipients that the peer can reach; None until it says so.
    reached_by_peer: Option<BTreeSet<String>>,
}

impl Duty {
    pub fn new(now_ns: u64, node: &str) -> Self {
        Self {
            node: node.to_owned(),
            peer: None,
            channel: Channel::Down(now_ns),
            reached_by_peer: None,
        }
    }

    pub fn handle_peer(&mut self, name: &str) {
        self.peer = Some(name.to_owned());
    }

    pub fn handle_up(&mut self, now_ns: u64) {
        self.channel = Channel::Joining(now_ns);
        self.reached_by_peer = None;
    }

    pub fn handle_joined(&mut self) {
        if !matches!(self.channel, Channel::Down(_)) {
            self.channel = Channel::Joined;
        }
    }

    pub fn handle_down(&mut self, now_ns: u64) {
        self.channel = Channel::Down(now_ns);
    }

    pub fn handle_reached(&mut self, recipients: BTreeSet<String>) {
        self.reached_by_peer = Some(recipients);
    }

    pub fn hears_peer(&self) -> bool {
        !matches!(self.channel, Channel::Down(_))
    }

    /// True if this node notices changes.
    pub fn notices(&self, now_ns: u64) -> bool {
        self.is_settled(now_ns) && (!self.hears_peer() || self.is_first())
    }

    /// True if this node sends to a recipient. `reaches` is true if it can, as far as it knows.
    pub fn sends(&self, now_ns: u64, recipient: &str, reaches: bool) -> bool {
        if !self.is_settled(now_ns) {
            return false;
        }
        if !self.hears_peer() {
            return true;
        }
        let by_peer = self.reached_by_peer.as_ref();
        let peer_reaches = by_peer.is_none_or(|it| it.contains(recipient));
        if self.is_first() {
            reaches || !peer_reaches
        } else {
            reaches && !peer_reaches
        }
    }

    /// Time at which this node no longer waits for the other plugin.
    pub fn next_timeout(&self, now_ns: u64) -> Option<u64> {
        let since = match self.channel {
            Channel::Down(since) | Channel::Joining(since) => since,
            Channel::Joined => return None,
        };
        Some(since.saturating_add(GRACE_NS)).filter(|until| now_ns < *until)
    }

    fn is_settled(&self, now_ns: u64) -> bool {
        if self.peer.is_none() {
            return false;
        }
        match self.channel {
            Channel::Down(_) if self.peer.as_deref() == Some("") => true,
            Channel::Down(since) | Channel::Joining(since) => {
                now_ns >= since.saturating_add(GRACE_NS)
            }
            Channel::Joined => true,
        }
    }

    fn is_first(&self) -> bool {
        self.peer.as_ref().is_none_or(|peer| self.node < *peer)
    }
}
