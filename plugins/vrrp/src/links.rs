//! The paths to the peer: links, what is open on each, and networks; the heartbeats that go over them,
//! and their key.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use spared_sdk::{InterfaceEvent, SendError, SocketKind, Value};

use crate::engine::{Engine, Neighbour, Path, Table, Way};
use crate::error::HeartbeatDiscard;
use crate::heartbeats::{Counters, Exchange, Heard, LINKS_MAX, NoRandomness, Receiver, Sender};
use crate::limit::Limit;
use crate::networks::Networks;
use crate::sockets::Kept;
use crate::wire::datagram;
use crate::wire::heartbeat::Heartbeat;

/// All links, in the order of the configuration, and the networks.
pub(crate) struct Links {
    links: Vec<Link>,
    networks: Networks,
    sender: Sender,
    receiver: Receiver,
    exchange: Exchange,
    messages_refused: u64,
    limit: Limit,
}

#[derive(Default)]
struct Link {
    interface: String,
    /// Each is None where the host could not open it.
    receives: Option<Kept>,
    sends: Option<Kept>,
    counters: Counters,
    limit: Limit,
}

impl Links {
    pub fn new() -> Result<Links, NoRandomness> {
        Ok(Links {
            links: Vec::new(),
            networks: Networks::default(),
            sender: Sender::new()?,
            receiver: Receiver::new(),
            exchange: Exchange::default(),
            messages_refused: 0,
            limit: Limit::default(),
        })
    }

    /// The configured interfaces and groups; what is open on the others comes back, to be no
    /// longer watched and closed.
    pub fn configure(
        &mut self,
        interfaces: &[String],
        groups: impl Iterator<Item = u64>,
    ) -> Vec<OwnedFd> {
        self.receiver.set_groups(groups);
        let mut before = std::mem::take(&mut self.links);
        for interface in interfaces.iter().take(LINKS_MAX) {
            let known = before.iter().position(|link| link.interface == *interface);
            let link = known.map_or_else(Link::default, |place| before.swap_remove(place));
            self.links.push(Link {
                interface: interface.clone(),
                ..link
            });
        }
        self.set_paths();
        before.into_iter().flat_map(Link::into_sockets).collect()
    }

    /// The interfaces of the groups, by the engine's index, each with its path and the least TTL.
    pub fn configure_networks(&mut self, networks: impl Iterator<Item = (String, u32, u8)>) {
        self.networks.configure(networks);
        self.set_paths();
    }

    fn set_paths(&mut self) {
        let links = (0..).zip(&self.links).map(|(place, _)| place);
        self.receiver.set_paths(links.chain(self.networks.paths()));
    }

    /// Everything, to be closed.
    pub fn close(&mut self) -> Vec<OwnedFd> {
        let links = self.links.drain(..);
        links.flat_map(Link::into_sockets).collect()
    }

    pub fn count(&self) -> usize {
        self.links.len()
    }

    pub fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.links.iter().map(|link| link.interface.as_str())
    }

    /// Takes over what an event brings: the descriptors that must not be watched any more, still
    /// open until the return value is dropped, and the one to watch from now on.
    pub fn update(&mut self, event: &InterfaceEvent<'_>) -> (Vec<OwnedFd>, Option<RawFd>) {
        let mut links = self.links.iter_mut();
        let Some(link) = links.find(|link| link.interface == event.name) else {
            return (Vec::new(), None);
        };
        let before = link.watched();
        let gone = [
            Kept::update(&mut link.receives, event.socket(SocketKind::HeartbeatIn)),
            Kept::update(&mut link.sends, event.socket(SocketKind::HeartbeatOut)),
        ];
        let new = link.watched().filter(|fd| Some(*fd) != before);
        (gone.into_iter().flatten().collect(), new)
    }

    /// The link from which a descriptor receives.
    pub fn find(&self, fd: RawFd) -> Option<usize> {
        self.links
            .iter()
            .position(|link| link.watched() == Some(fd))
    }

    /// Reads one packet of a link; None where nothing waits.
    pub fn receive<'b>(&self, link: usize, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let kept = self.links.get(link)?.receives.as_ref()?;
        let (length, _) = recv(&kept.fd, &mut *buffer, RecvFlags::DONTWAIT).ok()?;
        buffer.get(..length)
    }

    /// Tells the engine what came over a link, where the peer made it.
    pub fn hear_on_link(&mut self, now_ns: u64, link: usize, packet: &[u8], engine: &mut Engine) {
        let own = self.sender.key().id();
        self.open(now_ns, link, packet, |heard| {
            engine.handle_heartbeat(now_ns, Path::Link(link), heard, own);
        });
    }

    /// Takes what a received packet says, group by group.
    fn open(&mut self, now_ns: u64, link: usize, packet: &[u8], mut take: impl FnMut(&Heard<'_>)) {
        let Ok(path) = u32::try_from(link) else {
            return;
        };
        let Some(link) = self.links.get_mut(link) else {
            return;
        };
        let opened = match datagram::payload(packet) {
            Some(frame) => self.receiver.open(now_ns, path, frame),
            None => Err(HeartbeatDiscard::Datagram),
        };
        match opened {
            Ok(opened) => link.counters.take(now_ns, opened, &mut take),
            Err(reason) => link.discard(now_ns, reason),
        }
    }

    /// Tells the engine what a frame on a network says, where the peer sent it to this node.
    pub fn hear_on_network(
        &mut self,
        now_ns: u64,
        index: usize,
        frame: &[u8],
        engine: &mut Engine,
    ) {
        let own = self.sender.key().id();
        let Some(network) = self.networks.get_mut(index) else {
            return;
        };
        let Some(received) = network.payload(frame, engine.addresses(index)) else {
            return network.discard(now_ns, HeartbeatDiscard::Datagram);
        };
        let neighbour = Neighbour {
            mac: received.source_mac,
            address: received.source,
        };
        let path = Path::Network(index, neighbour);
        match self.receiver.open(now_ns, network.path, received.payload) {
            Ok(opened) => network.counters.take(now_ns, opened, &mut |heard| {
                engine.handle_heartbeat(now_ns, path, heard, own);
            }),
            Err(reason) => network.discard(now_ns, reason),
        }
    }

    /// Says it over every link and every network. What a path does not take is counted: another one has
    /// it, or the next heartbeat follows.
    pub fn send<'h>(
        &mut self,
        heartbeats: impl Iterator<Item = &'h Heartbeat>,
        ways: &[Way],
        mut carry: impl FnMut(usize, Option<IpAddr>, &[u8]) -> bool,
    ) {
        for part in 0..self.sender.compose(self.receiver.echo(), heartbeats) {
            for way in ways {
                let sealed = self.sender.seal(way.path, part);
                self.networks.send(way, sealed, &mut carry);
            }
            for (link, number) in self.links.iter_mut().zip(0..) {
                let Some(kept) = &link.sends else { continue };
                let frame = self.sender.seal(number, part);
                // an error may be the answer to an earlier heartbeat: it is told once, in place of sending
                let sent = transmit(kept, frame).or_else(|_| transmit(kept, frame));
                link.counters.count_sent(sent.is_ok());
            }
        }
    }

    /// The peer is there.
    pub fn handle_up(&mut self) {
        self.exchange.handle_up();
    }

    /// It is gone from the channel; its heartbeats may go on.
    pub fn handle_down(&mut self) {
        self.exchange.handle_down();
    }

    pub fn handle_message(&mut self, now_ns: u64, message: &[u8]) {
        match self.exchange.handle_message(self.sender.key(), message) {
            Ok(Some(key)) => self.receiver.trust(now_ns, key),
            Ok(None) => {}
            Err(error) => {
                self.messages_refused += 1;
                if let Some(more) = self.limit.pass(now_ns) {
                    log::warn!("dropped a message of the peer's vrrp: {error}{more}");
                }
            }
        }
    }

    /// Sends the peer what it must know, as far as the channel takes it.
    pub fn talk(&mut self, mut send: impl FnMut(&[u8]) -> Result<(), SendError>) {
        while let Some(message) = self.exchange.message(self.sender.key()) {
            match send(&message) {
                Ok(()) => self.exchange.handle_sent(),
                // `writable` follows, or `up`
                Err(SendError::Full | SendError::Down) => return,
                Err(error) => {
                    return log::warn!("the key of the heartbeats did not leave: {error}");
                }
            }
        }
    }

    /// What `sparectl status` and `sparectl vrrp ...` show of the links.
    pub fn rows(&self, now_ns: u64, table: Table) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for link in &self.links {
            let name = format!("link.{}", link.interface);
            link.counters.rows(&name, now_ns, table, &mut rows);
        }
        self.networks.rows(now_ns, table, &mut rows);
        if table == Table::Status || self.links.is_empty() {
            return rows;
        }
        if table == Table::VirtualRouters {
            let of_peer = if self.receiver.knows_a_key() {
                "known"
            } else {
                "not yet known"
            };
            let own = if self.exchange.is_accepted() {
                "known to the peer"
            } else {
                "not yet known to the peer"
            };
            for (key, value) in [("heartbeats.key", own), ("heartbeats.peer_key", of_peer)] {
                rows.push((key.to_owned(), Value::Text(value.to_owned())));
            }
            return rows;
        }
        let left_out = self.sender.left_out();
        for (key, value) in [
            ("heartbeats.groups_left_out", left_out.groups),
            ("heartbeats.ports_left_out", left_out.ports),
            ("heartbeats.messages_refused", self.messages_refused),
        ] {
            rows.push((key.to_owned(), Value::Number(value)));
        }
        rows
    }
}

impl Link {
    fn watched(&self) -> Option<RawFd> {
        self.receives.as_ref().map(|kept| kept.fd.as_raw_fd())
    }

    fn into_sockets(self) -> impl Iterator<Item = OwnedFd> {
        let kept = [self.receives, self.sends];
        kept.into_iter().flatten().map(|kept| kept.fd)
    }

    fn discard(&mut self, now_ns: u64, reason: HeartbeatDiscard) {
        self.counters.count_dropped(reason);
        // what else is dropped has harmless causes, and its counter
        if !reason.is_hostile() {
            return;
        }
        if let Some(more) = self.limit.pass(now_ns) {
            log::warn!(
                "link {}: dropped a heartbeat: {reason}{more}",
                self.interface
            );
        }
    }
}

fn transmit(kept: &Kept, frame: &[u8]) -> io::Result<()> {
    send(&kept.fd, frame, SendFlags::DONTWAIT)?;
    Ok(())
}

#[cfg(test)]
mod tests;
