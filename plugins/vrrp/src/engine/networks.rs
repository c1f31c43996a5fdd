//! Networks of a group: its ports, the virtual routers on them, and interfaces of which only the state counts.

use std::net::IpAddr;

use super::Context;
use super::heartbeat_targets::HeartbeatTarget;
use super::interface::Interface;
use super::own_adverts::AdvertContent;
use super::port::Port;
use super::router::VirtualRouter;
use super::tracked::Tracked;
use crate::config;

#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Networks {
    ports: Vec<Port>,
    routers: Vec<VirtualRouter>,
    tracked: Vec<Tracked>,
    /// Targets of heartbeats, in addition to the links.
    targets: Vec<HeartbeatTarget>,
    /// At least one of the virtual routers can send.
    can_send: bool,
    /// Inputs of the interfaces' checks have changed.
    are_checks_stale: bool,
    /// The group has begun to wait for answers of stations, or no longer waits.
    is_listening_stale: bool,
}

/// Changes found by a look at the interfaces.
#[derive(Default)]
pub(super) struct NetworkChanges {
    /// Reason why a router can no longer send.
    pub hurt: Option<String>,
    pub returned: bool,
}

impl Networks {
    // ---- configuration ---------------------------------------------------------------------

    /// Applies another configuration; returns the virtual routers that it no longer has. The others keep their state.
    pub fn configure(
        &mut self,
        cx: &Context<'_>,
        was: &config::Group,
        config: &config::Group,
    ) -> Vec<VirtualRouter> {
        self.configure_ports(cx, config);
        self.configure_tracked(cx, config);
        let mut old = std::mem::take(&mut self.routers);
        for router in &config.routers {
            let same = |one: &VirtualRouter| {
                one.config.interface == router.interface
                    && one.config.family == router.family
                    && one.config.vrid == router.vrid
            };
            let port = self.port_named(cx, &router.interface);
            let mut one = match old.iter().position(same) {
                Some(index) => old.swap_remove(index),
                None => VirtualRouter::new(router.clone(), port, config.form),
            };
            if one.config.vmac.is_some() != router.vmac.is_some() {
                let port = self.ports.get_mut(port);
                port.into_iter().for_each(Port::forget_identities);
            }
            one.port = port;
            one.config = router.clone();
            if was.form != config.form {
                one.adverts.set_form(config.form);
            }
            self.routers.push(one);
        }
        old
    }

    fn configure_ports(&mut self, cx: &Context<'_>, config: &config::Group) {
        let mut old = std::mem::take(&mut self.ports);
        for router in &config.routers {
            let named = |i: &Interface| i.name == router.interface;
            let Some(interface) = cx.interfaces.iter().position(named) else {
                continue;
            };
            if self.port_on(interface).is_some() {
                continue;
            }
            let mut port = match old.iter().position(|port| port.interface == interface) {
                Some(index) => old.swap_remove(index),
                None => Port::new(interface),
            };
            port.heartbeat_id = router.path;
            let routers = config.routers.iter();
            let mut here = routers.filter(|one| one.interface == router.interface);
            port.reception.configure(here.any(|one| one.heartbeats));
            port.place = self.ports.len();
            self.ports.push(port);
        }
    }

    /// Stores the interfaces on which no adverts are sent; one with adverts is a port.
    fn configure_tracked(&mut self, cx: &Context<'_>, config: &config::Group) {
        self.tracked.clear();
        for (name, weight) in config.tracked() {
            let named = |interface: &Interface| interface.name == name;
            let Some(index) = cx.interfaces.iter().position(named) else {
                continue;
            };
            if self.port_on(index).is_some() {
                continue;
            }
            match self.tracked.iter_mut().find(|it| it.interface == index) {
                Some(tracked) => tracked.weight = tracked.weight.max(weight),
                None => self.tracked.push(Tracked {
                    interface: index,
                    weight,
                    is_hurt: false,
                }),
            }
        }
    }

    /// Takes all virtual routers: the group is no longer configured.
    pub fn take_routers(&mut self) -> Vec<VirtualRouter> {
        std::mem::take(&mut self.routers)
    }

    // ---- looks at the interfaces -----------------------------------------------------------

    /// Checks for each port whether all routers on it can send: in one pass, as there may be hundreds.
    pub fn update_ports(&mut self, cx: &Context<'_>) {
        for port in &mut self.ports {
            port.handle_interface(cx.interface(port.interface));
        }
        self.can_send = false;
        for router in &self.routers {
            if router.usable() {
                self.can_send = true;
            } else if let Some(port) = self.ports.get_mut(router.port) {
                port.handle_mute_router();
            }
        }
        for tracked in &mut self.tracked {
            tracked.update(cx);
        }
    }

    pub fn update_sources(
        &mut self,
        cx: &Context<'_>,
        content: AdvertContent,
        patience_ns: u64,
    ) -> NetworkChanges {
        let mut changed = NetworkChanges::default();
        self.are_checks_stale = true;
        for router in &mut self.routers {
            let Some(port) = self.ports.get_mut(router.port) else {
                continue;
            };
            let Some(interface) = cx.interfaces.get(port.interface) else {
                continue;
            };
            let fault = interface.fault();
            let source = router.find_source(cx.now_ns, interface, patience_ns);
            if router.source.is_some() && source.is_none() {
                let missing = fault.unwrap_or("has no source address for adverts");
                changed
                    .hurt
                    .get_or_insert(format!("{} {missing}", interface.name));
                router.muting.handle_restart();
                router.answers.begin();
            }
            if router.source.is_none() && source.is_some() {
                changed.returned = true;
                // the host grants its lease again: it has not lapsed because of missing adverts
                router.adverts.resume(cx.now_ns);
            }
            if router.source.is_some() != source.is_some() {
                port.unheard.end_move();
            }
            router.source = source;
            // the interface's MAC, MTU or addresses may have changed
            router.build(interface, content);
            port.handle_usable(cx.now_ns, fault.is_none());
        }
        self.update_targets(cx);
        changed
    }

    /// Builds the packets of all virtual routers.
    pub fn build(&mut self, cx: &Context<'_>, content: AdvertContent) {
        for router in &mut self.routers {
            let port = self.ports.get(router.port);
            if let Some(interface) = port.and_then(|port| cx.interface(port.interface)) {
                router.build(interface, content);
            }
        }
    }

    /// Finds the networks by which the heartbeats of this group may leave.
    fn update_targets(&mut self, cx: &Context<'_>) {
        self.targets.clear();
        for port in self
            .ports
            .iter()
            .filter(|port| port.reception.is_expected())
        {
            let interface = cx.interface(port.interface);
            if let Some(interface) = interface.filter(|interface| interface.fault().is_none()) {
                let here = |router: &&VirtualRouter| router.config.interface == interface.name;
                let routers = self.routers.iter().filter(here);
                HeartbeatTarget::add_all(port.interface, interface, routers, &mut self.targets);
            }
        }
    }

    /// E13: marks the ports on which a lease of the active node has ended, as far as it can tell, in one pass over all
    /// routers. `lease_ns`: None unless the group is active.
    pub fn update_lapses(&mut self, now_ns: u64, lease_ns: Option<u64>) {
        for port in &mut self.ports {
            port.handle_lapse(false);
        }
        let Some(lease_ns) = lease_ns else { return };
        let lapsed = |router: &&VirtualRouter| !router.adverts.passes(now_ns, lease_ns);
        for router in self.routers.iter().filter(lapsed) {
            if let Some(port) = self.ports.get_mut(router.port) {
                port.handle_lapse(true);
            }
        }
    }

    pub fn note_checks_changed(&mut self) {
        self.are_checks_stale = true;
    }

    pub fn note_listening_changed(&mut self) {
        self.is_listening_stale = true;
    }

    pub fn take_checks_changed(&mut self) -> bool {
        std::mem::take(&mut self.are_checks_stale)
    }

    pub fn take_listening_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_listening_stale)
    }

    // ---- contents --------------------------------------------------------------------------

    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    pub fn port(&self, index: usize) -> Option<&Port> {
        self.ports.get(index)
    }

    pub fn port_mut(&mut self, index: usize) -> Option<&mut Port> {
        self.ports.get_mut(index)
    }

    pub fn ports_mut(&mut self) -> &mut [Port] {
        &mut self.ports
    }

    pub fn port_on(&self, interface: usize) -> Option<&Port> {
        self.ports.iter().find(|port| port.interface == interface)
    }

    pub fn port_on_mut(&mut self, interface: usize) -> Option<&mut Port> {
        self.ports
            .iter_mut()
            .find(|port| port.interface == interface)
    }

    fn port_named(&self, cx: &Context<'_>, name: &str) -> usize {
        let named = |port: &Port| cx.interface(port.interface).is_some_and(|i| i.name == name);
        self.ports.iter().position(named).unwrap_or(usize::MAX)
    }

    pub fn routers(&self) -> &[VirtualRouter] {
        &self.routers
    }

    pub fn router(&self, index: usize) -> Option<&VirtualRouter> {
        self.routers.get(index)
    }

    pub fn router_mut(&mut self, index: usize) -> Option<&mut VirtualRouter> {
        self.routers.get_mut(index)
    }

    pub fn routers_mut(&mut self) -> &mut [VirtualRouter] {
        &mut self.routers
    }

    /// Virtual routers on a port.
    pub fn routers_on(&self, port: &Port) -> impl Iterator<Item = &VirtualRouter> + Clone {
        let place = port.place;
        self.routers
            .iter()
            .filter(move |router| router.port == place)
    }

    /// Port of a virtual router.
    pub fn port_of(&self, router: usize) -> Option<&Port> {
        self.ports.get(self.routers.get(router)?.port)
    }

    /// Virtual router with its port.
    pub fn router_and_port(
        &mut self,
        index: usize,
    ) -> Option<(&mut VirtualRouter, Option<&mut Port>)> {
        let router = self.routers.get_mut(index)?;
        let port = self.ports.get_mut(router.port);
        Some((router, port))
    }

    pub fn tracked(&self) -> &[Tracked] {
        &self.tracked
    }

    pub fn targets(&self) -> &[HeartbeatTarget] {
        &self.targets
    }

    /// True if heartbeats leave on an interface.
    pub fn sends_heartbeats_on(&self, interface: usize) -> bool {
        self.targets
            .iter()
            .any(|target| target.interface == interface)
    }

    /// True if one of the virtual routers can send.
    pub fn can_send(&self) -> bool {
        self.can_send
    }

    /// Number of hurt interfaces, with 255 for more.
    pub fn hurt(&self) -> u8 {
        let ports = self.ports.iter().filter(|port| port.is_hurt());
        let tracked = self.tracked.iter().filter(|it| it.is_hurt);
        u8::try_from(ports.count() + tracked.count()).unwrap_or(u8::MAX)
    }

    /// Source address of adverts on an interface.
    pub fn source_on(&self, interface: usize) -> Option<IpAddr> {
        let port = self.port_on(interface)?;
        self.routers_on(port).find_map(|router| router.source)
    }
}
