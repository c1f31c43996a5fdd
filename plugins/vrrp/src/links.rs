//! The links to the peer: what is open on each, the beats that go over them, and their key.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use spared_sdk::{InterfaceEvent, SendError, SocketKind, Value};

use crate::beats::{Counters, Exchange, LINKS_MAX, NoRandomness, Receiver, Sender};
use crate::engine::Table;
use crate::error::BeatDiscard;
use crate::limit::Limit;
use crate::sockets::Kept;
use crate::wire::beat::Beat;
use crate::wire::datagram;

/// All links, in the order of the configuration.
pub(crate) struct Links {
    links: Vec<Link>,
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
        before.into_iter().flat_map(Link::into_sockets).collect()
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
            Kept::update(&mut link.receives, event.socket(SocketKind::BeatIn)),
            Kept::update(&mut link.sends, event.socket(SocketKind::BeatOut)),
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

    /// What a received packet says, where the twin made it and no other link brought it before.
    pub fn open(&mut self, now_ns: u64, link: usize, packet: &[u8]) -> Option<&Beat> {
        let heard = match datagram::payload(packet) {
            Some(frame) => self.receiver.open(now_ns, link, frame),
            None => Err(BeatDiscard::Datagram),
        };
        let link = self.links.get_mut(link)?;
        match heard {
            Ok(news) => {
                link.counters.count_received(now_ns, news.is_none());
                news
            }
            Err(reason) => {
                link.discard(now_ns, reason);
                None
            }
        }
    }

    /// Says it over every link. What a link does not take is counted: the other one has it, or the
    /// next beat follows.
    pub fn send(&mut self, beat: &Beat) {
        self.sender.compose(beat);
        for (link, number) in self.links.iter_mut().zip(0..) {
            let Some(kept) = &link.sends else { continue };
            let frame = self.sender.seal(number);
            // an error may be the answer to an earlier beat: it is told once, in place of sending
            let sent = transmit(kept, frame).or_else(|_| transmit(kept, frame));
            link.counters.count_sent(sent.is_ok());
        }
    }

    /// The twin is there.
    pub fn handle_up(&mut self) {
        self.exchange.handle_up();
    }

    /// It is gone from the channel; its beats may go on.
    pub fn handle_down(&mut self) {
        self.exchange.handle_down();
    }

    pub fn handle_message(&mut self, now_ns: u64, message: &[u8]) {
        match self.exchange.handle_message(self.sender.key(), message) {
            Ok(Some(key)) => self.receiver.trust(now_ns, key),
            Ok(None) => {}
            Err(error) => {
                self.messages_refused += 1;
                if let Some(swallowed) = self.limit.pass(now_ns) {
                    let more = more(swallowed);
                    log::warn!("dropped a message of the peer's vrrp: {error}{more}");
                }
            }
        }
    }

    /// Sends the twin what it must know, as far as the channel takes it.
    pub fn talk(&mut self, mut send: impl FnMut(&[u8]) -> Result<(), SendError>) {
        while let Some(message) = self.exchange.message(self.sender.key()) {
            match send(&message) {
                Ok(()) => self.exchange.handle_sent(),
                // `writable` follows, or `up`
                Err(SendError::Full | SendError::Down) => return,
                Err(error) => return log::warn!("the key of the beats did not leave: {error}"),
            }
        }
    }

    /// What `sparectl status` and `sparectl vrrp ...` show of the links.
    pub fn rows(&self, now_ns: u64, table: Table) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for link in &self.links {
            link.rows(now_ns, table, &mut rows);
        }
        if table == Table::Status || self.links.is_empty() {
            return rows;
        }
        if table == Table::Routers {
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
            for (key, value) in [("beats.key", own), ("beats.peer_key", of_peer)] {
                rows.push((key.to_owned(), Value::Text(value.to_owned())));
            }
            return rows;
        }
        for (key, value) in [
            ("beats.ports_left_out", self.sender.ports_left_out()),
            ("beats.messages_refused", self.messages_refused),
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

    fn discard(&mut self, now_ns: u64, reason: BeatDiscard) {
        self.counters.count_dropped(reason);
        // what else is dropped has harmless causes, and its counter
        if !reason.is_hostile() {
            return;
        }
        if let Some(swallowed) = self.limit.pass(now_ns) {
            let more = more(swallowed);
            log::warn!("link {}: dropped a beat: {reason}{more}", self.interface);
        }
    }

    fn rows(&self, now_ns: u64, table: Table, rows: &mut Vec<(String, Value)>) {
        let counters = &self.counters;
        let mut row =
            |key: &str, value| rows.push((format!("link.{}.{key}", self.interface), value));
        if table != Table::Counters {
            if let Some(age_ns) = counters.age_ns(now_ns) {
                row("beat_age_ms", Value::Number(age_ns / 1_000_000));
            }
        }
        for (key, value) in [
            ("beats_sent", counters.sent),
            ("beats_received", counters.received),
            ("beats_copies", counters.copies),
            ("beats_send_errors", counters.send_errors),
        ] {
            let always = table == Table::Counters || matches!(key, "beats_sent" | "beats_received");
            if always || value > 0 {
                row(key, Value::Number(value));
            }
        }
        for reason in BeatDiscard::ALL {
            let count = counters.dropped(reason);
            if table == Table::Counters || count > 0 {
                row(
                    &format!("beats_dropped.{}", reason.name()),
                    Value::Number(count),
                );
            }
        }
    }
}

fn transmit(kept: &Kept, frame: &[u8]) -> io::Result<()> {
    send(&kept.fd, frame, SendFlags::DONTWAIT)?;
    Ok(())
}

/// Of a limited line: the lines before it that were not written.
fn more(swallowed: u64) -> String {
    if swallowed > 0 {
        format!(" ({swallowed} more before)")
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests;
