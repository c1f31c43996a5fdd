//! Applies a new configuration while running: only differences, without a restart of any timer.

use std::collections::HashMap;
use std::sync::Arc;

use spared_sdk::{CauseKind, Role};

use super::group::{Group, State};
use super::interface::{Interface, InterfaceFacts, Virtuals};
use super::router::VirtualRouter;
use super::{Action, Context, Engine};
use crate::config::{self, Settings};
use crate::election::RoleReason;

pub(super) fn apply(engine: &mut Engine, now_ns: u64, settings: &Settings) {
    add_interfaces(engine, settings);
    Virtuals::share(settings, &mut engine.interfaces);
    engine.peer = settings.peer.as_deref().map(Arc::from);
    let mut removed = replace_groups(engine, now_ns, settings);
    for group in &mut removed {
        engine.on(now_ns, group, |group, cx| group.leave(cx));
    }
    for (index, config) in settings.groups.iter().enumerate() {
        engine.with_group(now_ns, index, |group, cx| group.reconfigure(cx, config));
    }
    engine.routers = index(&engine.groups);
    let ids = engine.groups.iter().zip(0..);
    let ids = ids.map(|(group, index)| (group.own_heartbeat.id(), index));
    engine.ids = ids.collect();
    forget_interfaces(engine, settings);
    engine.begin_round_soon(now_ns);
    engine.each_group(now_ns, |group, cx| {
        group.check_lapse(cx);
        group.refresh(cx);
    });
    engine.report_checks();
    for interface in 0..engine.interfaces.len() {
        engine.update_listening(now_ns, interface);
    }
}

/// Adds the interfaces that the engine does not know yet.
fn add_interfaces(engine: &mut Engine, settings: &Settings) {
    for name in interfaces(settings) {
        if engine.interface_index(name).is_none() {
            engine.interfaces.push(Interface::new(name));
        }
    }
}

/// Forgets the state of interfaces that are no longer configured: the host does not report them any more.
fn forget_interfaces(engine: &mut Engine, settings: &Settings) {
    for interface in &mut engine.interfaces {
        if !interfaces(settings).any(|name| name == interface.name) {
            (interface.known, interface.facts) = (false, InterfaceFacts::default());
        }
    }
}

/// Interfaces of all groups, some more than once.
fn interfaces(settings: &Settings) -> impl Iterator<Item = &str> {
    settings.groups.iter().flat_map(|group| {
        let of_routers = group.routers.iter().map(|router| router.interface.as_str());
        of_routers.chain(group.tracked().map(|(name, _)| name))
    })
}

/// Gives the engine the groups of the settings: those that stay, and new ones. Returns those that are no longer there.
fn replace_groups(engine: &mut Engine, now_ns: u64, settings: &Settings) -> Vec<Group> {
    let mut old: Vec<Group> = std::mem::take(&mut engine.groups);
    for config in &settings.groups {
        let named = |group: &Group| *group.name == *config.name;
        // another version is another protocol: the group starts again, as the host directs it
        let same = |group: &Group| named(group) && group.config.version == config.version;
        let group = match old.iter().position(same) {
            Some(index) => old.swap_remove(index),
            None => {
                let mut group = Group::new(config.clone(), now_ns);
                if let Some(was) = old.iter().find(|group| named(group)) {
                    let directive = was.candidacy.directive().clone();
                    group.candidacy.handle_directive(directive);
                }
                group
            }
        };
        engine.groups.push(group);
    }
    old
}

fn index(groups: &[Group]) -> HashMap<(usize, crate::wire::Family, u8), (usize, usize)> {
    let mut index = HashMap::new();
    for (g, group) in groups.iter().enumerate() {
        for (r, router) in group.routers().enumerate() {
            if let Some(port) = group.networks.port(router.port) {
                index.insert(
                    (port.interface, router.config.family, router.config.vrid),
                    (g, r),
                );
            }
        }
    }
    index
}

impl Engine {
    /// Calls a group that is no longer in the list.
    fn on(
        &mut self,
        now_ns: u64,
        group: &mut Group,
        call: impl FnOnce(&mut Group, &mut Context<'_>),
    ) {
        let (_, mut cx) = self.surroundings(now_ns, usize::MAX);
        call(group, &mut cx);
    }
}

impl Group {
    fn reconfigure(&mut self, cx: &mut Context<'_>, config: &config::Group) {
        let was = std::mem::replace(&mut self.config, config.clone());
        let old = self.networks.configure(cx, &was, config);
        self.forget_heartbeats(cx);
        if self.is_active() {
            for router in old {
                self.send_last_adverts(cx, &router);
            }
        }
        self.change_interval(cx, was.interval_ns);
    }

    /// Ends what depends on heartbeats on networks that no longer have any: there adverts count, and the peer's silence
    /// means nothing.
    fn forget_heartbeats(&mut self, cx: &mut Context<'_>) {
        for index in 0..self.networks.ports().len() {
            let port = self.networks.port_mut(index);
            let Some(port) = port.filter(|port| !port.reception.is_expected()) else {
                continue;
            };
            port.reception.end_heartbeats();
            self.end_both_ways_check(index);
            self.note_heard(cx, index);
        }
    }

    fn change_interval(&mut self, cx: &Context<'_>, was_ns: u64) {
        let interval_ns = self.config.interval_ns;
        if interval_ns == was_ns {
            return;
        }
        let is_active = self.is_active();
        if self.lease.change_interval(&self.config, is_active) {
            if let State::Active { advert_ns, .. } = &mut self.state {
                *advert_ns = (*advert_ns).min(cx.now_ns.saturating_add(interval_ns));
            }
        }
        self.watch.change_interval(was_ns, interval_ns);
    }

    /// Gives up the role of a group that is no longer configured.
    fn leave(&mut self, cx: &mut Context<'_>) {
        if matches!(self.state, State::Initialize { .. } | State::Backup { .. }) {
            return;
        }
        self.publish(cx, Role::Backup, RoleReason::of(CauseKind::Withdrawn));
        for router in self.networks.take_routers() {
            self.send_last_adverts(cx, &router);
        }
    }

    /// Sends priority 0 for a router that is no longer configured; the action owns the packets.
    fn send_last_adverts(&self, cx: &mut Context<'_>, router: &VirtualRouter) {
        let interface = cx
            .interfaces
            .iter()
            .position(|i| i.name == router.config.interface);
        let Some(interface) = interface.filter(|_| router.usable()) else {
            return;
        };
        for packet in router.adverts.packets() {
            let (to, bytes) = (packet.to, packet.resign.clone());
            cx.push(Action::LastAdvert {
                interface,
                to,
                bytes,
            });
        }
    }
}
