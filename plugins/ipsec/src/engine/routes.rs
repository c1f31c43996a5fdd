//! Sets the routes that charon would make for replicated policies, until it has made its own.
//!
//! charon installs a route for each outbound policy of its own, so that packets for the far side reach the interface
//! where the policy takes them, and so that the router itself sends from an address within the tunnel. The node that
//! takes over needs these routes before its charon has negotiated again, if no other route leads there.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Action, Engine};
use crate::codec::body::{FIRST_OWN_REQID, networks_if_unlimited};
use crate::sa::Policy;

const MAIN: u8 = 0;
/// Tunnel mode, by the kernel's number.
const TUNNEL: u8 = 1;

/// A route into a tunnel, without the next hop to its far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TunnelRoute {
    /// Network on the far side, as in the policy.
    pub to: (IpAddr, u8),
    /// Network on this side. Without an address of the router in it there is no route.
    pub from: (IpAddr, u8),
    /// Ends of the tunnel, on this side and on the far side.
    pub ends: (IpAddr, IpAddr),
}

#[derive(Debug, Default)]
pub struct Routes {
    /// Routes of the last action; None: there was none yet.
    wanted: Option<BTreeSet<TunnelRoute>>,
}

impl Routes {
    pub fn is_empty(&self) -> bool {
        self.wanted.as_ref().is_none_or(BTreeSet::is_empty)
    }

    pub fn len(&self) -> usize {
        self.wanted.as_ref().map_or(0, BTreeSet::len)
    }
}

impl Engine {
    /// Sets the wanted routes in the kernel. It does so each time, as an interface that goes down loses its routes. A
    /// new run of the plugin leaves the routes of the last one until it has read the kernel.
    pub(super) fn set_routes(&mut self) {
        if !self.store.run.is_read() || !self.roles.are_reported() {
            return;
        }
        let settings = &self.settings;
        let makes = settings.adopt.socket.is_some() && settings.routing_table != 0;
        let wanted = if self.is_active() && makes {
            self.wanted_routes()
        } else {
            BTreeSet::new()
        };
        let is_same = self.ike.routes.wanted.as_ref() == Some(&wanted);
        if is_same && wanted.is_empty() {
            return;
        }
        self.ike.routes.wanted = Some(wanted.clone());
        self.push_action(Action::Routes(wanted));
    }

    fn wanted_routes(&self) -> BTreeSet<TunnelRoute> {
        let policies = self.store.policies.values().map(|it| &it.policy);
        policies.filter_map(|it| self.route_of(it)).collect()
    }

    /// Route of a policy, as charon makes it: none for a port, a protocol, an XFRM interface or transport mode.
    fn route_of(&self, policy: &Policy) -> Option<TunnelRoute> {
        let id = &policy.id;
        let is_plain = id.is_outbound() && id.kind == MAIN && id.if_id == 0;
        let template = policy.templates.last().filter(|_| is_plain)?;
        let is_replicated = template.reqid >= FIRST_OWN_REQID && template.mode == TUNNEL;
        let near = policy
            .end
            .filter(|end| is_replicated && self.store.ends.owns(end))?;
        let (from, to) = networks_if_unlimited(&id.selector)?;
        Some(TunnelRoute {
            to,
            from,
            ends: (near, template.destination),
        })
    }
}
