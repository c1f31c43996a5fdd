//! What the twins say to each other.

use super::set::{AtTwin, Set, Standing};
use super::{Action, Change, Engine};
use crate::element::{Element, SetName};
use crate::error::{Hindrance, Malformed};
use crate::wire::{About, Message};

impl Engine {
    /// The twin is there.
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
        (self.up, self.twin, self.said) = (up, None, None);
        self.out.clear();
        self.warned = false;
        for set in &mut self.sets {
            set.handle_link(standing);
        }
    }

    pub(super) fn tell_role(&mut self) {
        if self.up {
            let active = self.standing().active;
            self.out.push_back(Message::Role { active });
        }
    }

    /// The twin's bytes.
    ///
    /// # Errors
    /// They are no message; a backup asks for everything again.
    pub fn handle_message(&mut self, now_ms: u64, bytes: &[u8]) -> Result<(), Malformed> {
        let message = Message::parse(bytes).inspect_err(|why| self.count_malformed(*why))?;
        match message {
            Message::Role { active } => self.handle_twin_role(now_ms, active),
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
            set.take.short = true;
        }
        if !std::mem::replace(&mut self.warned, true) {
            let text = format!("the twin's message is not understood: {why}; more are counted");
            self.actions.push_back(Action::Warn(text));
        }
    }

    fn handle_twin_role(&mut self, now_ms: u64, active: bool) {
        self.twin = Some(active);
        for set in &mut self.sets {
            set.take.lose();
            set.give.subscribed = false;
        }
        self.follow(now_ms);
    }

    pub(super) fn follow(&mut self, now_ms: u64) {
        if self.standing().takes() {
            for set in &mut self.sets {
                set.follow(now_ms);
            }
        }
    }

    fn handle_about(&mut self, now_ms: u64, name: &SetName, about: About) {
        let standing = self.standing();
        let Some(position) = self.set_of(name) else {
            if matches!(about, About::Want { .. }) {
                let absent = About::Absent { configured: false };
                self.out.push_back(Message::About(name.clone(), absent));
            }
            return;
        };
        let Some(set) = self.sets.get_mut(position) else {
            return;
        };
        let changes = match about {
            About::Want { full } => set.handle_want(full, standing),
            About::Offer(elements) if standing.active => set.handle_offer(now_ms, elements),
            about @ (About::Elements(_) | About::Delete(_)) if standing.active => {
                set.handle_clash(now_ms, about)
            }
            About::Synced { epoch } if epoch == self.epoch => set.handle_synced(standing),
            About::Count { elements, refused } => {
                set.twin = Some(AtTwin { elements, refused });
                Vec::new()
            }
            // a node that is active believes nobody
            about if standing.takes() => set.handle_gift(now_ms, about),
            _ => Vec::new(),
        };
        if !changes.is_empty() {
            let set = position;
            self.actions.push_back(Action::Write { set, changes });
        }
    }

    /// The next message for the twin, where there is one.
    pub fn poll_message(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        if !self.up {
            return None;
        }
        for _ in 0..=self.sets.len() {
            if let Some(message) = self.out.pop_front() {
                return Some(message.emit());
            }
            let standing = self.standing();
            self.turn = (self.turn + 1) % self.sets.len().max(1);
            if let Some(set) = self.sets.get_mut(self.turn) {
                let said = set.next_words(now_ms, standing, &mut self.epoch);
                self.out.extend(said);
            }
        }
        None
    }
}

impl Set {
    /// This node became active, or backup.
    pub(super) fn handle_role(&mut self, standing: Standing, up: bool) {
        if !standing.active && !self.give.is_idle() {
            // the twin did not hear all that there was to say
            self.shared = false;
            self.own = true;
        }
        self.own |= standing.active && !up;
        self.give = Default::default();
        self.take.lose();
        let of_twin = matches!(
            self.hindrance,
            Some(Hindrance::Shapes(..) | Hindrance::NotConfigured)
        );
        if of_twin {
            self.hindrance = None;
        }
    }

    fn handle_want(&mut self, full: bool, standing: Standing) -> Vec<Change> {
        if standing.gives() {
            self.give.subscribed = true;
            self.give.want_full |= full || std::mem::take(&mut self.give.clash);
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

    /// What the twin said as an active node while this one was active, too.
    fn handle_clash(&mut self, now_ms: u64, about: About) -> Vec<Change> {
        self.give.clash = true;
        match about {
            About::Elements(elements) => self.handle_offer(now_ms, elements),
            _ => Vec::new(),
        }
    }

    fn handle_synced(&mut self, standing: Standing) -> Vec<Change> {
        if standing.gives() {
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

    pub(super) fn synced(&self, epoch: u32) -> Message {
        Message::About(self.name.clone(), About::Synced { epoch })
    }

    pub(super) fn say_count(&mut self) -> Option<Message> {
        let (elements, refused) = self.count()?;
        let count = About::Count { elements, refused };
        Some(Message::About(self.name.clone(), count))
    }

    fn next_words(&mut self, now_ms: u64, standing: Standing, epoch: &mut u32) -> Vec<Message> {
        let said = if standing.gives() {
            self.next_gift(now_ms, epoch).into()
        } else if standing.takes() {
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
        let want = self.take.want.take();
        want.map(|full| About::Want { full }).into_iter().collect()
    }
}
