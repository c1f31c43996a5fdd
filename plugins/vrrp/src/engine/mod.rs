//! The VRRP state machine, without I/O: the driver passes in every packet and every time.
//!
//! Feed it with [`Engine::configure`], [`Engine::handle_interface`], [`Engine::handle_frame`],
//! [`Engine::handle_station`], [`Engine::handle_neighbours`], [`Engine::handle_directive`],
//! [`Engine::handle_published`], [`Engine::handle_unsent`], [`Engine::handle_heartbeat`],
//! [`Engine::handle_switch_over_answer`] and [`Engine::handle_timeout`]. After each call drain [`Engine::poll_action`]
//! until it is empty, then arm a timer for [`Engine::next_timeout`]. Read every waiting frame from the sockets and pass
//! it in before three steps: before `handle_timeout` takes something over ([`Engine::takes_over`]), before
//! `poll_action` asks the host to be active ([`Engine::asks_to_be_active`]), and before `handle_published` says that
//! the fence is passing. A frame that was received counts, however late the loop is.
//!
//! In addition, pass the addresses that stations claim to [`Engine::handle_claim`], and call
//! [`Engine::check_addresses`] at [`Engine::address_check_timeout`].
//!
//! Times are nanoseconds of the monotonic clock.

mod active_down;
mod active_router;
mod adverts;
mod candidacy;
mod checks;
mod conflict;
mod contact;
mod context;
mod counters;
mod dropped_mac_memory;
mod duplicates;
mod eligibility;
mod events;
mod failover_delay;
mod fence_lease;
mod group;
mod heartbeat_targets;
mod identities;
mod identity_rows;
mod interface;
mod lapse;
mod metrics;
mod muting;
mod network_heartbeats;
mod networks;
mod one_way;
mod own_adverts;
mod own_heartbeat;
mod peer;
mod peer_heartbeats;
mod peer_reasons;
mod peer_silence;
mod port;
mod probing;
mod promotion;
mod publication;
mod queue;
mod reasons;
mod receive;
mod received_adverts;
mod reception;
mod reload;
mod rounds;
mod router;
mod senders;
mod sending;
mod source;
mod start;
mod stations;
mod status;
mod switchover;
mod term;
pub(crate) mod totals;
mod tracked;
mod unheard;
mod unheard_port;
mod virtual_identity;
mod virtual_mac_probe;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use spared_sdk::{Cause, Role};

use crate::config::Settings;
use spared_sdk::Directive;

use crate::wire::Family;

use context::Context;
use duplicates::Duplicates;
use failover_delay::LinkReception;
use group::{Group, State};
use interface::Interface;
use port::Port;
use queue::Queue;
use rounds::Rounds;

pub use heartbeat_targets::{HeartbeatTarget, Neighbour, Path};
pub use interface::InterfaceFacts;
pub use status::Table;
pub use switchover::SwitchoverAnswer;

/// Actions for the driver, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Publish the role, wait for the answer and pass it to [`Engine::handle_published`] before anything else.
    Publish {
        group: Arc<str>,
        role: Role,
        cause: Cause,
    },
    /// Publish another cause for the same role; there is no answer.
    Explain {
        group: Arc<str>,
        role: Role,
        cause: Cause,
    },
    /// Have every fence lease of an active group granted again, after reading the sockets until they are empty; pass
    /// the answer to [`Engine::handle_published`].
    Reopen {
        group: Arc<str>,
        cause: Cause,
    },
    /// Send [`Engine::packet`].
    Transmit(PacketId),
    /// Send [`Engine::heartbeat`] over every link and to each of its targets.
    Heartbeat,
    /// Report a check: an interface of a router, named after it. 100 is good, 0 is not.
    Check {
        name: String,
        weight: u32,
        state: u32,
        why: &'static str,
    },
    ForgetCheck(String),
    /// Ask the host to switch the group over; pass its answer to [`Engine::handle_switch_over_answer`].
    SwitchOver {
        group: Arc<str>,
        cause: Cause,
    },
    /// Send a last packet of a router that is no longer configured.
    LastAdvert {
        interface: usize,
        to: Option<IpAddr>,
        bytes: Vec<u8>,
    },
    Announce(Arc<str>),
    /// For `sparectl events`.
    Event(String),
    /// Event: another router is active too, or no longer is.
    Conflict(String),
    Warn(String),
    Info(String),
    /// Start or stop reading the stations' socket of an interface; drop waiting frames.
    Listen {
        interface: usize,
        on: bool,
    },
    /// Pass the kernel's neighbours there to [`Engine::handle_neighbours`].
    FindNeighbours(usize),
    /// Send a frame through the stations' socket.
    Probe {
        interface: usize,
        frame: Vec<u8>,
    },
}

/// One of the prebuilt packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketId {
    group: usize,
    router: usize,
    packet: usize,
    resign: bool,
}

/// A packet to send now.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    pub interface: usize,
    /// Destination of the IP packet in `bytes`; None: `bytes` is a whole frame.
    pub to: Option<IpAddr>,
    pub bytes: &'a [u8],
}

/// All groups of this node.
#[cfg_attr(test, derive(Clone))]
#[derive(Default)]
pub struct Engine {
    node: String,
    /// The other node's name.
    peer: Option<Arc<str>>,
    links: Vec<String>,
    /// Heartbeats heard on each link, in the order of `links`.
    links_heard: Vec<LinkReception>,
    keys: bool,
    /// Time since which the hosts have a session.
    session_since_ns: Option<u64>,
    interfaces: Vec<Interface>,
    groups: Vec<Group>,
    /// (interface, family, vrid) to (group, router).
    routers: HashMap<(usize, Family, u8), (usize, usize)>,
    /// Group by its id in heartbeats.
    ids: HashMap<u64, usize>,
    rounds: Rounds,
    duplicates: Duplicates,
    actions: Queue,
}

impl Engine {
    /// An engine without groups.
    pub fn new(node: &str) -> Engine {
        Engine {
            node: node.to_owned(),
            actions: Queue::new(),
            ..Self::default()
        }
    }

    /// Applies a configuration, the first or a new one: groups that stay keep their role and timers.
    pub fn configure(&mut self, now_ns: u64, settings: &Settings) {
        reload::apply(self, now_ns, settings);
    }

    /// Sets the links that carry heartbeats, by the names of their interfaces. Called before the first configuration,
    /// so that a start knows that it may wait for the peer (E8).
    pub fn set_links(&mut self, now_ns: u64, names: &[String]) {
        if self.links != names {
            self.links = names.to_vec();
            self.links_heard = vec![LinkReception::default(); names.len()];
        }
        self.each_group(now_ns, |_, _| {});
    }

    /// Sets whether keys are configured by which the nodes know each other. Called before a configuration.
    pub fn set_keys(&mut self, are_there: bool) {
        self.keys = are_there;
        if !are_there {
            let ports = self
                .groups
                .iter_mut()
                .flat_map(|group| group.networks.ports_mut());
            ports.for_each(|port| port.reception.end_heartbeats());
        }
    }

    /// Sets whether the hosts have a session; without a session there is no switchover.
    pub fn set_session(&mut self, now_ns: u64, is_up: bool) {
        self.session_since_ns = is_up.then(|| self.session_since_ns.unwrap_or(now_ns));
    }

    /// Interfaces of all groups, in the order of their indices in actions.
    pub fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.interfaces
            .iter()
            .map(|interface| interface.name.as_str())
    }

    pub fn interface_index(&self, name: &str) -> Option<usize> {
        self.interfaces
            .iter()
            .position(|interface| interface.name == name)
    }

    /// An interface appeared, disappeared or changed.
    pub fn handle_interface(&mut self, now_ns: u64, name: &str, facts: &InterfaceFacts) {
        let Some(index) = self.interface_index(name) else {
            return;
        };
        if let Some(interface) = self.interfaces.get_mut(index) {
            interface.known = true;
            interface.facts = facts.clone();
        }
        self.each_group(now_ns, |group, cx| {
            if group.uses(index) {
                group.check_lapse(cx);
                group.refresh(cx);
            }
        });
    }

    /// Handles the host's directive for a group.
    pub fn handle_directive(&mut self, now_ns: u64, group: &str, directive: &Directive) {
        let Some(index) = self.groups.iter().position(|g| *g.name == *group) else {
            return;
        };
        self.with_group(now_ns, index, |group, cx| {
            group.check_lapse(cx);
            group.handle_directive(cx, directive);
        });
    }

    /// Answers [`Action::Publish`].
    pub fn handle_published(&mut self, now_ns: u64, group: &str, role: Role, done: bool) {
        let Some(index) = self.groups.iter().position(|g| *g.name == *group) else {
            return;
        };
        self.with_group(now_ns, index, |group, cx| {
            group.handle_published(cx, role, done)
        });
    }

    /// True if a request to be active still holds, given what was heard since.
    pub fn wants_active(&self, group: &str) -> bool {
        let group = self.groups.iter().find(|it| *it.name == *group);
        group.is_some_and(|group| {
            matches!(group.state, State::Active { .. } | State::Promoting { .. })
        })
    }

    /// The system refused a packet: its advert did not renew the lease.
    pub fn handle_unsent(&mut self, now_ns: u64, packet: PacketId) {
        if packet.resign {
            return;
        }
        self.with_group(now_ns, packet.group, |group, cx| {
            group.handle_unsent(cx, packet.router, packet.packet)
        });
    }

    /// The shutdown of RFC 9568: every group resigns.
    pub fn shut_down(&mut self, now_ns: u64) {
        self.each_group(now_ns, |group, cx| group.shut_down(cx));
    }

    /// E12: another machine has sent as this run, so another run begins.
    pub fn handle_cloned(&mut self, now_ns: u64) {
        let text = "another machine has sent this run's heartbeats: a clone, or a snapshot that was resumed; \
                    this node begins another run, as backup";
        self.actions.push(Action::Event(text.to_owned()));
        self.each_group(now_ns, |group, cx| group.handle_cloned(cx));
    }

    /// Longest failover time of the groups.
    pub fn longest_silence_ns(&self) -> u64 {
        let groups = self.groups.iter().map(Group::active_down_ns);
        groups.max().unwrap_or(0)
    }

    /// Sends adverts ahead of time, before a call that may take long.
    pub fn advertise_now(&mut self, now_ns: u64) {
        self.each_group(now_ns, |group, cx| {
            group.check_lapse(cx);
            group.advertise_ahead(cx);
        });
    }

    /// Handles everything that is due.
    pub fn handle_timeout(&mut self, now_ns: u64) {
        self.begin_round(now_ns);
        self.each_group(now_ns, |group, cx| {
            group.check_lapse(cx);
            group.handle_timeout(cx);
        });
        self.probe_networks(now_ns);
        self.probe_virtual_macs(now_ns);
    }

    /// Tries at once whether refused adverts leave again, and forgets which virtual identities were dropped. Called for
    /// an administrator who has fixed the fault. Returns the number of virtual routers that are tried.
    pub fn retry(&mut self, now_ns: u64) -> u64 {
        let mut tried = 0;
        for router in self
            .groups
            .iter_mut()
            .flat_map(|group| group.networks.routers_mut())
        {
            if router.muting.is_muted() {
                router.muting.end_pause(now_ns);
                tried += 1;
            }
        }
        let ports = self
            .groups
            .iter_mut()
            .flat_map(|group| group.networks.ports_mut());
        ports.for_each(Port::forget_identities);
        tried
    }

    /// True if [`Engine::handle_timeout`] would take over a group now: pass in the frames waiting in the sockets first.
    pub fn takes_over(&self, now_ns: u64) -> bool {
        self.groups.iter().any(|group| group.takes_over(now_ns))
    }

    /// Time of the next [`Engine::handle_timeout`].
    pub fn next_timeout(&self) -> Option<u64> {
        let groups = self.groups.iter().filter_map(Group::next_timeout);
        let rounds = self.round_timeout().into_iter();
        let virtual_mac_probes = self
            .interfaces
            .iter()
            .filter_map(|there| there.virtual_mac_probes.timeout());
        let others = rounds.chain(self.probe_timeout()).chain(virtual_mac_probes);
        groups.chain(others).min()
    }

    /// The bytes of [`Action::Transmit`].
    pub fn packet(&self, id: PacketId) -> Option<Outgoing<'_>> {
        let group = self.groups.get(id.group)?;
        let router = group.networks.router(id.router)?;
        let packet = router.adverts.packets().get(id.packet)?;
        let bytes = if id.resign {
            &packet.resign
        } else {
            &packet.advert
        };
        Some(Outgoing {
            interface: group.networks.port(router.port)?.interface,
            to: packet.to,
            bytes,
        })
    }

    /// Returns a group and the context of its calls.
    fn context(&mut self, now_ns: u64, index: usize) -> Option<(&mut Group, Context<'_>)> {
        let (groups, cx) = self.surroundings(now_ns, index);
        Some((groups.get_mut(index)?, cx))
    }

    /// Returns all groups, and the context of one of them.
    fn surroundings(&mut self, now_ns: u64, group: usize) -> (&mut [Group], Context<'_>) {
        let cx = Context {
            now_ns,
            node: &self.node,
            peer: self.peer.as_ref(),
            links: &self.links,
            keys: self.keys,
            session: self.session_since_ns.is_some(),
            interfaces: &self.interfaces,
            actions: &mut self.actions,
            group,
        };
        (&mut self.groups, cx)
    }

    fn with_group(
        &mut self,
        now_ns: u64,
        index: usize,
        call: impl FnOnce(&mut Group, &mut Context<'_>),
    ) {
        let Some((group, mut cx)) = self.context(now_ns, index) else {
            return;
        };
        call(group, &mut cx);
        group.send_if_changed(&mut cx);
        let checks_are_stale = group.networks.take_checks_changed();
        if group.networks.take_listening_changed() {
            self.update_listening_of(now_ns, index);
        }
        if checks_are_stale {
            self.report_checks();
        }
    }

    fn each_group(&mut self, now_ns: u64, mut call: impl FnMut(&mut Group, &mut Context<'_>)) {
        for index in 0..self.groups.len() {
            self.with_group(now_ns, index, &mut call);
        }
    }
}
