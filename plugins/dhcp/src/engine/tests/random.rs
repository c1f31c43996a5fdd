//! Tests random histories: in the end both nodes agree, and no active client has lost its lease.

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
    /// A switchover if both nodes are there, else a failover.
    Switch,
    /// A role, whatever the other node's is: both or none may be active, as after a partition or a
    /// fault.
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
    /// An administrator starts or stops a server.
    Server {
        node: usize,
        runs: bool,
    },
    /// Somebody moves the file of a running server, or truncates it.
    Accident {
        node: usize,
        is_cut: bool,
    },
    /// The file cannot be written, or can again.
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
        2 => (node.clone(), any::<bool>())
            .prop_map(|(node, is_cut)| Step::Accident { node, is_cut }),
        1 => (node, -3_i64..4).prop_map(|(node, hours)| Step::Clock { node, hours }),
        6 => (1_i64..90).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// The lab, and the history of its servers.
struct World {
    lab: Lab,
    active: [bool; 2],
    /// Last commit or release of each address by a server that may grant it: time, client, end.
    last: BTreeMap<u16, (i64, Option<u8>, i64)>,
    warm: bool,
}

impl World {
    fn new(format: Format, warm: bool, delay_ms: u64) -> Self {
        let settings = Settings {
            servers: vec![Server {
                warm,
                format,
                ..server("kea4")
            }],
            ..settings()
        };
        let mut lab = Lab::new(settings);
        lab.channels = channels(delay_ms);
        for node in [0, 1] {
            lab.nodes[node].servers[0].live = warm;
            if warm {
                lab.start(node, 0);
            }
        }
        Self {
            lab,
            active: [false; 2],
            last: BTreeMap::new(),
            warm,
        }
    }

    fn is_sender(&self, node: usize) -> bool {
        let fake = &self.lab.nodes[node].servers[0];
        self.active[node] && fake.runs && !fake.silent
    }

    fn take(&mut self, step: Step) {
        // commits that are close together have no order between the nodes
        self.lab.run(5 * S);
        match step {
            Step::Commit { node, number, who } if self.is_sender(node) => {
                // a server grants no address that another client has
                let has = self.lab.filed(node, number);
                let free = has.is_none_or(|(it, left_s)| it == client(who) || left_s <= 0);
                if free {
                    self.lab.commit(node, number, who);
                    let end_ns = self.lab.now_ns() + 600 * S;
                    self.last
                        .insert(number, (self.lab.now_ns(), Some(who), end_ns));
                }
            }
            Step::Release { node, number }
                if self.is_sender(node) && self.lab.filed(node, number).is_some() =>
            {
                self.lab.release(node, number);
                self.last.insert(number, (self.lab.now_ns(), None, 0));
            }
            Step::Switch => self.switch(),
            Step::Role { node, active } => self.role(node, active),
            Step::Cut if self.lab.linked => self.lab.cut(),
            Step::Link if !self.lab.linked => self.lab.link(),
            // then only its server knows the contents of the file
            Step::Restart { node, .. } | Step::Disk { node, works: false }
                if self.lab.nodes[node].servers[0].named.is_some() => {}
            Step::Accident { node, is_cut } => {
                let fake = &mut self.lab.nodes[node].servers[0];
                let is_safe = fake.runs && fake.named.is_none() && fake.broken.is_none();
                match is_cut {
                    _ if !is_safe || fake.changed_s.is_some() => {}
                    true => fake.cut_off(),
                    false => fake.lose_name(),
                }
                self.lab.settle();
            }
            Step::Restart { node, killed } => {
                let active = self.active[node];
                self.lab.restart(node, killed, active);
            }
            Step::Server { node, runs } => self.lab.run_server(node, 0, runs),
            Step::Disk { node, works } => {
                let broken = (!works).then(|| "no space left".to_owned());
                self.lab.nodes[node].servers[0].broken = broken;
            }
            Step::Clock { node, hours } => {
                // the server's own file is off by the same step: it is read by the new clock
                let fake = &mut self.lab.nodes[node].servers[0];
                if !fake.runs || fake.named.is_some() {
                    return;
                }
                for (_, ends_s, committed_s) in fake.file().values_mut() {
                    *ends_s += hours * 3600;
                    *committed_s += hours * 3600;
                }
                fake.changed_s = fake.changed_s.map(|it| it + hours * 3600);
                self.lab.nodes[node].clock.unix_ns += hours * HOUR;
            }
            Step::Pass { seconds } => self.lab.run(seconds * S),
            _ => {}
        }
    }

    fn role(&mut self, node: usize, active: bool) {
        if self.active[node] == active {
            return;
        }
        if active {
            self.lab.tell_role(node, true);
            self.lab.run(6 * S);
            self.lab.start(node, 0);
        } else {
            if !self.warm {
                self.lab.stop(node, 0);
            }
            self.lab.tell_role(node, false);
            self.lab.run(4 * S);
        }
        self.active[node] = active;
    }

    fn switch(&mut self) {
        let from = usize::from(!self.active[0]);
        if self.active[0] == self.active[1] {
            return;
        }
        if self.lab.linked {
            self.lab.drain(from);
            self.lab.tell_role(1 - from, true);
            self.role(from, false);
            self.lab.run(S);
            self.lab.start(1 - from, 0);
            self.active[1 - from] = true;
        } else {
            self.role(1 - from, true);
        }
    }

    /// Repairs everything, with one node active.
    fn heal(&mut self, active: usize) {
        for node in [0, 1] {
            self.lab.nodes[node].servers[0].broken = None;
        }
        if !self.lab.linked {
            self.lab.link();
        }
        self.role(active, true);
        self.role(1 - active, false);
        if !self.warm {
            self.lab.stop(1 - active, 0);
        } else {
            self.lab.start(1 - active, 0);
        }
        self.lab.start(active, 0);
        self.lab.run(70 * S);
    }

    fn check(&mut self, active: usize) {
        self.lab.assert_equal();
        let backup = 1 - active;
        let it = &self.lab.nodes[backup];
        assert!(it.in_sync.0, "{:?}", it.in_sync);
        let clients = self.lab.clients(active);
        for (number, (_, who, end_ns)) in &self.last {
            let Some(who) = who else { continue };
            if *end_ns > self.lab.now_ns() + 5 * S {
                assert_eq!(clients.get(&key(*number)), Some(&client(*who)), "{number}");
                let left_s = (end_ns - self.lab.now_ns()) / S;
                for node in [0, 1] {
                    let (_, has_s) = self.lab.lease(node, *number).expect("it is there");
                    assert!(
                        (has_s - left_s).abs() <= 3,
                        "{number}: {has_s} s, {left_s} s"
                    );
                }
            }
        }
        // at rest: no messages are sent
        for node in &mut self.lab.nodes {
            node.messages.clear();
        }
        self.lab.run(200 * S);
        for node in &self.lab.nodes {
            assert_eq!(node.messages, [[0; 0]; 0]);
        }
        // the new server has the old one's leases when it starts
        if !self.warm {
            let books = self.lab.clients(active);
            self.lab.drain(active);
            self.lab.stop(active, 0);
            let ticket = self.lab.tell_role(backup, true);
            self.lab.tell_role(active, false);
            self.lab.run(5 * S);
            assert!(self.lab.nodes[backup].is_done(ticket));
            assert_eq!(self.lab.filed_clients(backup), books);
        } else {
            for number in 0..12 {
                let [here, there] = [active, backup].map(|node| self.lab.filed(node, number));
                let lives =
                    |filed: &Option<(Client, i64)>| filed.as_ref().is_some_and(|it| it.1 > 5);
                if lives(&here) || lives(&there) {
                    assert_eq!(here.map(|it| it.0), there.map(|it| it.0), "{number}");
                }
            }
        }
    }
}

fn history(format: Format, warm: bool, delay_ms: u64, active: usize, steps: &[Step]) {
    let mut world = World::new(format, warm, delay_ms);
    world.lab.link();
    world.role(0, true);
    for step in steps {
        world.take(*step);
    }
    world.heal(active);
    world.check(active);
}

/// After a truncation the server also appends deletions that it is sent.
#[test]
fn a_lease_that_went_after_the_file_of_a_warm_backup_was_cut_off_is_in_no_file() {
    let (node, number) = (1, 2);
    let (cut, runs) = (true, false);
    let steps = [
        Step::Accident {
            node: 0,
            is_cut: cut,
        },
        Step::Switch,
        Step::Commit {
            node,
            number,
            who: 1,
        },
        Step::Release { node, number },
        Step::Server { node: 0, runs },
    ];
    history(Format::Kea4, true, 0, 0, &steps);
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happened_to_cold_servers_both_agree_and_nothing_is_lost(
        active in 0_usize..2,
        delay_ms in prop_oneof![Just(0_u64), 1_u64..900],
        steps in prop::collection::vec(step(), 0..40),
    ) {
        history(Format::Kea4, false, delay_ms, active, &steps);
    }

    #[test]
    fn whatever_happened_to_warm_servers_both_agree_and_nothing_is_lost(
        active in 0_usize..2,
        delay_ms in prop_oneof![Just(0_u64), 1_u64..900],
        steps in prop::collection::vec(step(), 0..40),
    ) {
        history(Format::Kea4, true, delay_ms, active, &steps);
    }

    #[test]
    fn whatever_happened_to_servers_that_keep_no_times_both_agree_and_nothing_is_lost(
        active in 0_usize..2,
        delay_ms in prop_oneof![Just(0_u64), 1_u64..900],
        warm in any::<bool>(),
        steps in prop::collection::vec(step(), 0..40),
    ) {
        history(Format::Dnsmasq, warm, delay_ms, active, &steps);
    }
}
