//! Relation of a server's book to the active peer: whose leases it has, and how much of them.

use spared_replica::CopyState;

#[derive(Debug, Default)]
pub struct Following {
    /// The book has the peer's leases, not those of the server here.
    is_of_peer: bool,
    /// The leases that the file had at the start are assumed to be on both nodes, and no peer has confirmed it.
    is_recalled: bool,
    /// State of the copy of the active peer's leases; None: no peer is active, or nothing is here yet.
    copy: Option<CopyState>,
}

impl Following {
    /// Handles that the book has the peer's leases from now on; returns true if it had others.
    pub fn handle_peer(&mut self) -> bool {
        !std::mem::replace(&mut self.is_of_peer, true)
    }

    /// Handles that the server here grants leases from now on.
    pub fn handle_active(&mut self) {
        self.is_of_peer = false;
    }

    /// Handles the state of the copy; returns true if it has become whole.
    pub fn handle_copy(&mut self, copy: Option<CopyState>) -> bool {
        let was_whole = std::mem::replace(&mut self.copy, copy) == Some(CopyState::Complete);
        let is_whole = copy == Some(CopyState::Complete);
        self.is_recalled &= !is_whole;
        is_whole && !was_whole
    }

    /// Handles that the leases of the file are assumed to be on both nodes.
    pub fn handle_recalled(&mut self) {
        self.is_recalled = true;
    }

    /// Returns true if no peer has confirmed the assumption, which ends.
    pub fn take_recalled(&mut self) -> bool {
        std::mem::take(&mut self.is_recalled)
    }

    pub fn is_of_peer(&self) -> bool {
        self.is_of_peer
    }

    /// True if a part of the peer's leases is here.
    pub fn is_receiving(&self) -> bool {
        self.copy == Some(CopyState::Received)
    }
}
