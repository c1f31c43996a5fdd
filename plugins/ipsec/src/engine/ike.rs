//! State of this node's IKE daemon, and the orders for it.

use super::adoption::WantedChildren;
use super::connections::Connections;
use super::daemon::Presence;
use super::names::Names;
use super::pending_deletions::PendingDeletions;
use super::routes::Routes;
use super::sessions::{Copies, Feed, Openings};
use super::silence::Silence;
use super::unadopted::SavedUnadopted;
use super::withheld::Withheld;
use crate::config::Settings;

/// State of the IKE daemon. Each value has a file of its own, with the engine's work on it.
#[derive(Debug)]
pub struct IkeDaemon {
    pub(super) presence: Presence,
    pub(super) pending_deletions: PendingDeletions,
    pub(super) names: Names,
    pub(super) wanted_children: WantedChildren,
    pub(super) saved_unadopted: SavedUnadopted,
    pub(super) withheld: Withheld,
    pub(super) silence: Silence,
    pub(super) connections: Connections,
    pub(super) routes: Routes,
    pub(super) feed: Feed,
    pub(super) copies: Copies,
    pub(super) openings: Openings,
}

impl IkeDaemon {
    pub fn new(settings: &Settings) -> Self {
        Self {
            presence: Presence::new(settings),
            pending_deletions: PendingDeletions::default(),
            names: Names::default(),
            wanted_children: WantedChildren::default(),
            saved_unadopted: SavedUnadopted::default(),
            withheld: Withheld::default(),
            silence: Silence::default(),
            connections: Connections::default(),
            routes: Routes::default(),
            feed: Feed::default(),
            copies: Copies::default(),
            openings: Openings::default(),
        }
    }

    /// Begins another role. Doubted deletions go to the peer with its tunnels.
    pub fn handle_role(&mut self, now_ns: u64, is_active: bool) {
        self.presence.handle_role(now_ns);
        if !is_active {
            self.pending_deletions = PendingDeletions::default();
        }
        self.connections.begin(now_ns);
    }

    pub fn next_ns(&self) -> u64 {
        let next = self.pending_deletions.next_ns().min(self.silence.next_ns());
        next.min(self.feed.next_ns()).min(self.openings.next_ns())
    }

    pub fn is_running(&self) -> bool {
        self.presence.is_running()
    }

    /// True if the daemon has orders, or routes in its place, which are checked once a second.
    pub fn has_orders(&self) -> bool {
        !self.wanted_children.is_empty() || !self.withheld.is_empty() || !self.routes.is_empty()
    }
}
