//! What the peers say to each other.

use super::merge::{self, Verdict};
use super::sender::Cursor;
use super::status::client;
use super::store::Store;
use super::{Action, Engine, Peer};
use crate::error::Malformed;
use crate::format;
use crate::wire::{About, Hello, Message, Name, Record};

impl Engine {
    /// The peer is there.
    pub fn handle_up(&mut self, now_ms: i64) {
        self.link(true);
        self.hello();
        self.proceed(now_ms);
    }

    /// It has gone.
    pub fn handle_down(&mut self, now_ms: i64) {
        self.link(false);
        self.handle_last();
        self.fail_diff("the peer has gone");
        self.proceed(now_ms);
    }

    fn link(&mut self, up: bool) {
        (self.up, self.peer, self.said) = (up, None, None);
        self.out.clear();
        for store in &mut self.stores {
            store.sender.reset();
            store.sender.listing = None;
            store.receiver.reset();
            store.at_peer = None;
        }
    }

    /// Says what this node is; what was given and taken begins anew.
    pub(super) fn hello(&mut self) {
        if self.up {
            self.out.push_back(Message::Hello(Hello {
                active: self.acts(),
                life: self.life,
                servers: self.stores.iter().map(|store| store.name.clone()).collect(),
            }));
        }
    }

    /// The peer's bytes.
    ///
    /// # Errors
    /// They are no message; a backup asks for everything again.
    pub fn handle_message(&mut self, now_ms: i64, bytes: &[u8]) -> Result<(), Malformed> {
        let message = Message::parse(bytes).inspect_err(|why| self.count_malformed(now_ms, why))?;
        match message {
            Message::Hello(hello) => self.handle_hello(hello),
            Message::HandingOver => self.handle_handing_over(now_ms),
            Message::Last => self.handle_last(),
            Message::Ask { id } => self.handle_ask(id),
            Message::Told { id } => self.handle_told(now_ms, id),
            Message::About { server, about } => self.handle_about(now_ms, &server, about),
        }
        self.proceed(now_ms);
        Ok(())
    }

    fn count_malformed(&mut self, now_ms: i64, why: &Malformed) {
        self.malformed += 1;
        for store in &mut self.stores {
            store.receiver.miss(now_ms);
        }
        if self.malformed == 1 {
            let text = format!("the peer's message is not understood: {why}; more are counted");
            self.actions.push_back(Action::Warn(text));
        }
    }

    fn handle_hello(&mut self, hello: Hello) {
        self.peer = Some(Peer {
            active: hello.active,
            life: hello.life,
            servers: hello.servers,
        });
        for store in &mut self.stores {
            store.sender.reset();
            store.receiver.reset();
        }
        self.follow();
    }

    /// A backup begins to follow an active peer.
    pub(super) fn follow(&mut self) {
        if !self.is_receiver() {
            return;
        }
        let Some(peer) = &self.peer else { return };
        for store in &mut self.stores {
            if peer.servers.contains(&store.name) {
                store.follow(peer.life);
            }
        }
    }

    fn handle_about(&mut self, now_ms: i64, server: &Name, about: About) {
        let (gives, takes) = (self.is_sender(), self.is_receiver());
        let life = self.peer.as_ref().map(|peer| peer.life);
        let position = self.stores.iter().position(|store| store.name == *server);
        let Some((position, store)) = position.and_then(|it| Some((it, self.stores.get_mut(it)?)))
        else {
            return;
        };
        match about {
            About::Listed { id, records } => self.handle_listed(now_ms, position, id, records),
            About::Request if gives => store.sender.handle_request(),
            About::Offer {
                was_active,
                identity,
                records,
            } if gives => {
                let conflicts = store.handle_offer(now_ms, was_active, identity, records);
                self.actions
                    .extend(conflicts.into_iter().map(Action::Event));
            }
            About::Ack { serial, leases } if gives => {
                store.sender.handle_ack(serial);
                store.at_peer = Some(leases);
            }
            about if takes => {
                let whole = store.handle_gift(now_ms, about);
                if whole && store.lineage != life {
                    store.lineage = life;
                    let server = position;
                    self.actions.push_back(Action::Lineage { server, life });
                }
            }
            _ => {}
        }
    }

    /// The next message for the peer, where there is one.
    pub fn poll_message(&mut self, now_ms: i64) -> Option<Vec<u8>> {
        if !self.up {
            return None;
        }
        if self.out.is_empty() {
            let (gives, takes) = (self.is_sender(), self.is_receiver());
            for _ in 0..self.stores.len() {
                self.turn = (self.turn + 1) % self.stores.len();
                let Some(store) = self.stores.get_mut(self.turn) else {
                    break;
                };
                let about = match (gives, takes) {
                    (true, _) => store.next_gift(now_ms),
                    (_, true) => store.next_wish(now_ms),
                    _ => None,
                };
                if let Some(about) = about.or_else(|| store.next_listed(now_ms)) {
                    let server = store.name.clone();
                    self.out.push_back(Message::About { server, about });
                    break;
                }
            }
        }
        if self.out.is_empty() {
            self.tell_listed();
        }
        if let Some(message) = self.out.pop_front() {
            return Some(message.emit());
        }
        // who leaves waits for this
        self.proceed(now_ms);
        self.out.pop_front().map(|message| message.emit())
    }

    /// The peer wants to compare.
    fn handle_ask(&mut self, id: u32) {
        for store in &mut self.stores {
            store.sender.listing = Some((id, Cursor::default()));
        }
        self.diff.asked = Some(id);
    }

    fn tell_listed(&mut self) {
        let told = |store: &Store| store.sender.listing.is_none();
        if self.diff.asked.is_some() && self.stores.iter().all(told) {
            let told = self.diff.asked.take().map(|id| Message::Told { id });
            self.out.extend(told);
        }
    }
}

impl Store {
    /// What a backup may have that the active node does not know; sentences about conflicts.
    fn handle_offer(
        &mut self,
        now_ms: i64,
        was_active: bool,
        identity: Option<Vec<u8>>,
        records: Vec<Record>,
    ) -> Vec<String> {
        let mut sentences = Vec::new();
        let identity = identity.filter(|it| format::is_identity(it));
        if self.book.identity().is_none() && identity.is_some() {
            self.book.set_identity(identity);
            self.book.identity_unfiled = true;
        }
        for record in records {
            let key = record.key;
            let (verdict, conflict) = merge::decide(&self.book, now_ms, record);
            match verdict {
                Verdict::Keep => {}
                Verdict::Put(lease) => self.adopt(lease),
                Verdict::Gone(gone_ms) => self.drop_lease(&key, gone_ms),
            }
            if let Some(conflict) = conflict.filter(|_| was_active) {
                sentences.push(format!(
                    "{}: {} was given twice: {} keeps it, {} has lost it",
                    self.name.name,
                    key.address,
                    client(&conflict.kept),
                    client(&conflict.lost)
                ));
                self.conflicts.note(conflict);
            }
        }
        // a thousand events would hide each other
        if sentences.len() > 3 {
            let more = sentences.len() - 2;
            sentences.truncate(2);
            sentences.push(format!(
                "{}: {more} more addresses were given twice; see sparectl dhcp conflicts",
                self.name.name
            ));
        }
        sentences
    }

    fn next_listed(&mut self, now_ms: i64) -> Option<About> {
        let (id, mut cursor) = self.sender.listing.take()?;
        if cursor.done {
            return None;
        }
        let records = self.portion(now_ms, &mut cursor, |_| true);
        self.sender.listing = Some((id, cursor));
        Some(About::Listed { id, records })
    }
}
