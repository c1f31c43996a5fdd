//! Follows interfaces: their sockets, and their state for the engine.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use spared_sdk::{
    Error, Interest, InterfaceEvent, InterfaceHandle, Interfaces, OpenSockets, Sockets as Wanted,
};

use crate::Vrrp;
use crate::config::{Group, Settings};
use crate::engine::{Engine, InterfaceFacts};
use crate::links::Links;
use crate::sockets::Sockets;

impl Interfaces for Vrrp {
    fn changed(&mut self, event: &InterfaceEvent, sockets: &OpenSockets<'_>) {
        self.link_changed(&event.name, sockets);
        self.router_changed(event, sockets);
    }
}

/// Interfaces of which the host tells, each with the sockets that it opens there.
pub(crate) struct FollowedInterfaces {
    handle: InterfaceHandle,
    sockets: BTreeMap<String, Wanted>,
}

impl FollowedInterfaces {
    pub(crate) fn new(handle: InterfaceHandle) -> FollowedInterfaces {
        FollowedInterfaces {
            handle,
            sockets: BTreeMap::new(),
        }
    }

    fn unwanted(&self, wanted: &BTreeMap<String, Wanted>) -> Vec<String> {
        let names = self.sockets.keys();
        let gone = names.filter(|name| !wanted.contains_key(*name));
        gone.cloned().collect()
    }

    fn follow(&mut self, wanted: BTreeMap<String, Wanted>) -> Result<(), Error> {
        for (name, sockets) in &wanted {
            if self.sockets.get(name) != Some(sockets) {
                self.handle.follow(name, *sockets)?;
            }
        }
        self.sockets = wanted;
        Ok(())
    }
}

impl Vrrp {
    pub(crate) fn follow_interfaces(&mut self, settings: &Settings) -> Result<(), Error> {
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
        let routers = settings.groups.iter().flat_map(|group| &group.routers);
        for router in routers {
            wanted.insert(router.interface.clone(), Wanted::VRRP);
        }
        let tracked = settings.groups.iter().flat_map(Group::tracked);
        for (interface, _) in tracked {
            wanted.entry(interface.to_owned()).or_insert(Wanted::NONE);
        }
        for link in self.links.iter().flat_map(Links::interfaces) {
            let sockets = wanted.entry(link.to_owned()).or_insert(Wanted::NONE);
            *sockets = *sockets | Wanted::HEARTBEAT;
        }
        for gone in self.followed.unwanted(&wanted) {
            self.followed.handle.unfollow(&gone)?;
            let engine = self.engine.as_ref();
            if let Some(index) = engine.and_then(|engine| engine.interface_index(&gone)) {
                self.close(index);
            }
        }
        self.followed.follow(wanted)
    }

    pub(crate) fn close(&mut self, index: usize) {
        let gone = self.sockets.get_mut(index).map(Sockets::take);
        self.unwatch(gone.unwrap_or_default());
    }

    fn watch(&self, interface: &str, fd: RawFd) {
        if let Err(error) = self.host.watch_fd(fd, Interest::READ) {
            log::error!("{interface}: {error}");
        }
    }

    /// Ends the watch over sockets, then closes them.
    pub(crate) fn unwatch(&self, gone: Vec<OwnedFd>) {
        for fd in &gone {
            self.host.unwatch_fd(fd.as_raw_fd());
        }
    }

    fn link_changed(&mut self, interface: &str, offered: &OpenSockets<'_>) {
        let Some(links) = &mut self.links else { return };
        let (gone, new) = links.update(interface, offered);
        self.unwatch(gone);
        if let Some(fd) = new {
            self.watch(interface, fd);
            self.request_hello();
        }
    }

    fn router_changed(&mut self, event: &InterfaceEvent, offered: &OpenSockets<'_>) {
        let engine = self.engine.as_ref();
        let Some(index) = engine.and_then(|engine| engine.interface_index(&event.name)) else {
            return;
        };
        if self.sockets.len() <= index {
            self.sockets.resize_with(index + 1, Sockets::default);
        }
        let Some(sockets) = self.sockets.get_mut(index) else {
            return;
        };
        let (before, stations) = (sockets.watched(), sockets.stations());
        let gone = sockets.update(event.index, offered);
        let (watched, link) = (sockets.watched(), sockets.link());
        let answers = sockets.stations().filter(|fd| Some(*fd) != stations);
        self.unwatch(gone);
        for (fd, before) in watched.into_iter().zip(before) {
            if let Some(fd) = fd.filter(|_| fd != before) {
                self.watch(&event.name, fd);
            }
        }
        let listens = |engine: &Engine| engine.listens(index);
        let is_read = self.engine.as_ref().is_some_and(listens);
        if let Some(fd) = answers.filter(|_| is_read) {
            self.watch(&event.name, fd);
        }
        let facts = InterfaceFacts {
            present: event.present,
            up: event.up,
            carrier: event.carrier,
            mac: event.mac,
            mtu: event.mtu,
            addresses: event
                .addresses
                .iter()
                .map(|(address, _)| *address)
                .collect(),
            broadcasts: broadcasts(&event.addresses),
            link_socket: link.is_some(),
        };
        let is_new = link.is_some() && before[0] != watched[0];
        self.with_engine(|engine, now_ns| engine.handle_interface(now_ns, &event.name, &facts));
        if is_new {
            self.request_hello();
        }
    }
}

/// Returns the broadcast addresses of the networks of IPv4 addresses; a network of two addresses
/// has none (RFC 3021).
fn broadcasts(addresses: &[(IpAddr, u8)]) -> Vec<Ipv4Addr> {
    let broadcast = |(address, prefix): &(IpAddr, u8)| match address {
        IpAddr::V4(address) if *prefix < 31 => {
            Some(Ipv4Addr::from(u32::from(*address) | u32::MAX >> prefix))
        }
        _ => None,
    };
    addresses.iter().filter_map(broadcast).collect()
}
