//! Sends interface events to the plugins that follow the interfaces.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use spared_contract::{InterfaceEvent, ToPlugin};
use spared_group::Ticket;
use spared_kernel::ANY;
use spared_message::notice::{Kind, Notice};
use spared_process::clock;
use spared_supervisor::Supervisor;
use spared_verdict::InterfaceLack;

use super::Network;
use super::follows::EventPart;

/// State of an interface, for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceState {
    /// Reason why the interface is not up; None if it is up.
    pub lack: Option<InterfaceLack>,
    pub since: String,
}

impl InterfaceState {
    pub fn word(&self) -> &'static str {
        self.lack.map_or("up", InterfaceLack::word)
    }
}

impl Network {
    /// Returns the state of all followed interfaces, by name.
    pub fn interfaces(&self) -> &BTreeMap<String, InterfaceState> {
        &self.seen
    }

    /// Handles a call of a plugin that follows an interface. Returns an event if the state changed and was not reported
    /// yet.
    pub fn handle_follow(
        &mut self,
        now: Instant,
        supervisor: &mut Supervisor,
        ticket: &Ticket,
        interface: &str,
        sockets: u32,
    ) -> Option<Notice> {
        let plugin = &ticket.plugin;
        let is_elector = supervisor.provides_groups(plugin);
        let status = self.may_follow(plugin, is_elector, interface, sockets);
        // The plugin waits for the answer, so slow work is done afterwards.
        supervisor.answer_call(now, ticket, status);
        match status {
            0 => self.follow(now, supervisor, plugin, interface, sockets),
            _ => None,
        }
    }

    /// Handles a call of a plugin that no longer follows an interface.
    pub fn handle_unfollow(
        &mut self,
        now: Instant,
        supervisor: &mut Supervisor,
        ticket: &Ticket,
        interface: &str,
    ) {
        let is_followed = self.follows.sockets(interface, &ticket.plugin).is_some();
        let status = if is_followed { 0 } else { -libc::ENOENT };
        supervisor.answer_call(now, ticket, status);
        self.unfollow(&ticket.plugin, interface);
    }

    /// Follows an interface for a plugin. The plugin gets the state if it runs.
    fn follow(
        &mut self,
        now: Instant,
        supervisor: &mut Supervisor,
        plugin: &str,
        interface: &str,
        sockets: u32,
    ) -> Option<Notice> {
        if let Err(error) = self.kernel.follow(interface, sockets) {
            log::warn!("{plugin}: cannot follow {interface}: {error}");
            return None;
        }
        if self.follows.add(interface, plugin, sockets) {
            // `Kernel::follow` counts callers, and this one was counted before.
            self.kernel.unfollow(interface);
        }
        self.may_have_events = true;
        let notice = self.note_interface(interface);
        if supervisor.is_running(plugin) {
            self.send_interface(now, supervisor, plugin, interface);
        }
        notice
    }

    fn unfollow(&mut self, plugin: &str, interface: &str) {
        if self.follows.remove(interface, plugin) {
            self.kernel.unfollow(interface);
        }
        if self.follows.followers(interface).is_empty() {
            self.seen.remove(interface);
        }
    }

    pub(super) fn unfollow_all(&mut self, plugin: &str) {
        for interface in self.follows.of(plugin) {
            self.unfollow(plugin, &interface);
        }
    }

    /// Sends a plugin that has started the present state of all interfaces that it follows.
    pub fn replay_interfaces(&mut self, now: Instant, supervisor: &mut Supervisor, plugin: &str) {
        for interface in self.follows.of(plugin) {
            self.send_interface(now, supervisor, plugin, &interface);
        }
    }

    /// Handles a change of an interface. Returns the event about it.
    pub(super) fn handle_interface(
        &mut self,
        now: Instant,
        supervisor: &mut Supervisor,
        interface: &str,
    ) -> Option<Notice> {
        let notice = self.note_interface(interface);
        for plugin in self.follows.followers(interface) {
            if supervisor.is_running(&plugin) {
                self.send_interface(now, supervisor, &plugin, interface);
            }
        }
        notice
    }

    fn send_interface(
        &mut self,
        now: Instant,
        supervisor: &mut Supervisor,
        plugin: &str,
        interface: &str,
    ) {
        let Some(wanted) = self.follows.sockets(interface, plugin) else {
            return;
        };
        let Some((event, mut descriptors)) = self.kernel.interface_with(interface, wanted) else {
            return;
        };
        match self.follows.send(interface, plugin, &event) {
            EventPart::Nothing => return,
            EventPart::Event => descriptors.clear(),
            EventPart::EventAndDescriptors => {}
        }
        let descriptors: &[BorrowedFd<'_>] = &descriptors;
        supervisor.send(now, plugin, &ToPlugin::Interface(event), descriptors);
    }

    /// Stores the state of an interface and the time of its change. Returns an event if it changed.
    fn note_interface(&mut self, interface: &str) -> Option<Notice> {
        if interface == ANY {
            return None;
        }
        let (event, _) = self.kernel.interface(interface)?;
        let state = InterfaceState {
            lack: lack(&event, self.kernel.is_port(interface)),
            since: clock::now(),
        };
        let known = self.seen.get(interface);
        if known.is_some_and(|known| known.lack == state.lack) {
            return None;
        }
        let notice = known.map(|_| {
            let text = format!("interface {interface}: {}", state.word());
            Notice::new(Kind::Interface, text).because(reason(state.lack))
        });
        self.seen.insert(interface.to_owned(), state);
        notice
    }
}

fn lack(event: &InterfaceEvent, is_port: bool) -> Option<InterfaceLack> {
    match (event.present, event.up, event.carrier) {
        (false, ..) => Some(InterfaceLack::Existence),
        (true, false, _) => Some(InterfaceLack::Up),
        (true, true, _) if is_port => Some(InterfaceLack::Freedom),
        (true, true, false) => Some(InterfaceLack::Carrier),
        (true, true, true) => None,
    }
}

fn reason(lack: Option<InterfaceLack>) -> &'static str {
    match lack {
        Some(InterfaceLack::Carrier) => "no-carrier",
        Some(InterfaceLack::Freedom) => "port",
        Some(InterfaceLack::Up) => "down",
        Some(InterfaceLack::Existence) => "absent",
        None => "up",
    }
}
