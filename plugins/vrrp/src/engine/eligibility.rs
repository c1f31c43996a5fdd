//! Eligibility of a group on this node: its priority, and what bars it from the active role.

use spared_sdk::CauseKind;

use super::Context;
use super::group::{Group, State};
use super::networks::NetworkChanges;
use super::router::VirtualRouter;
use crate::election::{self, PriorityInputs, RoleReason};

impl Group {
    pub(super) fn priority_inputs(&self) -> PriorityInputs<'_> {
        PriorityInputs {
            election: self.config.election,
            carrier_weight: self.config.carrier_weight,
            directive: self.candidacy.directive(),
            hurt: self.networks.hurt(),
            claims: self.candidacy.claims(),
        }
    }

    /// Computes the priority; the packets carry a new one from the next advert on.
    pub(super) fn update_priority(&mut self, cx: &mut Context<'_>) {
        self.networks.update_ports(cx);
        self.own_heartbeat.note_changed();
        let priority = election::priority(&self.priority_inputs());
        if self.candidacy.handle_priority(priority) {
            let content = self.advert_content();
            self.networks.build(cx, content);
        }
    }

    pub(super) fn update_sources(&mut self, cx: &Context<'_>) -> NetworkChanges {
        let (content, patience_ns) = (self.advert_content(), self.active_down_ns());
        self.networks.update_sources(cx, content, patience_ns)
    }

    /// Reason why this node must not be active, if any.
    pub(super) fn barred(&self, cx: &Context<'_>) -> Option<RoleReason> {
        if !self.candidacy.directive().eligible || self.candidacy.directive().resign {
            let why = self.candidacy.directive().why.clone();
            return Some(RoleReason::of(CauseKind::Barred).saying(why));
        }
        let alone = self.counts_as_alone(cx.now_ns);
        let isolated = alone && !self.routers().any(VirtualRouter::usable);
        isolated.then(|| self.isolation(cx))
    }

    /// True if no peer could serve instead of this node. With a link, exactly one of two isolated nodes is active. If
    /// the peer leaves, an isolated node does not become active: no advert would follow the grant of its lease.
    pub(super) fn counts_as_alone(&self, now_ns: u64) -> bool {
        let serves = matches!(
            self.state,
            State::Active { .. } | State::Promoting { .. } | State::Lapsed { .. }
        );
        self.mutual_peer(now_ns)
            .is_none_or(|peer| !serves && peer.is_barred())
    }
}
