//! Interfaces that the plugin follows, and the sockets that come with their events.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;

use rustix::io::Errno;
use spared_abi as abi;
use spared_contract::{Call, InterfaceEvent, LogLevel, SocketKind};

use super::Driver;
use super::core::{Core, errno};
use crate::{OpenSockets, Plugin};

/// Sockets of an interface. If a callback stops following the interface, they stay open until it returns.
type Sockets = Rc<Vec<(SocketKind, OwnedFd)>>;

/// Followed interfaces by name.
pub(super) type Followed = HashMap<String, Interface>;

/// State that the daemon sent for a followed interface.
#[derive(Debug, Default)]
pub(super) struct Interface {
    generation: u64,
    sockets: Sockets,
}

impl Core {
    pub(crate) fn follow(&self, name: &str, sockets: u32) -> abi::Status {
        if let Err(why) = spared_contract::check_interface(name) {
            return self.refuse("follow", &why);
        }
        let is_new = !self.followed.borrow().contains_key(name);
        if is_new {
            let mut followed = self.followed.borrow_mut();
            followed.insert(name.to_owned(), Interface::default());
        }
        let interface = name.to_owned();
        let status = self.call(Call::Follow { interface, sockets });
        if is_new && status < 0 {
            self.followed.borrow_mut().remove(name);
        }
        status
    }

    pub(crate) fn unfollow(&self, name: &str) -> abi::Status {
        let Some(interface) = self.followed.borrow_mut().remove(name) else {
            return errno(Errno::NOENT);
        };
        self.unwatch(&interface.sockets);
        self.call(Call::Unfollow {
            interface: name.to_owned(),
        })
    }

    /// Stores the sockets of an event. Returns them and the sockets that they replace. The old ones are closed after
    /// the plugin has been called, so that a number never means two sockets at once. None if the interface is not
    /// followed.
    fn take_sockets(
        &self,
        event: &InterfaceEvent,
        descriptors: Vec<OwnedFd>,
    ) -> Option<(Sockets, Sockets)> {
        let mut followed = self.followed.borrow_mut();
        let interface = followed.get_mut(&event.name)?;
        let is_same = event.generation == interface.generation;
        if !event.sockets.is_empty() && descriptors.is_empty() && is_same {
            return Some((Rc::clone(&interface.sockets), Sockets::default()));
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
        let new = Rc::new(kinds.zip(descriptors).collect());
        let old = std::mem::replace(&mut interface.sockets, Rc::clone(&new));
        Some((new, old))
    }

    fn unwatch(&self, sockets: &Sockets) {
        for (_, socket) in sockets.iter() {
            self.watches.borrow_mut().unwatch(socket.as_raw_fd());
        }
    }
}

impl<T: Plugin> Driver<T> {
    pub(super) fn interface(&mut self, mut event: InterfaceEvent, descriptors: Vec<OwnedFd>) {
        let Some(changed) = self.parts.changed else {
            return;
        };
        let Some((open, old)) = self.core.take_sockets(&event, descriptors) else {
            return;
        };
        let lent: OpenSockets<'_> = open.iter().map(|(kind, it)| (*kind, it.as_fd())).collect();
        event.sockets = open.iter().map(|(kind, _)| *kind).collect();
        self.enter("changed", |plugin| changed(plugin, &event, &lent));
        self.core.unwatch(&old);
    }
}
