//! A switchover does not wait for a set that takes long to read.

use spared_replica::Config;
use spared_sdk::Engine as _;

use super::lab::*;
use crate::codec::{Handles, SetInfo};
use crate::config::{SetSettings, Settings};
use crate::element::SetName;
use crate::engine::{Action, Engine};
use crate::store::Reading;

const BEGUN: u64 = 1_000 * S;
const QUICK: usize = 0;

/// Two nodes with two sets, which are read when the test says so.
struct Pair {
    nodes: [Engine; 2],
    now_ns: u64,
}

impl Pair {
    /// A pair in which both nodes have read the first set, and the first node reads both.
    fn reading() -> Self {
        let names = ["bans", "large"].map(|name| SetName {
            name: name.to_owned(),
            ..bans()
        });
        let sets = names.clone().map(|name| SetSettings {
            name,
            reload: Default::default(),
        });
        let settings = Settings {
            sets: sets.into(),
            ..Settings::default()
        };
        let names = names.map(|name| name.to_string());
        let node = |number| {
            let config = Config::new(number, number, names.iter().map(String::as_str));
            Engine::new(BEGUN, settings.clone(), config, "boot")
        };
        let mut pair = Self {
            nodes: [1, 2].map(node),
            now_ns: BEGUN,
        };
        pair.nodes[0].handle_role(BEGUN, "office", role_of(true));
        for node in [0, 1] {
            pair.nodes[node].handle_up(BEGUN, 1);
            pair.turn();
            pair.read(node, QUICK, MS);
        }
        pair.exchange();
        pair
    }

    fn read(&mut self, node: usize, set: usize, spent_ns: u64) {
        let info = SetInfo {
            shape: shape(),
            default_timeout_ms: 0,
            concatenated: false,
            dynamic: false,
            handles: Handles { table: 1, set: 1 },
        };
        let reading = Reading {
            certain: true,
            spent_ns,
            generation: 0,
        };
        let node = &mut self.nodes[node];
        node.handle_info(self.now_ns, set, Ok(info));
        node.handle_read(self.now_ns, set, Some(reading));
    }

    /// Runs the engines without answering their requests to read.
    fn turn(&mut self) {
        for node in &mut self.nodes {
            node.handle_timeout(self.now_ns);
            while let Some(action) = node.poll_action(self.now_ns) {
                assert!(!matches!(action, Action::Write(_)));
            }
        }
    }

    fn exchange(&mut self) {
        let mut quiet = false;
        while !quiet {
            quiet = true;
            self.turn();
            for (from, to) in [(0, 1), (1, 0)] {
                while let Some(message) = self.nodes[from].poll_message(self.now_ns) {
                    let message = message.to_vec();
                    self.nodes[from].message_sent(self.now_ns);
                    let heard = self.nodes[to].handle_message(self.now_ns, &message);
                    heard.expect("it makes sense");
                    quiet = false;
                }
            }
        }
    }

    fn drain(&mut self) {
        self.nodes[0].start_drain(self.now_ns, self.now_ns + 2 * S);
        self.exchange();
    }
}

#[test]
fn a_drain_does_not_read_behind_a_set_of_which_nobody_knows_how_long_it_takes() {
    let mut pair = Pair::reading();
    pair.drain();
    assert!(pair.nodes[0].is_drained());
}

#[test]
fn a_drain_does_not_read_behind_a_set_that_takes_long() {
    let mut pair = Pair::reading();
    for node in [0, 1] {
        pair.read(node, 1, 3 * S);
    }
    pair.exchange();
    pair.now_ns += 40 * S;
    // both sets have been requested now, and the large one is still being read
    pair.exchange();
    pair.read(0, QUICK, MS);
    pair.drain();
    assert!(pair.nodes[0].is_drained());
}

#[test]
fn a_drain_reads_a_quick_set_and_gives_up_what_is_not_read_in_half_of_its_time() {
    let mut pair = Pair::reading();
    for node in [0, 1] {
        pair.read(node, 1, MS);
    }
    pair.exchange();
    pair.drain();
    assert!(!pair.nodes[0].is_drained());
    pair.now_ns += S - MS;
    pair.exchange();
    assert!(!pair.nodes[0].is_drained());
    pair.now_ns += MS;
    assert!(
        pair.nodes[0]
            .next_timeout(pair.now_ns)
            .is_some_and(|at| at <= pair.now_ns)
    );
    pair.exchange();
    assert!(pair.nodes[0].is_drained());
}
