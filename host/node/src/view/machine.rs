//! Collects the values of this machine that must be equal on both.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use spared_contract::{Claims, RouteClaim};
use spared_group::Group;
use spared_message::firewall::{NodeNames, OwnTranslation};
use spared_verdict::{MachineFacts, Role};

use super::NodeView;
use crate::machine::{MachineState, ReadRequest};
use crate::needs::CheckedObjects;
use crate::recorder;

/// Upper limit of the time for which a set must be unchanged before its elements are compared.
const CALM_MAX: Duration = Duration::from_secs(60);

impl NodeView<'_> {
    /// Returns the objects that must be read from the machine.
    pub fn machine_request(&self) -> ReadRequest {
        let names = &self.config.by_node().interfaces;
        let claims = self.claims();
        let interfaces: BTreeMap<String, String> = claims
            .flat_map(interfaces_of)
            .map(|own| {
                (
                    own.to_owned(),
                    names.get(own).map_or(own, String::as_str).to_owned(),
                )
            })
            .collect();
        let routes = self.claims().flat_map(|claims| &claims.routes);
        let kernel = self.network.kernel();
        let mtus = interfaces.keys().map(|own| (own.clone(), kernel.mtu(own)));
        let mtus = mtus.filter(|(_, mtu)| *mtu > 0).collect();
        ReadRequest {
            interfaces,
            mtus,
            by_role: self.config.by_role().to_vec(),
            virtuals: self.virtuals().collect(),
            default_routes: defaults(routes).collect(),
            objects: self.checked_objects(),
        }
    }

    fn checked_objects(&self) -> CheckedObjects {
        let groups = self.groups.iter().map(|(_, group)| group);
        let active = groups.filter(|group| group.role == Role::Active);
        let routes = active.flat_map(|group| &group.claims.routes);
        let name = recorder::elector(self.supervisor);
        let elector = name.and_then(|name| {
            let pid = self.supervisor.pid(&name)?;
            Some((name, pid))
        });
        CheckedObjects {
            devices: self.network.kernel().answering(),
            by_role: self.config.by_role().to_vec(),
            active_defaults: defaults(routes).collect(),
            elector,
        }
    }

    /// Returns the names by which the rules of both nodes are compared.
    pub fn node_names(&self, read: &MachineState) -> NodeNames {
        let by_node = self.config.by_node();
        let calm = self.config.host().equal.after.min(CALM_MAX);
        NodeNames {
            interfaces: by_node.interfaces.clone(),
            addresses: &read.addresses | &by_node.addresses,
            virtuals: self.virtuals().collect(),
            sets: by_node.sets.clone(),
            calm_ms: calm.as_millis() as u64,
        }
    }

    /// Returns the values that must be equal.
    pub fn machine_facts(&self, read: MachineState) -> MachineFacts {
        let listed = self.firewall.listed();
        MachineFacts {
            rules_by: listed.by.clone(),
            rules: listed.digests.clone(),
            elements: listed.elements.clone(),
            settings: read.settings,
            default_routes: read.default_routes,
            routing_rules: read.routing_rules,
        }
    }

    /// Returns rules that translate this node's own packets to an address for which it is not
    /// active.
    pub fn own_translations(&self) -> Vec<OwnTranslation> {
        let is_claimed = |group: &Group, address: IpAddr| {
            let mut addresses = group.claims.addresses.iter();
            addresses.any(|it| it.address == address)
        };
        let is_elsewhere = |it: &&OwnTranslation| {
            let mut groups = self.groups.iter().map(|(_, group)| group);
            groups.any(|group| group.role != Role::Active && is_claimed(group, it.address))
        };
        let own = self.firewall.listed().own.iter();
        own.filter(is_elsewhere).cloned().collect()
    }

    fn virtuals(&self) -> impl Iterator<Item = IpAddr> {
        let addresses = self.claims().flat_map(|claims| &claims.addresses);
        addresses.map(|it| it.address)
    }

    fn claims(&self) -> impl Iterator<Item = &Claims> {
        self.groups.iter().map(|(_, group)| &group.claims)
    }
}

/// Returns the families of default routes.
fn defaults<'r>(routes: impl Iterator<Item = &'r RouteClaim>) -> impl Iterator<Item = String> {
    let defaults = routes.filter(|route| route.prefix == 0 && route.table == 0);
    defaults.map(|route| match route.destination {
        IpAddr::V4(_) => "IPv4".to_owned(),
        IpAddr::V6(_) => "IPv6".to_owned(),
    })
}

fn interfaces_of(claims: &Claims) -> impl Iterator<Item = &str> {
    let routers = claims.routers.iter().map(|it| it.interface.as_str());
    routers.chain(claims.addresses.iter().map(|it| it.interface.as_str()))
}
