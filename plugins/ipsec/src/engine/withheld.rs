//! Virtual addresses that the IKE daemon here must not assign: those of clients whose SAs are in the kernel, by
//! replication or from an earlier run of the daemon, and which the present daemon does not know.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Action, Engine};
use crate::codec::body::networks_if_unlimited;
use crate::sa::{Direction, Policy};

#[derive(Debug, Default)]
pub struct Withheld {
    /// Addresses of the last order.
    addresses: BTreeSet<IpAddr>,
    /// Reason why the daemon may assign one of them.
    fault: Option<String>,
}

impl Withheld {
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Reason why the daemon may assign one of them; None if there is nothing to withhold.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref().filter(|_| !self.is_empty())
    }
}

impl Engine {
    /// Handles the reason why the daemon may assign one of the addresses; None: it cannot.
    pub fn handle_withheld(&mut self, fault: Option<String>) {
        self.ike.withheld.fault = fault;
        self.mark_dirty();
    }

    /// Has the daemon withhold the addresses that clients have now.
    pub(super) fn withhold(&mut self) {
        let addresses = if self.is_active() {
            self.assigned_by_others()
        } else {
            BTreeSet::new()
        };
        if self.ike.withheld.addresses != addresses {
            if self.ike.withheld.is_empty() {
                self.ike.withheld.fault = None;
            }
            self.ike.withheld.addresses.clone_from(&addresses);
            self.push_action(Action::Withhold(addresses));
        }
    }

    /// Addresses of clients that the present daemon does not know. Those of a group that is active on the peer are
    /// included, as the kernel has one policy for each address.
    fn assigned_by_others(&self) -> BTreeSet<IpAddr> {
        let policies = self.store.policies.values().filter(|it| it.ours);
        let clients = policies.filter_map(|it| Some((&it.policy, client(&it.policy)?)));
        let mut clients = clients.peekable();
        if clients.peek().is_none() {
            return BTreeSet::new();
        }
        let (own, all) = self.outbound_reqids();
        let leads_to = |policy: &Policy, reqids: &BTreeSet<u32>| {
            let mut templates = policy.templates.iter();
            templates.any(|it| reqids.contains(&it.reqid))
        };
        let is_held = |policy: &Policy| self.store.held.policies.contains_key(&policy.id);
        // until the role is settled SAs are on their way into the kernel
        let is_settled = self.is_settled_role();
        let lives = |policy| !is_settled || is_held(policy) || leads_to(policy, &all);
        let others = clients.filter(|(it, _)| !leads_to(it, &own) && lives(it));
        others.map(|(_, client)| client).collect()
    }

    /// Reqids of the outbound SAs that the present daemon names, and of all outbound SAs.
    fn outbound_reqids(&self) -> (BTreeSet<u32>, BTreeSet<u32>) {
        let sas = self.store.sas.iter();
        let out = sas.filter(|(_, it)| it.side == Some(Direction::Out));
        let is_own = |spi| self.ike.is_running() && self.ike.names.get(spi).is_some();
        let (mut own, mut all) = (BTreeSet::new(), BTreeSet::new());
        for (id, known) in out {
            all.insert(known.sa.reqid);
            if is_own(id.spi) {
                own.insert(known.sa.reqid);
            }
        }
        (own, all)
    }
}

/// Single address on the far side of a policy, if it is a client's.
fn client(policy: &Policy) -> Option<IpAddr> {
    let (_, (to, prefix)) =
        networks_if_unlimited(&policy.id.selector).filter(|_| policy.id.is_outbound())?;
    let bits = if to.is_ipv4() { 32 } else { 128 };
    (prefix == bits).then_some(to)
}
