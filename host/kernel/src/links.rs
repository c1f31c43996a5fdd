//! Sets the addresses of the links to the peer, and restores and removes them.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use spared_message::link::LinkPath;
use spared_netlink::constants::ADDRESS_PROTOCOL;
use spared_netlink::{Address, Ends, Message, echo_socket};

use super::interfaces::Interfaces;
use super::{Kernel, KernelError};

/// Shortest time between two restorations of an address that is deleted repeatedly.
const RESTORE_PACE: Duration = Duration::from_secs(1);

/// Configured links, and the state of their addresses.
#[derive(Default)]
pub struct Links {
    paths: Vec<LinkPath>,
    port: u16,
    restored_at: Option<Instant>,
    pub restore_at: Option<Instant>,
}

impl Links {
    /// Returns device and address of each link whose interface is present.
    pub fn places(&self, interfaces: &Interfaces) -> Vec<(u32, IpAddr)> {
        let place = |path: &LinkPath| {
            let index = interfaces.link(&path.interface)?.index;
            Some((index, path.own))
        };
        self.paths.iter().filter_map(place).collect()
    }

    /// Returns both ends of the link on an interface, once its address is set.
    pub fn ends_on(&self, name: &str, index: u32, interfaces: &Interfaces) -> Option<Ends> {
        let path = self.paths.iter().find(|path| path.interface == name)?;
        interfaces.has_address(index, path.own).then_some(Ends {
            own: path.own,
            peer: path.peer,
            port: self.port,
        })
    }
}

impl Kernel {
    /// Replaces the links: deletes the addresses of removed links and sets those of new ones.
    pub fn set_links(&mut self, paths: Vec<LinkPath>, port: u16) {
        let old = std::mem::replace(&mut self.links.paths, paths);
        self.links.port = port;
        let stays = |old: &LinkPath| {
            let mut new = self.links.paths.iter();
            new.any(|new| (&new.interface, new.own) == (&old.interface, old.own))
        };
        let gone: Vec<LinkPath> = old.into_iter().filter(|old| !stays(old)).collect();
        for path in gone {
            self.delete_link_address(&path);
        }
        self.sync_links();
        let names: Vec<String> = self.followed.names().cloned().collect();
        for name in names {
            self.open_sockets(&name);
        }
    }

    /// Returns true if the interface of a link is up and has carrier and its address.
    pub fn is_link_usable(&self, path: &LinkPath) -> bool {
        let link = self.interfaces.link(&path.interface);
        link.is_some_and(|link| self.interfaces.has_address(link.index, path.own))
            && self.interfaces.carrier(&path.interface)
    }

    /// Returns why the link is not usable, in a few words.
    pub fn link_lacks(&self, path: &LinkPath) -> Option<&'static str> {
        let link = self.interfaces.link(&path.interface);
        match link {
            None => Some("its interface is absent"),
            Some(link) if !link.up => Some("its interface is down"),
            Some(_) if !self.interfaces.carrier(&path.interface) => Some("no carrier"),
            Some(link) if !self.interfaces.has_address(link.index, path.own) => {
                Some("its address is missing")
            }
            Some(_) => None,
        }
    }

    /// Opens a socket for echo requests to a machine of the peer.
    pub fn echo_socket_on(&self, path: &LinkPath) -> Option<OwnedFd> {
        echo_socket(path.own.is_ipv6(), Some(&path.interface)).ok()
    }

    /// Sets the link addresses that are missing on interfaces that are up. The IPv6 addresses of an interface go when it
    /// goes down; whoever set one sets it again when the interface is up, and so does this.
    pub(super) fn sync_links(&mut self) {
        let mut failures = Vec::new();
        for path in self.links.paths.clone() {
            let link = self.interfaces.link(&path.interface);
            let Some(index) = link.filter(|link| link.up).map(|link| link.index) else {
                continue;
            };
            if self.interfaces.has_address(index, path.own) {
                continue;
            }
            match self.add_link_address(index, &path) {
                Ok(()) => {
                    let address = Address {
                        index,
                        address: path.own,
                        prefix: path.prefix,
                        flags: 0,
                        protocol: ADDRESS_PROTOCOL,
                    };
                    self.interfaces.note_address(address);
                    self.open_sockets(&path.interface);
                    self.report(&path.interface);
                }
                // The event of a deletion has not arrived yet.
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                    self.retries.retry(Instant::now());
                }
                Err(error) => {
                    let doing = format!("add {}/{}", path.own, path.prefix);
                    failures.push(KernelError::new(&path.interface, doing, error));
                    self.retries.retry(Instant::now());
                }
            }
        }
        self.warn(failures);
    }

    fn add_link_address(&mut self, index: u32, path: &LinkPath) -> std::io::Result<()> {
        let message = Message::add_address(index, path.own, path.prefix, true)?;
        self.requests.run_one(Ok(message))
    }

    // Deletes the address only if it is ours; one that the administrator set stays.
    fn delete_link_address(&mut self, path: &LinkPath) {
        let Some(index) = self.interfaces.link(&path.interface).map(|link| link.index) else {
            return;
        };
        let is_ours = |known: &Address| known.address == path.own && known.is_ours();
        if !self.interfaces.addresses(index).any(is_ours) {
            return;
        }
        self.interfaces.forget_address(index, path.own, path.prefix);
        let message = Message::delete_address(index, path.own, path.prefix);
        match self.requests.run_one(message) {
            Err(error) if error.raw_os_error() != Some(libc::EADDRNOTAVAIL) => {
                let doing = format!("delete {}/{}", path.own, path.prefix);
                self.warn([KernelError::new(&path.interface, doing, error)]);
            }
            _ => {}
        }
    }

    /// Restores link addresses that others deleted: at once, then at most once a second.
    pub(super) fn restore_links(&mut self, deleted: &[(u32, IpAddr)], now: Instant) {
        let hurt = |path: &&LinkPath| {
            let link = self.interfaces.link(&path.interface);
            link.is_some_and(|link| link.up && deleted.contains(&(link.index, path.own)))
        };
        let hurt: Vec<LinkPath> = self.links.paths.iter().filter(hurt).cloned().collect();
        let due = self.links.restore_at.is_some_and(|at| at <= now);
        if hurt.is_empty() && !due {
            return;
        }
        for path in &hurt {
            let text = format!(
                "the link's address {}/{} on {} was deleted by another program; restored",
                path.own, path.prefix, path.interface
            );
            self.events.tell(text);
            self.open_sockets(&path.interface);
            self.report(&path.interface);
        }
        let last = self.links.restored_at;
        let soon = last.map(|at| at + RESTORE_PACE).filter(|at| *at > now);
        self.links.restore_at = soon;
        if soon.is_none() {
            self.links.restored_at = Some(now);
            self.sync_links();
        }
    }
}
