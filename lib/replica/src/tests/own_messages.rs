//! A session without tables, with messages of its owner.

use super::lab::{MS, S};
use crate::map::Map;
use crate::wire::Malformed;
use crate::{Config, Drain, Replica};

struct Pair {
    now_ns: u64,
    nodes: [Replica<Map>; 2],
    /// Store that is never used.
    nowhere: Map,
}

impl Pair {
    fn new() -> Self {
        let node = |node| Replica::new(Config::new(100 - node, node, []));
        Self {
            now_ns: S,
            nodes: [node(1), node(2)],
            nowhere: Map::new(0),
        }
    }

    /// A pair that is linked, with the first node active.
    fn linked() -> Self {
        let mut pair = Self::new();
        pair.role(0, &["office"]);
        pair.link();
        pair.exchange();
        pair
    }

    fn link(&mut self) {
        for node in &mut self.nodes {
            node.handle_up(&mut self.nowhere);
        }
    }

    fn role(&mut self, at: usize, groups: &[&str]) {
        let groups = groups.iter().map(|group| (*group).to_owned());
        self.nodes[at].handle_groups(groups.collect());
    }

    /// Sends one message; true if the node had one.
    fn send(&mut self, from: usize) -> bool {
        let message = self.nodes[from].poll_message(self.now_ns, &mut self.nowhere);
        let Some(message) = message.map(<[u8]>::to_vec) else {
            return false;
        };
        self.nodes[from].sent();
        let heard = self.nodes[1 - from].handle_message(self.now_ns, &mut self.nowhere, &message);
        assert_eq!(heard, Ok(()));
        true
    }

    fn exchange(&mut self) {
        for _ in 0..100 {
            if [0, 1].map(|from| self.send(from)) == [false, false] {
                return;
            }
        }
        panic!("they never come to an end");
    }

    fn pass(&mut self, span_ns: u64) {
        let until = self.now_ns + span_ns;
        while self.now_ns < until {
            let timers = self
                .nodes
                .iter()
                .filter_map(|node| node.next_timeout(self.now_ns));
            let next = timers.min().unwrap_or(until);
            assert!(next > self.now_ns, "a timer that is always due");
            self.now_ns = next.min(until);
            for node in &mut self.nodes {
                node.handle_timeout(self.now_ns, &mut self.nowhere);
            }
            self.exchange();
        }
    }

    /// Checks that each node's answer to the other's role names the serial that the other expects.
    #[track_caller]
    fn assert_answers(&self) {
        for at in [0, 1] {
            let (serial, _) = self.nodes[at].peer_role().expect("its role is known");
            assert_eq!(Some(serial), self.nodes[1 - at].serial(), "node {at}");
        }
    }
}

#[test]
fn who_the_peer_is_and_what_is_active_there_is_known_without_tables() {
    let mut pair = Pair::new();
    pair.role(0, &["office"]);
    pair.link();
    assert_eq!(pair.nodes[1].peer_role(), None);
    pair.exchange();
    let (_, groups) = pair.nodes[1].peer_role().unwrap();
    assert_eq!(groups.iter().collect::<Vec<_>>(), ["office"]);
    assert_eq!(pair.nodes[1].peer_key(), Some([99, 1]));
    let greater = [0, 1].map(|at| pair.nodes[at].has_greater_key());
    assert_eq!(greater, [false, true]);
    assert_eq!(pair.nodes[1].ready(&pair.nowhere), Ok(()));
    pair.assert_answers();
    // nothing is to be done, and no timer is set
    assert_eq!(pair.nodes[0].next_timeout(pair.now_ns), None);
}

#[test]
fn a_role_and_a_renewal_have_new_serials_that_the_peer_hears() {
    let mut pair = Pair::linked();
    let before = pair.nodes[0].serial();
    pair.role(0, &["guests", "office"]);
    assert_ne!(pair.nodes[0].serial(), before);
    pair.exchange();
    pair.assert_answers();
    let before = pair.nodes[0].serial();
    pair.nodes[0].renew_serial();
    pair.exchange();
    assert_ne!(pair.nodes[0].serial(), before);
    pair.assert_answers();
    let (_, groups) = pair.nodes[1].peer_role().unwrap();
    assert_eq!(groups.len(), 2);
}

#[test]
fn an_own_message_that_is_none_is_asked_for_again() {
    let mut pair = Pair::linked();
    let before = pair.nodes[1].serial();
    let now_ns = pair.now_ns;
    pair.nodes[1].reject(now_ns, Malformed::Field("flow"));
    pair.nodes[1].reject(now_ns, Malformed::Field("flow"));
    let told = pair.nodes[1].poll_event();
    assert_eq!(
        told.as_deref(),
        Some("the peer's message has an invalid flow; further ones are only counted")
    );
    assert_eq!(pair.nodes[1].poll_event(), None);
    // no answer counts until then
    assert_eq!(pair.nodes[1].serial(), None);
    pair.pass(900 * MS);
    assert!(!pair.nodes[0].take_repeat_request());
    pair.pass(200 * MS);
    assert!(pair.nodes[0].take_repeat_request() && !pair.nodes[0].take_repeat_request());
    assert_eq!(pair.nodes[1].garbage(), (2, 0));
    assert!(pair.nodes[1].serial() > before);
    pair.assert_answers();
    assert_eq!(pair.nodes[1].ready(&pair.nowhere), Ok(()));
    // and at once, if the owner knows what it lacks
    pair.nodes[1].request_repeat();
    pair.exchange();
    pair.assert_answers();
    assert!(pair.nodes[0].take_repeat_request());
}

#[test]
fn a_drain_is_answered_whatever_happens_to_the_roles() {
    for change in [false, true] {
        let mut pair = Pair::linked();
        pair.nodes[0].start_drain();
        if change {
            pair.send(0);
            pair.role(1, &["guests"]);
        }
        assert_eq!(pair.nodes[0].drain_state(), Drain::Pending);
        pair.exchange();
        assert_eq!(pair.nodes[0].drain_state(), Drain::Done, "{change}");
    }
    let mut pair = Pair::linked();
    pair.nodes[0].start_drain();
    pair.nodes[0].handle_down(&mut pair.nowhere);
    assert_eq!(pair.nodes[0].drain_state(), Drain::Failed);
}
