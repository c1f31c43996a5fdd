//! What the peers say to each other.

use super::set::{AtPeer, Roles, Set};
use super::{Action, Change, Engine, UNKNOWN_MAX};
use crate::element::{Element, SetName};
use crate::error::{Hindrance, Malformed};
use crate::wire::{About, Message};

impl Engine {
    /// The peer is there.
    pub fn handle_up(&mut self) {
        self.link(true);
        self.tell_role();
        self.review();
    }

    /// It has gone.
    pub fn handle_down(&mut self) {
        self.link(false);
        self.review();
    }

    fn link(&mut self, up: bool) {
        let standing = self.standing();
        (self.up, self.peer, self.said) = (up, None, None);
        self.out.clear();
        self.unknown.clear();
        self.role_due = false;
        self.warned = false;
        for set in &mut self.sets {
            set.handle_link(standing, up);
        }
    }

    pub(super) fn tell_role(&mut self) {
        self.role_due = self.up;
    }

    /// The peer's bytes.
    ///
    /// # Errors
    /// They are no message; a backup asks for everything again.
    pub fn handle_message(&mut self, now_ms: u64, bytes: &[u8]) -> Result<(), Malformed> {
        let message = Message::parse(bytes).inspect_err(|why| self.count_malformed(*why))?;
        match message {
            Message::Role { active } => self.handle_peer_role(now_ms, active),
            Message::About(name, about) => self.handle_about(now_ms, &name, about),
        }
        self.prune(now_ms);
        self.review();
        Ok(())
    }

    fn count_malformed(&mut self, why: Malformed) {
        self.malformed += 1;
        // whatever it was, it is missing
        for set in &mut self.sets {
            set.receiver.short = true;
        }
        if !std::mem::replace(&mut self.warned, true) {
            let text = format!("the peer's message is not understood: {why}; more are counted");
            self.actions.push_back(Action::Warn(text));
        }
    }

    fn handle_peer_role(&mut self, now_ms: u64, active: bool) {
        self.peer = Some(active);
        for set in &mut self.sets {
            set.receiver.lose();
            set.sender.subscribed = false;
        }
        self.follow(now_ms);
    }

    pub(super) fn follow(&mut self, now_ms: u64) {
        if self.standing().is_receiver() {
            for set in &mut self.sets {
                set.follow(now_ms);
            }
        }
    }

    fn handle_about(&mut self, now_ms: u64, name: &SetName, about: About) {
        let standing = self.standing();
        let Some(position) = self.set_of(name) else {
            if matches!(about, About::Request { .. }) && self.unknown.len() < UNKNOWN_MAX {
                self.unknown.insert(name.clone());
            }
            return;
        };
        let Some(set) = self.sets.get_mut(position) else {
            return;
        };
        let changes = match about {
            About::Request { full } => set.handle_request(full, standing),
            About::Offer(elements) if standing.active => set.handle_offer(now_ms, elements),
            about @ (About::Elements(_) | About::Delete(_)) if standing.active => {
                set.handle_split_brain(now_ms, about)
            }
            About::InSync { epoch } if set.sender.is_last(epoch) => set.handle_in_sync(standing),
            About::Count { elements, refused } => {
                set.peer = Some(AtPeer { elements, refused });
                Vec::new()
            }
            // a node that is active believes nobody
            about if standing.is_receiver() => set.handle_gift(now_ms, about),
            _ => Vec::new(),
        };
        if !changes.is_empty() {
            let set = position;
            self.actions.push_back(Action::Write { set, changes });
        }
    }

    /// The next message for the peer, where there is one.
    pub fn poll_message(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        if !self.up {
            return None;
        }
        if let Some(message) = self.next_answer() {
            return Some(message.emit());
        }
        for _ in 0..self.sets.len() {
            let standing = self.standing();
            self.turn = (self.turn + 1) % self.sets.len();
            if let Some(set) = self.sets.get_mut(self.turn) {
                let said = set.next_words(now_ms, standing, &mut self.epoch);
                self.out.extend(said);
            }
            if let Some(message) = self.out.pop_front() {
                return Some(message.emit());
            }
        }
        None
    }

    /// What was made comes first: it was so before the role was.
    fn next_answer(&mut self) -> Option<Message> {
        if let Some(message) = self.out.pop_front() {
            return Some(message);
        }
        if std::mem::take(&mut self.role_due) {
            let active = self.standing().active;
            return Some(Message::Role { active });
        }
        let name = self.unknown.pop_first()?;
        let absent = About::Absent { configured: false };
        Some(Message::About(name, absent))
    }
}

impl Set {
    /// This node became active, or backup.
    pub(super) fn handle_role(&mut self, standing: Roles, up: bool) {
        if !standing.active && !self.sender.is_idle() {
            // the peer did not hear all that there was to say
            self.shared = false;
            self.own = true;
        }
        self.own |= standing.active && !up;
        self.sender = Default::default();
        self.receiver.lose();
        let of_peer = matches!(
            self.hindrance,
            Some(Hindrance::Shapes(..) | Hindrance::NotConfigured)
        );
        if of_peer {
            self.hindrance = None;
        }
    }

    fn handle_request(&mut self, full: bool, standing: Roles) -> Vec<Change> {
        if standing.is_sender() {
            self.sender.subscribed = true;
            self.sender.snapshot_due |= full || std::mem::take(&mut self.sender.split_brain);
            // what changed since the roles did is on its way
            self.own &= full || !self.shared;
        }
        Vec::new()
    }

    /// Only what is not known here: a backup overwrites nothing.
    fn handle_offer(&mut self, now_ms: u64, elements: Vec<Element>) -> Vec<Change> {
        let Some(shape) = self.shape.filter(|_| self.reads.whole) else {
            return Vec::new();
        };
        let unknown = elements.into_iter().filter(|element| {
            let there = self.table.get(&element.key);
            shape.fits(&element.key) && there.is_none_or(|entry| entry.is_over(now_ms))
        });
        let unknown: Vec<Element> = unknown.collect();
        unknown
            .into_iter()
            .filter(|it| it.life.is_none_or(|life| life.left_ms > 0))
            .filter_map(|element| self.adopt(now_ms, element, 0))
            .collect()
    }

    /// What the peer said as an active node while this one was active, too.
    fn handle_split_brain(&mut self, now_ms: u64, about: About) -> Vec<Change> {
        self.sender.split_brain = true;
        match about {
            About::Elements(elements) => self.handle_offer(now_ms, elements),
            _ => Vec::new(),
        }
    }

    fn handle_in_sync(&mut self, standing: Roles) -> Vec<Change> {
        if standing.is_sender() {
            self.shared = true;
            self.own = false;
        }
        Vec::new()
    }

    /// What the active node says.
    fn handle_gift(&mut self, now_ms: u64, about: About) -> Vec<Change> {
        match about {
            About::Begin {
                epoch,
                elements,
                shape,
            } => self.handle_begin(epoch, elements, shape),
            About::Elements(elements) => return self.handle_elements(now_ms, elements),
            About::Delete(keys) => return self.handle_delete(now_ms, keys),
            About::End { epoch } => self.handle_end(epoch),
            About::Absent { configured } => self.handle_absent(configured),
            _ => {}
        }
        Vec::new()
    }

    /// What waits to be said whatever the roles are: of each kind the newest.
    fn next_answers(&mut self) -> Vec<About> {
        let synced = self
            .receiver
            .synced
            .take()
            .map(|epoch| About::InSync { epoch });
        let count = std::mem::take(&mut self.count_due)
            .then(|| self.count())
            .flatten();
        let count = count.map(|(elements, refused)| About::Count { elements, refused });
        synced.into_iter().chain(count).collect()
    }

    fn next_words(&mut self, now_ms: u64, standing: Roles, epoch: &mut u32) -> Vec<Message> {
        let answers = self.next_answers();
        let said = if !answers.is_empty() {
            answers
        } else if standing.is_sender() {
            self.next_gift(now_ms, epoch).into()
        } else if standing.is_receiver() {
            self.next_wish(now_ms)
        } else {
            Vec::new()
        };
        let about = |about| Message::About(self.name.clone(), about);
        said.into_iter().map(about).collect()
    }

    fn next_wish(&mut self, now_ms: u64) -> Vec<About> {
        if let Some(offer) = self.next_offer(now_ms) {
            return vec![offer];
        }
        let want = self.receiver.request.take();
        want.map(|full| About::Request { full })
            .into_iter()
            .collect()
    }
}
