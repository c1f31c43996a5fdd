//! Random histories: whatever happened, in the end both nodes agree, and no living client has lost
//! its lease.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Commit {
        node: usize,
        number: u16,
        who: u8,
    },
    Release {
        node: usize,
        number: u16,
    },
    /// Planned where both are there, else by death.
    Switch,
    /// Also the other one, or none: what a partition or a fault brings.
    Role {
        node: usize,
        active: bool,
    },
    Cut,
    Link,
    Restart {
        node: usize,
        killed: bool,
    },
    /// Somebody starts or stops a server by hand.
    Server {
        node: usize,
        runs: bool,
    },
    /// The file cannot be written, or can.
    Disk {
        node: usize,
        works: bool,
    },
    Clock {
        node: usize,
        hours: i64,
    },
    Pass {
        seconds: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0_usize..2;
    let number = 0_u16..12;
    prop_oneof![
        12 => (node.clone(), number.clone(), 1_u8..6)
            .prop_map(|(node, number, who)| Step::Commit { node, number, who }),
        4 => (node.clone(), number).prop_map(|(node, number)| Step::Release { node, number }),
        4 => Just(Step::Switch),
        3 => (node.clone(), any::<bool>()).prop_map(|(node, active)| Step::Role { node, active }),
        2 => Just(Step::Cut),
        3 => Just(Step::Link),
        2 => (node.clone(), any::<bool>()).prop_map(|(node, killed)| Step::Restart { node, killed }),
        1 => (node.clone(), any::<bool>()).prop_map(|(node, runs)| Step::Server { node, runs }),
        1 => (node.clone(), any::<bool>()).prop_map(|(node, works)| Step::Disk { node, works }),
        1 => (node, -3_i64..4).prop_map(|(node, hours)| Step::Clock { node, hours }),
        6 => (1_i64..90).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// What really happened.
struct World {
    pair: Pair,
    active: [bool; 2],
    /// The last commit or release of each address by a server that might: when, who, until when.
    last: BTreeMap<u16, (i64, Option<u8>, i64)>,
    warm: bool,
}

impl World {
    fn new(format: Format, warm: bool, delay_ms: i64) -> Self {
        let settings = Settings {
            servers: vec![Server {
                warm,
                format,
                ..server("kea4")
            }],
            ..settings()
        };
        let mut pair = Pair::new(settings);
        for node in [0, 1] {
            pair.nodes[node].servers[0].live = warm;
            pair.nodes[node].delay_ms = delay_ms;
            if warm {
                pair.start(node, 0);
            }
        }
        Self {
            pair,
            active: [false; 2],
            last: BTreeMap::new(),
            warm,
        }
    }

    fn is_sender(&self, node: usize) -> bool {
        let fake = &self.pair.nodes[node].servers[0];
        self.active[node] && fake.runs && !fake.silent
    }

    fn take(&mut self, step: Step) {
        // commits that lie closer together have no order between nodes
        self.pair.run(5 * S);
        match step {
            Step::Commit { node, number, who } if self.is_sender(node) => {
                // a server gives no address that another client has
                let has = self.pair.filed(node, number);
                let free = has.is_none_or(|(it, left_s)| it == client(who) || left_s <= 0);
                if free {
                    self.pair.commit(node, number, who);
                    let end_ms = self.pair.now_ms + 600 * S;
                    self.last
                        .insert(number, (self.pair.now_ms, Some(who), end_ms));
                }
            }
            Step::Release { node, number }
                if self.is_sender(node) && self.pair.filed(node, number).is_some() =>
            {
                self.pair.release(node, number);
                self.last.insert(number, (self.pair.now_ms, None, 0));
            }
            Step::Switch => self.switch(),
            Step::Role { node, active } => self.role(node, active),
            Step::Cut if self.pair.linked => self.pair.cut(),
            Step::Link if !self.pair.linked => self.pair.link(),
            Step::Restart { node, killed } => {
                let active = self.active[node];
                self.pair.restart(node, killed, active);
            }
            Step::Server { node, runs } => self.pair.run_server(node, 0, runs),
            Step::Disk { node, works } => {
                let broken = (!works).then(|| "no space left".to_owned());
                self.pair.nodes[node].servers[0].broken = broken;
            }
            Step::Clock { node, hours } => {
                // the server's own file is off by that, too: it is read as the clock says
                if !self.pair.nodes[node].servers[0].runs {
                    return;
                }
                let fake = &mut self.pair.nodes[node].servers[0];
                for (_, ends_s, committed_s) in fake.file().values_mut() {
                    *ends_s += hours * 3600;
                    *committed_s += hours * 3600;
                }
                fake.changed_s = fake.changed_s.map(|it| it + hours * 3600);
                self.pair.nodes[node].clock.unix_ms += hours * HOUR;
            }
            Step::Pass { seconds } => self.pair.run(seconds * S),
            _ => {}
        }
    }

    fn role(&mut self, node: usize, active: bool) {
        if self.active[node] == active {
            return;
        }
        if active {
            self.pair.tell_role(node, true);
            self.pair.run(6 * S);
            self.pair.start(node, 0);
        } else {
            if !self.warm {
                self.pair.stop(node, 0);
            }
            self.pair.tell_role(node, false);
            self.pair.run(4 * S);
        }
        self.active[node] = active;
    }

    fn switch(&mut self) {
        let from = usize::from(!self.active[0]);
        if self.active[0] == self.active[1] {
            return;
        }
        if self.pair.linked {
            self.pair.drain(from);
            self.pair.tell_role(1 - from, true);
            self.role(from, false);
            self.pair.run(S);
            self.pair.start(1 - from, 0);
            self.active[1 - from] = true;
        } else {
            self.role(1 - from, true);
        }
    }

    /// Everything is whole again, and one node active.
    fn heal(&mut self, active: usize) {
        for node in [0, 1] {
            self.pair.nodes[node].servers[0].broken = None;
        }
        if !self.pair.linked {
            self.pair.link();
        }
        self.role(active, true);
        self.role(1 - active, false);
        if !self.warm {
            self.pair.stop(1 - active, 0);
        } else {
            self.pair.start(1 - active, 0);
        }
        self.pair.start(active, 0);
        self.pair.run(70 * S);
    }

    fn check(&mut self, active: usize) {
        self.pair.assert_equal();
        let backup = 1 - active;
        let it = &self.pair.nodes[backup];
        assert!(it.in_sync.0, "{:?}", it.in_sync);
        let clients = self.pair.clients(active);
        for (number, (_, who, end_ms)) in &self.last {
            let Some(who) = who else { continue };
            if *end_ms > self.pair.now_ms + 5 * S {
                assert_eq!(clients.get(&key(*number)), Some(&client(*who)), "{number}");
                let left_s = (end_ms - self.pair.now_ms) / S;
                for node in [0, 1] {
                    let (_, has_s) = self.pair.lease(node, *number).expect("it is there");
                    assert!(
                        (has_s - left_s).abs() <= 3,
                        "{number}: {has_s} s, {left_s} s"
                    );
                }
            }
        }
        // calm: nobody says anything any more
        for node in &mut self.pair.nodes {
            node.messages.clear();
        }
        self.pair.run(200 * S);
        for node in &self.pair.nodes {
            assert_eq!(node.messages, []);
        }
        // what the old one had is what the new one's server has when it starts
        if !self.warm {
            let books = self.pair.clients(active);
            self.pair.drain(active);
            self.pair.stop(active, 0);
            let ticket = self.pair.tell_role(backup, true);
            self.pair.tell_role(active, false);
            self.pair.run(3 * S);
            assert!(self.pair.nodes[backup].is_done(ticket));
            assert_eq!(self.pair.filed_clients(backup), books);
        } else {
            for number in 0..12 {
                let [here, there] = [active, backup].map(|node| self.pair.filed(node, number));
                let lives =
                    |filed: &Option<(Client, i64)>| filed.as_ref().is_some_and(|it| it.1 > 5);
                if lives(&here) || lives(&there) {
                    assert_eq!(here.map(|it| it.0), there.map(|it| it.0), "{number}");
                }
            }
        }
    }
}

fn history(format: Format, warm: bool, delay_ms: i64, active: usize, steps: &[Step]) {
    let mut world = World::new(format, warm, delay_ms);
    world.pair.link();
    world.role(0, true);
    for step in steps {
        world.take(*step);
    }
    world.heal(active);
    world.check(active);
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happened_to_cold_servers_both_agree_and_nothing_is_lost(
        active in 0_usize..2,
        delay_ms in prop_oneof![Just(0_i64), 1_i64..900],
        steps in prop::collection::vec(step(), 0..40),
    ) {
        history(Format::Kea4, false, delay_ms, active, &steps);
    }

    #[test]
    fn whatever_happened_to_warm_servers_both_agree_and_nothing_is_lost(
        active in 0_usize..2,
        delay_ms in prop_oneof![Just(0_i64), 1_i64..900],
        steps in prop::collection::vec(step(), 0..40),
    ) {
        history(Format::Kea4, true, delay_ms, active, &steps);
    }

    #[test]
    fn whatever_happened_to_servers_that_keep_no_times_both_agree_and_nothing_is_lost(
        active in 0_usize..2,
        delay_ms in prop_oneof![Just(0_i64), 1_i64..900],
        warm in any::<bool>(),
        steps in prop::collection::vec(step(), 0..40),
    ) {
        history(Format::Dnsmasq, warm, delay_ms, active, &steps);
    }
}
