//! Handles the channel to the peer: the replica's messages, and their effects here.

use spared_replica::{CopyState, Malformed};

use super::{Action, Engine};
use crate::wire::Message;

impl Engine {
    /// Handles a new channel.
    pub fn handle_up(&mut self, now_ns: u64) {
        self.tables.now_ns = now_ns;
        self.told = vec![None; self.tables.servers.len()];
        self.told_pools = vec![None; self.tables.servers.len()];
        self.replica.handle_up(&mut self.tables);
        self.proceed(now_ns);
    }

    /// Handles the loss of the channel.
    pub fn handle_down(&mut self, now_ns: u64) {
        self.tables.now_ns = now_ns;
        self.replica.handle_down(&mut self.tables);
        self.own = None;
        self.told = Vec::new();
        self.told_pools = Vec::new();
        for leases in &mut self.tables.servers {
            leases.facts.at_peer = None;
            leases.setup.of_peer = None;
        }
        self.forget_question();
        self.fail_diff("the peer has gone");
        self.proceed(now_ns);
    }

    /// Handles a message of the peer.
    ///
    /// # Errors
    /// The bytes are no message; both nodes compare all records again.
    pub fn handle_message(&mut self, now_ns: u64, bytes: &[u8]) -> Result<(), Malformed> {
        self.tables.now_ns = now_ns;
        let heard = if Message::is_own(bytes) {
            Message::parse(bytes).and_then(|message| self.handle_own(now_ns, message))
        } else {
            let tables = &mut self.tables;
            self.replica.handle_message(now_ns, tables, bytes)
        };
        if heard.is_err() {
            self.malformed += 1;
        }
        self.proceed(now_ns);
        heard
    }

    fn handle_own(&mut self, now_ns: u64, message: Message<'_>) -> Result<(), Malformed> {
        match message {
            Message::Ask { id } => self.handle_ask(id),
            Message::Listed {
                id,
                server,
                records,
            } => return self.handle_listed(now_ns, id, server, &records),
            Message::End { id } => self.handle_end_of_list(now_ns, id),
            Message::NotReplicable { server, why } => self.handle_not_replicable(server, why),
            Message::Pools {
                server,
                digest,
                pools,
            } => self.handle_pools(server, digest, pools),
        }
        Ok(())
    }

    /// Stores whether the peer can replicate its server.
    fn handle_not_replicable(&mut self, server: &str, why: &str) {
        let mut servers = self.tables.servers.iter_mut();
        if let Some(leases) = servers.find(|leases| leases.name() == server) {
            leases.facts.at_peer = Some(why.to_owned()).filter(|why| !why.is_empty());
        }
    }

    /// Returns the next report to the peer about servers here that cannot be replicated.
    fn next_not_replicable(&mut self) -> Option<Vec<u8>> {
        let is_active = self.roles.is_active();
        let servers = self.tables.servers.iter();
        for (leases, told) in servers.zip(&mut self.told) {
            let why = leases.not_replicable().filter(|_| is_active);
            if *told != why {
                let message = Message::not_replicable(leases.name(), why.as_deref());
                *told = why;
                return Some(message);
            }
        }
        None
    }

    /// Returns the next message to the peer, the same until [`message_sent`](Self::message_sent).
    pub fn poll_message(&mut self, now_ns: u64) -> Option<&[u8]> {
        self.tables.now_ns = now_ns;
        // a full channel must not delay it
        self.own = self.own.take().or_else(|| self.next_not_replicable());
        self.own = self.own.take().or_else(|| self.next_pools());
        let replica = &mut self.replica;
        if self.own.is_none() && replica.poll_message(now_ns, &mut self.tables).is_none() {
            self.own = self.next_of_diff(now_ns);
        }
        match &self.own {
            Some(message) => Some(message),
            None => self.replica.poll_message(now_ns, &mut self.tables),
        }
    }

    pub fn message_sent(&mut self) {
        if self.own.take().is_none() {
            self.replica.sent();
        }
    }

    pub(super) fn handle_replica_timeout(&mut self, now_ns: u64) {
        self.tables.now_ns = now_ns;
        self.replica.handle_timeout(now_ns, &mut self.tables);
    }

    /// Passes changes by servers of this node to the replica.
    pub(super) fn tell_replica(&mut self, now_ns: u64) {
        self.tables.now_ns = now_ns;
        for server in 0..self.tables.servers.len() {
            let changed = match self.tables.servers.get_mut(server) {
                Some(leases) => leases.take_changed(),
                None => Vec::new(),
            };
            for (key, change) in changed {
                let tables = &mut self.tables;
                self.replica.changed(now_ns, tables, server, &key, change);
            }
        }
    }

    /// Updates the state of this node's copies, if only the peer's servers grant leases.
    pub(super) fn observe_replica(&mut self, now_ns: u64) {
        self.tables.peer_grants_leases = self.peer_grants_leases();
        let follows = !self.grants_leases() && self.peer_grants_leases();
        for (server, leases) in self.tables.servers.iter_mut().enumerate() {
            let copy = self.replica.copy_state(server).filter(|_| follows);
            leases.handle_copy(copy);
            let incarnation = self.replica.copied_incarnation(server);
            if let Some(it) = incarnation.filter(|_| copy == Some(CopyState::Complete)) {
                leases.copy.handle_whole(it);
            }
            let note = leases.take_note(now_ns);
            if note.is_some() {
                self.actions
                    .push_back(Action::RememberCopy { server, copy: note });
            }
        }
    }
}
