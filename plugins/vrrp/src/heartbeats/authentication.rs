//! Combines the parts that authenticate a node's heartbeats: the agreement with the peer, the sender, and the receiver.
//!
//! Sans-I/O. Feed it with [`Authentication::receive`], [`Authentication::handle_signed`],
//! [`Authentication::handle_verified`] and [`Authentication::handle_timeout`]; then drain
//! [`Authentication::poll_request`] and [`Authentication::poll_frame`], look at [`Authentication::take_events`], and arm
//! a timer for [`Authentication::next_timeout`].
//!
//! A change of keys leaves no gap: a heartbeat is sealed once for the key in use and once for each further agreed key,
//! and opened by the matching one. The key of another run of the peer comes into use when a heartbeat under it shows
//! that the peer hears this run, and the earlier run was silent for as long as the longest group waits.

use super::agreement::{Agreement, Counters, PathClass, Refusal, Request};
use super::key::{NoRandomness, random_run};
use super::receiver::{OpenedPart, Receiver};
use super::sender::{Omitted, Sender};
use crate::error::HeartbeatDiscard;
use crate::wire::heartbeat::{Heartbeat, Packet};
use crate::wire::offer;

/// Result of a received payload.
#[derive(Debug)]
pub enum Received<'r, 'f> {
    Heartbeat(OpenedPart<'r, 'f>),
    /// A frame of the agreement, which was handled, or dropped and counted.
    Agreement,
}

/// Consequences of received frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthenticationEvents {
    /// A heartbeat has to be sent at once: the peer waits for it.
    pub needs_heartbeat: bool,
    /// Another run of the peer may be there: a link delivered something that no key opens, or the peer has signed its
    /// key share. On a network anybody could have sent the former.
    pub is_peer_suspected: bool,
    /// Two machines have the peer's keys.
    pub has_second_machine: bool,
    /// Another machine used this run: this one has begun another run, and has to give up its roles.
    pub is_cloned: bool,
    /// An offer arrived whose signature is not the peer's.
    pub is_forged: bool,
}

/// This node's run, and its keys with the peer's run.
#[derive(Debug)]
pub struct Authentication {
    sender: Sender,
    receiver: Receiver,
    agreement: Agreement,
    events: AuthenticationEvents,
}

impl Authentication {
    /// Creates the authentication of the named node, in a new run.
    pub fn new(node: &str) -> Result<Authentication, NoRandomness> {
        Ok(Authentication::with_run(node, random_run()?))
    }

    pub fn with_run(node: &str, run: u64) -> Authentication {
        Authentication {
            sender: Sender::new(run),
            receiver: Receiver::new(run),
            agreement: Agreement::new(node, run),
            events: AuthenticationEvents::default(),
        }
    }

    // ---- configuration -----------------------------------------------------------------------

    /// Sets the other node's name, if keys of both are configured.
    pub fn set_peer(&mut self, peer: Option<&str>) {
        if self.peer() != peer {
            self.receiver.begin(self.sender.run());
            self.agreement.set_peer(peer);
        }
    }

    /// Sets the longest time in ns for which any group waits for a heartbeat.
    pub fn set_patience(&mut self, patience_ns: u64) {
        self.receiver.set_patience(patience_ns);
        self.agreement.set_patience(patience_ns);
    }

    /// Sets the configured groups, by [`group_id`](crate::wire::heartbeat::group_id).
    pub fn set_groups(&mut self, groups: impl Iterator<Item = u64>) {
        self.receiver.set_groups(groups);
    }

    /// Sets the paths on which heartbeats arrive.
    pub fn set_paths(&mut self, paths: impl Iterator<Item = u32>) {
        self.receiver.set_paths(paths);
    }

    // ---- state ---------------------------------------------------------------------------------

    pub fn run(&self) -> u64 {
        self.sender.run()
    }

    pub fn peer(&self) -> Option<&str> {
        self.agreement.peer()
    }

    /// Returns the peer's run, once its key is confirmed.
    pub fn confirmed(&self) -> Option<u64> {
        self.receiver.confirmed()
    }

    /// Describes the state of the agreement; None without keys.
    pub fn state(&self) -> Option<&'static str> {
        self.peer()?;
        Some(match self.receiver.confirmed() {
            Some(_) => "confirmed",
            None if self.receiver.has_unconfirmed_key() => "agreed, not yet confirmed",
            None => "not yet agreed",
        })
    }

    pub fn counters(&self) -> Counters {
        self.agreement.counters()
    }

    pub fn omitted(&self) -> Omitted {
        self.sender.omitted()
    }

    // ---- heartbeats --------------------------------------------------------------------------

    /// Handles a payload that arrived on a path.
    pub fn receive<'r, 'f>(
        &'r mut self,
        now_ns: u64,
        class: PathClass,
        path: u32,
        payload: &'f [u8],
    ) -> Result<Received<'r, 'f>, HeartbeatDiscard> {
        if offer::is_agreement_frame(payload) {
            // it counts what it drops
            let taken = self.agreement.handle_frame(now_ns, class, payload);
            let may_be_peers = matches!(taken, Ok(()) | Err(Refusal::Limited));
            self.events.is_peer_suspected |= class == PathClass::Link && may_be_peers;
            return Ok(Received::Agreement);
        }
        let opened = self
            .receiver
            .open(now_ns, path, payload, self.sender.number());
        let reason = match opened {
            Ok(opened) => {
                self.agreement.handle_heard(now_ns, opened.run());
                self.events.is_peer_suspected |= class == PathClass::Link && !opened.counts();
                return Ok(Received::Heartbeat(opened));
            }
            Err(reason) => reason,
        };
        self.events.is_cloned |= reason == HeartbeatDiscard::Ahead;
        if let Ok(packet) = Packet::new_checked(payload) {
            let may_be_peers = may_be_peers(reason, &packet, path, self.sender.run());
            self.events.is_peer_suspected |= class == PathClass::Link && may_be_peers;
            match reason {
                HeartbeatDiscard::UnknownKey => {
                    let _ = self.agreement.handle_run(now_ns, class, packet.run());
                }
                HeartbeatDiscard::Unconfirmed => {
                    self.agreement.handle_heard(now_ns, packet.run());
                }
                _ => {}
            }
        }
        Err(reason)
    }

    /// Begins the next heartbeat, as [`Sender::begin_heartbeat`] does; returns 0 without a key.
    pub fn begin_heartbeat<'h>(
        &mut self,
        heartbeats: impl Iterator<Item = &'h Heartbeat>,
    ) -> usize {
        self.sender.begin_heartbeat(heartbeats)
    }

    /// Seals a part for one path, once for each key.
    pub fn seal(&mut self, now_ns: u64, path: u32, part: usize, mut send: impl FnMut(&[u8])) {
        for (key, ack) in self.receiver.send_keys(now_ns) {
            send(self.sender.seal(key, ack, path, part));
        }
    }

    // ---- the agreement -----------------------------------------------------------------------

    /// Requests a hello when another path is up.
    pub fn request_hello(&mut self, now_ns: u64) {
        self.agreement.request_hello(now_ns);
    }

    pub fn handle_signed(&mut self, now_ns: u64, ticket: u64, signature: &[u8]) {
        self.agreement.handle_signed(now_ns, ticket, signature);
    }

    pub fn handle_verified(&mut self, now_ns: u64, ticket: u64, genuine: bool) {
        let is_forged = !self.agreement.handle_verified(now_ns, ticket, genuine);
        self.events.is_forged |= is_forged;
    }

    pub fn handle_timeout(&mut self, now_ns: u64) {
        self.agreement.handle_timeout(now_ns);
    }

    pub fn next_timeout(&self) -> Option<u64> {
        self.agreement.next_timeout()
    }

    pub fn poll_request(&mut self) -> Option<Request> {
        self.agreement.poll_request()
    }

    pub fn poll_frame(&mut self) -> Option<Vec<u8>> {
        self.agreement.poll_frame()
    }

    /// Takes over agreed and confirmed keys, and returns the consequences of received frames.
    pub fn take_events(&mut self, now_ns: u64) -> AuthenticationEvents {
        if self.events.is_cloned {
            self.events.is_cloned = self.begin_another_run();
        }
        while let Some(agreed) = self.agreement.poll_agreed() {
            self.receiver.add_keys(now_ns, agreed);
            self.events.is_peer_suspected = true;
        }
        let heard = self.receiver.take_events();
        if let Some(run) = heard.confirmed {
            self.agreement.handle_confirmed(now_ns, run);
        }
        let events = std::mem::take(&mut self.events);
        AuthenticationEvents {
            needs_heartbeat: heard.needs_heartbeat,
            has_second_machine: heard.has_second_machine,
            ..events
        }
    }

    fn begin_another_run(&mut self) -> bool {
        match random_run() {
            Ok(run) => {
                self.sender.begin(run);
                self.receiver.begin(run);
                self.agreement.begin(run);
                true
            }
            Err(error) => {
                log::error!("heartbeats: {error}");
                false
            }
        }
    }
}

/// Returns true if a dropped heartbeat may be the peer's: it is for this path, and from another run than this node's,
/// whose own heartbeats may come back from a network.
fn may_be_peers(reason: HeartbeatDiscard, packet: &Packet<'_>, path: u32, own: u64) -> bool {
    let is_unopened = matches!(
        reason,
        HeartbeatDiscard::UnknownKey | HeartbeatDiscard::Unconfirmed
    );
    is_unopened && packet.path() == path && packet.run() != own
}

#[cfg(test)]
impl Authentication {
    /// Returns the number of keys with which it seals.
    pub(super) fn send_keys(&self, now_ns: u64) -> usize {
        self.receiver.send_keys(now_ns).count()
    }

    pub(super) fn agreement(&mut self) -> &mut Agreement {
        &mut self.agreement
    }

    /// Returns the state with which a copy of the machine continues.
    pub(super) fn copy(&self, now_ns: u64) -> Authentication {
        let mut copy = Authentication {
            sender: self.sender.clone(),
            receiver: self.receiver.clone(),
            agreement: self.agreement.copy(),
            ..*self
        };
        if let Some(run) = self.confirmed() {
            copy.agreement.handle_confirmed(now_ns, run);
        }
        copy
    }

    /// Forgets its keys.
    pub(super) fn forget(&mut self) {
        self.receiver.begin(self.sender.run());
    }
}
