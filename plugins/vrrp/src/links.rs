//! Paths to the peer, links and networks: their sockets, the heartbeats on them, and the agreement on keys.

use std::io;
use std::iter;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use spared_sdk::{OpenSockets, SocketKind, Value};

use crate::engine::{Engine, HeartbeatTarget, Neighbour, Path, Table, totals};
use crate::error::HeartbeatDiscard;
use crate::heartbeats::{
    Authentication, AuthenticationEvents, Counters, Heard, LINKS_MAX, NoRandomness, PathClass,
    Received, Request,
};
use crate::limit::Limit;
use crate::networks::Networks;
use crate::sockets::HostSocket;
use crate::wire::datagram;
use crate::wire::heartbeat::Heartbeat;

/// All links, in the order of the configuration, and the networks.
pub(crate) struct Links {
    links: Vec<Link>,
    networks: Networks,
    authentication: Authentication,
    /// Limits log lines that others can cause.
    forged: Limit,
}

#[derive(Default)]
struct Link {
    interface: String,
    /// Receiving socket; this and the next are None if the host could not open them.
    receives: Option<HostSocket>,
    sends: Option<HostSocket>,
    counters: Counters,
    limit: Limit,
}

impl Links {
    pub fn new(node: &str) -> Result<Links, NoRandomness> {
        Ok(Links {
            links: Vec::new(),
            networks: Networks::default(),
            authentication: Authentication::new(node)?,
            forged: Limit::default(),
        })
    }

    /// Sets the other node's name, if keys of both are configured.
    pub fn set_peer(&mut self, peer: Option<&str>) {
        self.authentication.set_peer(peer);
    }

    /// Sets the longest time in ns for which any group waits for a heartbeat.
    pub fn set_patience(&mut self, patience_ns: u64) {
        self.authentication.set_patience(patience_ns);
    }

    /// Sets the configured interfaces and groups. Returns the sockets of removed links, to be unwatched and closed.
    pub fn configure(
        &mut self,
        interfaces: &[String],
        groups: impl Iterator<Item = u64>,
    ) -> Vec<OwnedFd> {
        self.authentication.set_groups(groups);
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

    /// Sets the interfaces of the groups, by the engine's index, each with its path and the lowest accepted TTL.
    pub fn configure_networks(&mut self, networks: impl Iterator<Item = (String, u32, u8)>) {
        self.networks.configure(networks);
        self.set_paths();
    }

    fn set_paths(&mut self) {
        let links = (0..).zip(&self.links).map(|(place, _)| place);
        self.authentication
            .set_paths(links.chain(self.networks.paths()));
    }

    /// Returns all sockets, to be closed.
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

    /// Applies an event. Returns the descriptors that must not be watched any more, still open until the return value
    /// is dropped, and the one to watch from now on.
    pub fn update(
        &mut self,
        interface: &str,
        offered: &OpenSockets<'_>,
    ) -> (Vec<OwnedFd>, Option<RawFd>) {
        let mut links = self.links.iter_mut();
        let Some(link) = links.find(|link| link.interface == interface) else {
            return (Vec::new(), None);
        };
        let before = link.watched();
        let gone = [
            HostSocket::update(&mut link.receives, offered.get(SocketKind::HeartbeatIn)),
            HostSocket::update(&mut link.sends, offered.get(SocketKind::HeartbeatOut)),
        ];
        let new = link.watched().filter(|fd| Some(*fd) != before);
        (gone.into_iter().flatten().collect(), new)
    }

    /// Returns the link that receives on a descriptor.
    pub fn find(&self, fd: RawFd) -> Option<usize> {
        self.links
            .iter()
            .position(|link| link.watched() == Some(fd))
    }

    /// Reads one packet of a link; None if none waits.
    pub fn receive<'b>(&self, link: usize, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let kept = self.links.get(link)?.receives.as_ref()?;
        let (length, _) = recv(&kept.fd, &mut *buffer, RecvFlags::DONTWAIT).ok()?;
        buffer.get(..length)
    }

    /// Passes a heartbeat of the peer that arrived on a link to the engine.
    pub fn handle_link_packet(
        &mut self,
        now_ns: u64,
        link: usize,
        packet: &[u8],
        engine: &mut Engine,
    ) {
        let own = self.authentication.run();
        self.open(now_ns, link, packet, |heard| {
            engine.handle_heartbeat(now_ns, Path::Link(link), heard, own);
        });
    }

    /// Opens a received packet, and passes it on group by group.
    fn open(&mut self, now_ns: u64, link: usize, packet: &[u8], mut take: impl FnMut(&Heard<'_>)) {
        let Ok(path) = u32::try_from(link) else {
            return;
        };
        let Some(link) = self.links.get_mut(link) else {
            return;
        };
        let received = match datagram::payload(packet) {
            Some(payload) => self
                .authentication
                .receive(now_ns, PathClass::Link, path, payload),
            None => Err(HeartbeatDiscard::Datagram),
        };
        match received {
            Ok(Received::Heartbeat(opened)) => link.counters.take(now_ns, opened, &mut take),
            Ok(Received::Agreement) => {}
            Err(reason) => link.discard(now_ns, reason),
        }
    }

    /// Passes a heartbeat of the peer that arrived on a network for this node to the engine.
    pub fn handle_network_frame(
        &mut self,
        now_ns: u64,
        index: usize,
        frame: &[u8],
        engine: &mut Engine,
    ) {
        let own = self.authentication.run();
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
        let payload = received.payload;
        let received =
            self.authentication
                .receive(now_ns, PathClass::Network, network.path, payload);
        match received {
            Ok(Received::Heartbeat(opened)) => {
                network.counters.take(now_ns, opened, &mut |heard| {
                    engine.handle_heartbeat(now_ns, path, heard, own);
                });
            }
            Ok(Received::Agreement) => {}
            Err(reason) => network.discard(now_ns, reason),
        }
    }

    /// Sends a heartbeat over every link and every network. Failures are counted: another path delivers it, or the next
    /// heartbeat follows.
    pub fn send<'h>(
        &mut self,
        now_ns: u64,
        heartbeats: impl Iterator<Item = &'h Heartbeat>,
        targets: &[HeartbeatTarget],
        mut transmit_on: impl FnMut(usize, Option<IpAddr>, &[u8]) -> bool,
    ) {
        let Links {
            links,
            networks,
            authentication,
            ..
        } = self;
        for part in 0..authentication.begin_heartbeat(heartbeats) {
            for target in targets {
                authentication.seal(now_ns, target.path, part, |sealed| {
                    let done = networks.send(target, sealed, &mut transmit_on);
                    networks.count_sent(target, done);
                });
            }
            for (link, number) in links.iter_mut().zip(0..) {
                authentication.seal(now_ns, number, part, |sealed| {
                    if let Some(done) = link.send(sealed) {
                        link.counters.count_sent(done);
                    }
                });
            }
        }
    }

    // ---- keys ------------------------------------------------------------------------------------

    /// Sends a hello when another path is up, unless the peer is heard.
    pub fn request_hello(&mut self, now_ns: u64) {
        self.authentication.request_hello(now_ns);
    }

    /// Sends frames of the agreement over every link and every network, uncounted: lost ones are repeated.
    pub fn send_offers(
        &mut self,
        targets: impl Fn() -> Vec<HeartbeatTarget>,
        mut transmit_on: impl FnMut(usize, Option<IpAddr>, &[u8]) -> bool,
    ) {
        while let Some(frame) = self.authentication.poll_frame() {
            for target in &targets() {
                self.networks.send(target, &frame, &mut transmit_on);
            }
            for link in &self.links {
                link.send(&frame);
            }
        }
    }

    /// Returns the next request for the link's process, to sign or to verify.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.authentication.poll_request()
    }

    pub fn handle_signed(&mut self, now_ns: u64, ticket: u64, signature: &[u8]) {
        self.authentication.handle_signed(now_ns, ticket, signature);
    }

    pub fn handle_verified(&mut self, now_ns: u64, ticket: u64, genuine: bool) {
        self.authentication.handle_verified(now_ns, ticket, genuine);
    }

    pub fn handle_timeout(&mut self, now_ns: u64) {
        self.authentication.handle_timeout(now_ns);
    }

    pub fn next_timeout(&self) -> Option<u64> {
        self.authentication.next_timeout()
    }

    /// Returns the consequences of received frames.
    pub fn take_events(&mut self, now_ns: u64) -> AuthenticationEvents {
        let events = self.authentication.take_events(now_ns);
        if events.is_forged {
            if let Some(more) = self.forged.allow(now_ns) {
                log::warn!(
                    "dropped an offer of a key for heartbeats: not the peer's signature{more}"
                );
            }
        }
        events
    }

    /// Returns the other node's name, if keys of both are configured.
    pub fn peer(&self) -> Option<&str> {
        self.authentication.peer()
    }

    /// Returns totals of each link, and of all networks together.
    pub fn totals(&self, now_ns: u64) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for link in &self.links {
            let name = format!("link.{}", link.interface);
            rows.extend(totals::of_paths(&name, now_ns, iter::once(&link.counters)));
        }
        let networks = self.networks.used();
        if networks.clone().next().is_some() {
            rows.extend(totals::of_paths("networks", now_ns, networks));
        }
        rows
    }

    /// Returns the rows of the links for `sparectl status` and `sparectl vrrp ...`.
    pub fn rows(&self, now_ns: u64, table: Table) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for link in &self.links {
            let name = format!("link.{}", link.interface);
            link.counters.rows(&name, now_ns, table, &mut rows);
        }
        self.networks.rows(now_ns, table, &mut rows);
        let Some(state) = self.authentication.state() else {
            return rows;
        };
        if table != Table::Counters {
            let value = Value::Text(state.to_owned());
            rows.push(("heartbeats.key".to_owned(), value));
            return rows;
        }
        let (omitted, counters) = (
            self.authentication.omitted(),
            self.authentication.counters(),
        );
        for (key, value) in [
            ("heartbeats.groups_left_out", omitted.groups),
            ("heartbeats.ports_left_out", omitted.ports),
            ("keys.agreed", counters.agreed),
            ("keys.requests", counters.requests),
            ("keys.received", counters.received),
            ("keys.dropped.malformed", counters.malformed),
            ("keys.dropped.limited", counters.limited),
            ("keys.dropped.stale", counters.stale),
            ("keys.dropped.forged", counters.forged),
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

    /// Sends a frame. Returns false if it failed, None without a socket.
    fn send(&self, frame: &[u8]) -> Option<bool> {
        let kept = self.sends.as_ref()?;
        // an error may belong to an earlier heartbeat: the kernel returns it once instead of sending
        let sent = transmit(kept, frame).or_else(|_| transmit(kept, frame));
        Some(sent.is_ok())
    }

    fn into_sockets(self) -> impl Iterator<Item = OwnedFd> {
        let kept = [self.receives, self.sends];
        kept.into_iter().flatten().map(|kept| kept.fd)
    }

    fn discard(&mut self, now_ns: u64, reason: HeartbeatDiscard) {
        self.counters.count_dropped(reason);
        // other reasons are harmless, and have counters
        if !reason.is_hostile() {
            return;
        }
        if let Some(more) = self.limit.allow(now_ns) {
            log::warn!(
                "link {}: dropped a heartbeat: {reason}{more}",
                self.interface
            );
        }
    }
}

fn transmit(kept: &HostSocket, frame: &[u8]) -> io::Result<()> {
    send(&kept.fd, frame, SendFlags::DONTWAIT)?;
    Ok(())
}

#[cfg(test)]
mod tests;
