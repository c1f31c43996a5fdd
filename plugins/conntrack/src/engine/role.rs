//! Who answers for the flows: roles, and the peer as it comes and goes.

use super::compare::Fault;
use super::pass::{Wanted, Work};
use super::{Action, Engine, OFFERING_NS, Peer, SECOND_NS, Subscription};
use crate::flow::Key;
use crate::wire::Message;

impl Engine {
    /// The channel to the peer is there.
    pub fn handle_up(&mut self, now_ns: u64) {
        self.peer = Some(Peer {
            heard_ns: now_ns,
            ..Peer::default()
        });
        self.forget();
        self.complete = self.active;
        self.pulse_at_ns = now_ns + SECOND_NS;
        self.say_hello();
        self.tell_synchrony();
    }

    /// It is gone. What came of it stays: it may be needed now.
    pub fn handle_down(&mut self, now_ns: u64) {
        self.peer = None;
        self.owes |= self.active;
        self.said_synchrony = None;
        self.end_comparison(Err(Fault::Gone));
        self.stop_pass_if(Work::needs_peer);
        (self.wanted.compare, self.wanted.answer) = (false, None);
        self.ready.clear();
        self.young.clear();
        self.unknown.clear();
        self.lost.clear();
        self.outgoing = None;
        self.resync_at_ns = u64::MAX;
        self.end_drain();
        self.subscribe(now_ns);
    }

    pub fn handle_role(&mut self, now_ns: u64, group: &str, active: bool) {
        self.roles.insert(group.to_owned(), active);
        let active = self.roles.values().any(|active| *active);
        if active != self.active {
            self.active = active;
            match active {
                true => self.take_over(now_ns),
                false => self.step_down(now_ns),
            }
        }
        self.tell_synchrony();
    }

    fn take_over(&mut self, now_ns: u64) {
        self.stop_pass();
        (self.wanted.loosen, self.loosening) = (false, false);
        (self.wanted.prune, self.wanted.verify) = (None, false);
        let flows = self.table.len();
        if flows > 0 {
            let heard = self
                .peer
                .as_ref()
                .map(|peer| (now_ns - peer.heard_ns) / 1_000_000);
            let heard = heard.map_or(String::new(), |ms| format!(", its last word {ms} ms ago"));
            self.tell(format!(
                "{flows} flows of the other node are in the kernel{heard}"
            ));
            self.wanted.restore = true;
        }
        self.owes |= self.peer.is_none();
        self.complete = true;
        self.share_out();
        self.say_hello();
        self.subscribe(now_ns);
        self.request_resync(now_ns);
    }

    fn step_down(&mut self, now_ns: u64) {
        self.stop_pass();
        self.wanted.restore = false;
        // The other one answers for all of it: whatever it does not know is not there any more.
        self.wanted.strays = true;
        self.wanted.loosen = true;
        self.loosening = true;
        if self.peer.is_some() {
            self.offering_until_ns = now_ns + OFFERING_NS;
            self.complete = !std::mem::take(&mut self.split);
        }
        self.share_out();
        self.say_hello();
        if std::mem::take(&mut self.unsettled) {
            // what this kernel has is not what the peer was told
            self.push_message(now_ns, &Message::RequestResync);
        }
        self.subscribe(now_ns);
    }

    pub(super) fn handle_hello(&mut self, now_ns: u64, active: bool, serial: u32, key: Key) {
        let Some(peer) = &mut self.peer else { return };
        let first = peer.active.is_none();
        let ended = peer.active == Some(true) && !active;
        peer.active = Some(active);
        peer.serial = serial;
        if first {
            self.split = active && self.active;
            let [a, b] = self.own_key;
            self.table.clear([a ^ key[0], b ^ key[1]]);
            self.first_resync = true;
            self.wanted.strays = true;
            self.tell_addresses();
            // What this node did alone may be what the peer needs, whoever wins.
            self.request_resync(now_ns);
        } else {
            if ended {
                self.table.unsend_doubted();
                self.stop_pass_if(|work| matches!(work, Work::Resync { .. }));
            }
            // a resync is of use to a peer only if it knows what the peer is
            self.request_resync(now_ns);
        }
        self.share_out();
        self.subscribe(now_ns);
        self.tell_synchrony();
    }

    /// Where only one node is active, it answers for every flow.
    fn share_out(&mut self) {
        match (self.active, self.peer_is_active()) {
            (true, false) => self.table.give_all(None),
            (false, true) => self.table.give_all(Some(self.peer_resync())),
            _ => {}
        }
    }

    fn say_hello(&mut self) {
        if self.peer.is_some() {
            self.serial = self.serial.wrapping_add(1);
            let hello = Message::Hello {
                active: self.active,
                serial: self.serial,
                key: self.own_key,
            };
            self.ready.push_message(hello.encode());
            self.flush_at_ns = 0;
        }
    }

    pub(super) fn subscribe(&mut self, now_ns: u64) {
        let heard = self.peer.as_ref().is_some_and(|peer| peer.active.is_some());
        let wanted = match heard {
            false => Subscription::Nothing,
            true if self.active || now_ns < self.offering_until_ns => Subscription::All,
            true => Subscription::Destroyed,
        };
        if wanted != self.subscription {
            self.subscription = wanted;
            self.actions.push_back(Action::Subscribe(wanted));
        }
    }

    pub(super) fn tell_synchrony(&mut self) {
        let Some(peer) = &self.peer else { return };
        let (yes, why) = match peer.active {
            _ if self.active => (true, String::new()),
            None => (false, "its peer has not said hello yet".to_owned()),
            Some(false) => (true, String::new()),
            Some(true) if self.loosening => (false, "it prepares its own flows".to_owned()),
            Some(true) if self.complete => (true, String::new()),
            Some(true) if self.short > 0 => (false, format!("{} flows are missing", self.short)),
            Some(true) if peer.flows == 0 => (false, "it takes over the flows".to_owned()),
            Some(true) => {
                let percent = (self.table.len() as u64 * 100 / u64::from(peer.flows)).min(99);
                (false, format!("{percent} %"))
            }
        };
        let word = Some((yes, why.clone()));
        if self.said_synchrony != word {
            self.said_synchrony = word;
            self.actions.push_back(Action::InSync(yes, why));
        }
    }

    /// A peer that has just come knows nothing, and what it says is not known yet.
    fn forget(&mut self) {
        self.table.clear(self.own_key);
        self.ready.clear();
        self.young.clear();
        self.outgoing = None;
        self.said_synchrony = None;
        self.offering_until_ns = 0;
        self.unsettled = false;
        self.orphans.clear();
        self.destroyed.clear();
        self.refused.clear();
        self.stop_pass_if(Work::needs_peer);
        // what concerns this kernel alone goes on
        self.wanted = Wanted {
            restore: self.wanted.restore,
            loosen: self.wanted.loosen,
            ..Wanted::default()
        };
    }
}
