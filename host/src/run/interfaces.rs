//! Interface events for the plugins that follow them.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use spared_kernel::ANY;
use spared_pair::InterfaceLack;
use spared_process::clock;
use spared_worker::message::{InterfaceEvent, ToWorker};

use super::core::Core;
use super::follows::Parcel;
use crate::events::{Kind, Notice};

/// State of an interface, for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceState {
    /// What the interface lacks to be up. None: it is up.
    pub lack: Option<InterfaceLack>,
    pub since: String,
}

impl InterfaceState {
    pub fn word(&self) -> &'static str {
        self.lack.map_or("up", InterfaceLack::word)
    }
}

impl Core {
    pub(super) fn follow(&mut self, now: Instant, plugin: &str, interface: &str, sockets: u32) {
        if let Err(error) = self.kernel.follow(interface, sockets) {
            return log::warn!("{plugin}: cannot follow {interface}: {error}");
        }
        if self.follows.add(interface, plugin, sockets) {
            // `Kernel::follow` counts callers, and this one was counted before.
            self.kernel.unfollow(interface);
        }
        self.kernel_touched = true;
        self.note_interface(interface);
        if self.supervisor.is_running(plugin) {
            self.send_interface(now, plugin, interface);
        }
    }

    pub(super) fn unfollow(&mut self, plugin: &str, interface: &str) {
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
    pub(super) fn replay_interfaces(&mut self, now: Instant, plugin: &str) {
        for interface in self.follows.of(plugin) {
            self.send_interface(now, plugin, &interface);
        }
    }

    pub(super) fn handle_interface(&mut self, now: Instant, interface: &str) {
        self.note_interface(interface);
        for plugin in self.follows.followers(interface) {
            if self.supervisor.is_running(&plugin) {
                self.send_interface(now, &plugin, interface);
            }
        }
    }

    fn send_interface(&mut self, now: Instant, plugin: &str, interface: &str) {
        let Some(wanted) = self.follows.sockets(interface, plugin) else {
            return;
        };
        let Some((event, mut descriptors)) = self.kernel.interface_with(interface, wanted) else {
            return;
        };
        match self.follows.send(interface, plugin, &event) {
            Parcel::Nothing => return,
            Parcel::Event => descriptors.clear(),
            Parcel::EventAndDescriptors => {}
        }
        let descriptors: &[BorrowedFd<'_>] = &descriptors;
        self.supervisor
            .send(now, plugin, &ToWorker::Interface(event), descriptors);
    }

    /// Notes the state of an interface and since when, and records an event if it changed.
    fn note_interface(&mut self, interface: &str) {
        if interface == ANY {
            return;
        }
        let Some((event, _)) = self.kernel.interface(interface) else {
            return;
        };
        let state = InterfaceState {
            lack: lack(&event),
            since: clock::now(),
        };
        let known = self.seen.get(interface);
        if known.is_some_and(|known| known.lack == state.lack) {
            return;
        }
        if known.is_some() {
            let text = format!("interface {interface}: {}", state.word());
            let notice = Notice::new(Kind::Interface, text);
            self.events.record(notice.because(reason(state.lack)));
        }
        self.seen.insert(interface.to_owned(), state);
    }
}

fn lack(event: &InterfaceEvent) -> Option<InterfaceLack> {
    match (event.present, event.up, event.carrier) {
        (false, ..) => Some(InterfaceLack::Existence),
        (true, false, _) => Some(InterfaceLack::Up),
        (true, true, false) => Some(InterfaceLack::Carrier),
        (true, true, true) => None,
    }
}

fn reason(lack: Option<InterfaceLack>) -> &'static str {
    match lack {
        Some(InterfaceLack::Carrier) => "no-carrier",
        Some(InterfaceLack::Up) => "down",
        Some(InterfaceLack::Existence) => "absent",
        None => "up",
    }
}
