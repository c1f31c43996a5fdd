//! Reads what this node knows, and makes facts for the verdict, the status, and causes. Nothing here can change state.

mod facts;
mod machine;
mod plugin_facts;
mod status;
mod status_rows;
mod why;

use crate::network::Network;
use spared_contract::PairStatus;
use spared_firewall::host_end::Firewall;
use spared_group::Groups;
use spared_journal::Notices;
use spared_link::host_end::Link;
use spared_requests::View;
use spared_supervisor::Supervisor;

use crate::files::Files;
use crate::machine::Machine;
use crate::node_config::NodeConfig;
use crate::orders::Orders;
use crate::pair::Pair;
use crate::recorder::Recorder;
pub use status_rows::{Rows, StatusRows};

/// Read-only references to the owners of all state.
#[derive(Clone, Copy)]
pub struct NodeView<'v> {
    pub config: &'v NodeConfig,
    pub files: &'v Files,
    pub machine: &'v Machine,
    pub groups: &'v Groups,
    pub network: &'v Network,
    pub supervisor: &'v Supervisor,
    pub link: &'v Link,
    pub firewall: &'v Firewall,
    pub pair: &'v Pair,
    pub orders: &'v Orders,
    pub notices: &'v Notices,
    pub recorder: &'v Recorder,
}

impl<'v> NodeView<'v> {
    /// Returns the view from which requests are planned.
    pub fn for_requests(&self) -> View<'v> {
        let forced = self.orders.forced().iter();
        View {
            own: self.config.node(),
            peer: self.config.peer_name(),
            is_peer_up: self.pair.is_peer_up(),
            there: self.pair.facts(),
            missing: self.pair.missing(),
            quality: self.pair.quality().number(),
            groups: self.groups,
            forced: forced
                .map(|(name, it)| (name.as_str(), it.active))
                .collect(),
        }
    }

    /// Returns the status of the pair for plugins that watch it, without the verdict.
    pub fn pair_status(&self) -> PairStatus {
        PairStatus {
            quality: self.pair.quality().number(),
            ready: self.pair.missing().is_empty(),
            link_up: self.link.is_up(),
            node: self.config.node().to_owned(),
            peer: self.config.pair_name().unwrap_or_default().to_owned(),
            ..PairStatus::default()
        }
    }

    /// Returns the number of plugins that are not in sync; None without a peer.
    pub fn behind(&self) -> Option<usize> {
        self.config.peer_name()?;
        let behind = self.plugin_facts().filter(|it| it.is_behind());
        Some(behind.count())
    }
}
