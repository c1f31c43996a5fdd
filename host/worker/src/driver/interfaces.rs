//! Interfaces that the plugin follows, and the sockets that come with their events.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;
use spared_abi as abi;
use spared_contract::{Call, InterfaceEvent, LogLevel, SocketKind};

use super::Driver;
use super::host::{errno, size};

/// The sockets that the host sent for a followed interface.
#[derive(Debug, Default)]
pub struct Interface {
    generation: u64,
    sockets: Vec<(SocketKind, OwnedFd)>,
}

impl Driver {
    pub(super) fn interface(&self, event: &InterfaceEvent, descriptors: Vec<OwnedFd>) {
        let Some(old) = self.take_sockets(event, descriptors) else {
            return;
        };
        let addresses = event.raw_addresses();
        let sockets: Vec<_> = self
            .interfaces
            .borrow()
            .get(&event.name)
            .map(|interface| interface.sockets.iter().map(raw_socket).collect())
            .unwrap_or_default();
        let raw = event.to_raw(&addresses, &sockets);
        if let Some(changed) = self.plugin.interface.changed {
            // SAFETY: the plugin's contract; the event and its arrays live through the call.
            self.tell("changed", |instance| unsafe {
                changed(instance, &raw const raw)
            });
        }
        self.close_sockets(old);
    }

    /// Keeps the sockets of an event, and returns those that they replace. They are closed after
    /// the plugin has been called, so that no number means two sockets. None if the interface is
    /// not followed.
    fn take_sockets(
        &self,
        event: &InterfaceEvent,
        descriptors: Vec<OwnedFd>,
    ) -> Option<Vec<(SocketKind, OwnedFd)>> {
        let mut interfaces = self.interfaces.borrow_mut();
        let interface = interfaces.get_mut(&event.name)?;
        if !event.sockets.is_empty()
            && descriptors.is_empty()
            && event.generation == interface.generation
        {
            return Some(Vec::new());
        }
        if descriptors.len() != event.sockets.len() {
            let why = format!(
                "interface {}: {} sockets with {} descriptors",
                event.name,
                event.sockets.len(),
                descriptors.len()
            );
            self.outbound.log(LogLevel::Error, &why);
        }
        interface.generation = event.generation;
        let kinds = event.sockets.iter().copied();
        let new = kinds.zip(descriptors).collect();
        Some(std::mem::replace(&mut interface.sockets, new))
    }

    fn close_sockets(&self, sockets: Vec<(SocketKind, OwnedFd)>) {
        for (_, socket) in &sockets {
            self.watches.borrow_mut().unwatch(socket.as_raw_fd());
        }
    }

    pub(super) fn follow(&self, name: &str, sockets: u32) -> abi::Status {
        let new = !self.interfaces.borrow().contains_key(name);
        if new {
            self.interfaces
                .borrow_mut()
                .insert(name.to_owned(), Interface::default());
        }
        let interface = name.to_owned();
        let status = self.call(Call::Follow { interface, sockets });
        if new && status < 0 {
            self.interfaces.borrow_mut().remove(name);
        }
        status
    }

    pub(super) fn unfollow(&self, name: &str) -> abi::Status {
        let Some(interface) = self.interfaces.borrow_mut().remove(name) else {
            return errno(Errno::NOENT);
        };
        self.close_sockets(interface.sockets);
        self.call(Call::Unfollow {
            interface: name.to_owned(),
        })
    }
}

fn raw_socket((kind, socket): &(SocketKind, OwnedFd)) -> abi::Socket {
    abi::Socket {
        size: size::<abi::Socket>(),
        kind: kind.to_raw(),
        fd: socket.as_raw_fd(),
        reserved: 0,
    }
}
