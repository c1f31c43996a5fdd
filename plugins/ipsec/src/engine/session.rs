//! State that lives as long as the channel to the peer.

use std::collections::VecDeque;

use super::connections::ConnectionsReport;

/// Session with the peer; it ends with this value.
#[derive(Debug, Default)]
pub struct Session {
    /// Time when the peer was heard, until this node has all that the peer has.
    connected_ns: Option<u64>,
    /// Messages to the peer, other than the replica's and the connections.
    messages: VecDeque<Vec<u8>>,
    connections: ConnectionsReport,
    /// Both nodes had the same records at the end of the last snapshot.
    is_complete: bool,
    /// The peer gets this node's tunnels.
    is_replicating: bool,
    /// Time since which both nodes are active.
    both_active_since_ns: Option<u64>,
}

impl Session {
    pub fn new(now_ns: u64) -> Self {
        Self {
            connected_ns: Some(now_ns),
            ..Self::default()
        }
    }

    pub fn push(&mut self, message: Vec<u8>) {
        self.messages.push_back(message);
    }

    pub fn message(&self) -> Option<&[u8]> {
        self.messages.front().map(Vec::as_slice)
    }

    /// Removes the message that the channel has taken; returns false if it was the replica's.
    pub fn message_sent(&mut self) -> bool {
        self.messages.pop_front().is_some() || self.connections.message_sent()
    }

    pub fn connections(&self) -> &ConnectionsReport {
        &self.connections
    }

    pub fn connections_mut(&mut self) -> &mut ConnectionsReport {
        &mut self.connections
    }

    /// Notes whether both nodes have the same records; returns true if that is new.
    pub fn note_complete(&mut self, is_complete: bool) -> bool {
        let was_complete = std::mem::replace(&mut self.is_complete, is_complete);
        is_complete && !was_complete
    }

    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Notes whether the peer gets this node's tunnels; returns true if that is new.
    pub fn note_replicating(&mut self, is_replicating: bool) -> bool {
        let was_replicating = std::mem::replace(&mut self.is_replicating, is_replicating);
        is_replicating && !was_replicating
    }

    pub fn is_replicating(&self) -> bool {
        self.is_replicating
    }

    pub fn note_both_active(&mut self, now_ns: u64, are_both: bool) {
        self.both_active_since_ns = are_both.then(|| self.both_active_since_ns.unwrap_or(now_ns));
    }

    pub fn both_active_since_ns(&self) -> Option<u64> {
        self.both_active_since_ns
    }

    /// Forgets the time: an active node does not wait for the peer's records.
    pub fn forget_connected(&mut self) {
        self.connected_ns = None;
    }

    /// Takes the time when the peer was heard; called once this node has all that the peer has.
    pub fn take_connected_ns(&mut self) -> Option<u64> {
        self.connected_ns.take()
    }
}
