//! Tests with two nodes on one clock, a network between them that loses, repeats and floods, and
//! further machines with the nodes' keys.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use spared_sim::{Agenda, Clock, Random};

use super::*;
use crate::error::HeartbeatDiscard;
use crate::heartbeats::{Authentication, Key, Received, SECRET_LEN, Sender};
use crate::wire::heartbeat::{Ack, Heartbeat, group_id};

const MS: u64 = 1_000_000;
const NAMES: [&str; 2] = ["r1", "r2"];
const LATENCY_NS: u64 = MS / 2;
/// Time that the link's process needs for an operation.
const SIGNATURE_NS: u64 = MS;
const INTERVAL_NS: u64 = 100 * MS;
const DOWN_NS: u64 = 350 * MS;
const PATH: u32 = 1 << 31;

/// A machine with a node's keys.
struct Machine {
    name: usize,
    authentication: Authentication,
    due_ns: u64,
    dead: bool,
    /// The link's process does not answer.
    no_answers: bool,
    /// Requests that are answered later.
    asked: Agenda<Request>,
    requests: u64,
    was_cloned: bool,
    has_second_machine: bool,
    /// Number of heartbeats with a wrong tag.
    forged: u32,
}

impl Machine {
    fn start(name: usize, run: u64, now_ns: u64) -> Machine {
        let mut authentication = Authentication::with_run(NAMES[name], run);
        authentication.set_peer(Some(NAMES[1 - name]));
        authentication.set_patience(DOWN_NS);
        authentication.set_groups([group_id("g")].into_iter());
        authentication.set_paths([PATH].into_iter());
        Machine {
            name,
            authentication,
            due_ns: now_ns,
            dead: false,
            no_answers: false,
            asked: Agenda::default(),
            requests: 0,
            was_cloned: false,
            has_second_machine: false,
            forged: 0,
        }
    }

    /// Number of keys with which it seals.
    fn keys(&self, now_ns: u64) -> usize {
        self.authentication.send_keys(now_ns)
    }

    fn handle(&mut self, now_ns: u64, class: PathClass, payload: &[u8]) {
        match self.authentication.receive(now_ns, class, PATH, payload) {
            Ok(Received::Heartbeat(mut opened)) => while opened.next_group().is_some() {},
            Err(HeartbeatDiscard::Forged) => self.forged += 1,
            _ => {}
        }
    }

    /// Returns the frames that it sends.
    fn act(&mut self, now_ns: u64) -> Vec<Vec<u8>> {
        let events = self.authentication.take_events(now_ns);
        self.was_cloned |= events.is_cloned;
        self.has_second_machine |= events.has_second_machine;
        if events.needs_heartbeat {
            self.due_ns = now_ns;
        }
        while let Some(request) = self.authentication.poll_request() {
            self.requests += 1;
            if !self.no_answers {
                self.asked.plan(now_ns + SIGNATURE_NS, request);
            }
        }
        let mut payloads: Vec<_> =
            std::iter::from_fn(|| self.authentication.poll_frame()).collect();
        if now_ns >= self.due_ns {
            self.due_ns = now_ns + INTERVAL_NS;
            let heartbeat = Heartbeat {
                group: group_id("g"),
                ..Heartbeat::with_room()
            };
            self.authentication.begin_heartbeat([heartbeat].iter());
            self.authentication
                .seal(now_ns, PATH, 0, |sealed| payloads.push(sealed.to_vec()));
        }
        payloads
    }

    fn answer(&mut self, now_ns: u64) {
        while let Some((_, request)) = self.asked.take(now_ns) {
            match request {
                Request::Sign { ticket, statement } => {
                    let signature = pair_of(self.name).sign(&statement);
                    self.authentication
                        .handle_signed(now_ns, ticket, signature.as_ref());
                }
                Request::Verify {
                    ticket,
                    statement,
                    signature,
                } => {
                    let key = pair_of(1 - self.name);
                    let key = UnparsedPublicKey::new(&ED25519, key.public_key());
                    let genuine = key.verify(&statement, &signature).is_ok();
                    self.authentication.handle_verified(now_ns, ticket, genuine);
                }
            }
        }
    }
}

fn pair_of(name: usize) -> Ed25519KeyPair {
    let seed = [u8::try_from(name).expect("small") + 1; 32];
    Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed")
}

/// Machines in one broadcast domain, and a link.
struct World {
    clock: Clock,
    machines: Vec<Machine>,
    /// Frames in transit: receiver, class of path, bytes.
    wire: Agenda<(usize, PathClass, Vec<u8>)>,
    /// All sent frames with their senders.
    recorded: Vec<(usize, Vec<u8>)>,
    /// Percentage of lost frames, on paths of each class.
    loss: [u64; 2],
    flood: Option<Flood>,
    random: Random,
    runs: u64,
}

/// Frames that a station on the network sends.
#[derive(Clone, Copy)]
struct Flood {
    per_second: u64,
    due_ns: u64,
    turn: u64,
}

impl World {
    fn new() -> World {
        World {
            clock: Clock::at(1000 * SECOND_NS),
            machines: Vec::new(),
            wire: Agenda::default(),
            recorded: Vec::new(),
            loss: [0, 100],
            flood: None,
            random: Random::new(0),
            runs: 100,
        }
    }

    fn pair() -> World {
        let mut world = World::new();
        world.add(0);
        world.add(1);
        world
    }

    fn add(&mut self, name: usize) -> usize {
        self.runs += 1;
        let machine = Machine::start(name, self.runs, self.clock.now_ns());
        self.machines.push(machine);
        self.machines.len() - 1
    }

    fn restart(&mut self, machine: usize) {
        self.runs += 1;
        let name = self.machines[machine].name;
        let no_answers = self.machines[machine].no_answers;
        self.machines[machine] = Machine::start(name, self.runs, self.clock.now_ns());
        self.machines[machine].no_answers = no_answers;
    }

    fn send(&mut self, from: usize, packet: &[u8]) {
        self.recorded.push((from, packet.to_vec()));
        for to in (0..self.machines.len()).filter(|to| *to != from) {
            for class in [PathClass::Network, PathClass::Link] {
                if !self.random.chance(10 * self.loss[class as usize]) {
                    let at_ns = self.clock.now_ns() + LATENCY_NS;
                    self.wire.plan(at_ns, (to, class, packet.to_vec()));
                }
            }
        }
    }

    fn forge(&mut self) {
        let Some(mut flood) = self.flood else { return };
        while flood.due_ns <= self.clock.now_ns() {
            // so that no node's timer is in step with it
            flood.due_ns += self.random.below(2 * SECOND_NS / flood.per_second);
            flood.turn += 1;
            let number = self.random.number();
            for to in 0..2 {
                let packet = self.forgery(flood.turn, to, number | 1);
                self.machines[to].handle(self.clock.now_ns(), PathClass::Network, &packet);
            }
        }
        self.flood = Some(flood);
    }

    /// A forged frame to one of the nodes, as the other one; all runs are visible on the network.
    fn forgery(&self, turn: u64, to: usize, random: u64) -> Vec<u8> {
        let own = self.machines[to].authentication.run();
        let peer = self.machines[1 - to].authentication.run();
        let offer = |from, number| Offer {
            from,
            to: own,
            number,
            public: [9; 32],
        };
        let said = |from| {
            let mut sender = Sender::new(from);
            sender.begin_heartbeat([Heartbeat::with_room()].iter());
            let ack = Ack {
                run: own,
                number: 1,
                is_second: false,
            };
            let key = Key::new(from, &[0; SECRET_LEN]);
            sender.seal(&key, ack, PATH, 0).to_vec()
        };
        let recorded = || {
            let place = usize::try_from(random).unwrap_or(0) % self.recorded.len().max(1);
            self.recorded.get(place).map(|(_, packet)| packet.clone())
        };
        match turn % 8 {
            0 => offer::hello(random).to_vec(),
            1 => offer(random, 1).frame(false, &[1; 64]).to_vec(),
            2 => offer(peer, random).frame(false, &[2; 64]).to_vec(),
            3 => offer(peer, 1).frame(true, &[3; 64]).to_vec(),
            4 => said(random),
            5 => said(peer),
            _ => recorded().unwrap_or(said(random)),
        }
    }

    fn step(&mut self) {
        self.clock.pass(MS / 2);
        self.forge();
        let now_ns = self.clock.now_ns();
        while let Some((_, (to, class, packet))) = self.wire.take(now_ns) {
            if !self.machines[to].dead {
                self.machines[to].handle(now_ns, class, &packet);
            }
        }
        for at in 0..self.machines.len() {
            let machine = &mut self.machines[at];
            if machine.dead {
                continue;
            }
            machine.answer(now_ns);
            if machine
                .authentication
                .next_timeout()
                .is_some_and(|at_ns| at_ns <= now_ns)
            {
                machine.authentication.handle_timeout(now_ns);
                let next = machine.authentication.next_timeout();
                assert!(next.is_none_or(|at_ns| at_ns > now_ns), "{next:?}");
            }
            for packet in machine.act(now_ns) {
                self.send(at, &packet);
            }
        }
    }

    fn run(&mut self, ns: u64) {
        let end_ns = self.clock.now_ns() + ns;
        while self.clock.now_ns() < end_ns {
            self.step();
        }
    }

    /// Returns true if each node uses the key of the other's run.
    fn confirmed(&self) -> bool {
        self.uses(0, 1) && self.uses(1, 0)
    }

    fn uses(&self, of: usize, other: usize) -> bool {
        self.machines[of].authentication.confirmed()
            == Some(self.machines[other].authentication.run())
    }

    /// Returns the time until they do.
    fn confirm_within(&mut self, limit_ns: u64) -> u64 {
        let begin_ns = self.clock.now_ns();
        while !self.confirmed() {
            self.step();
            let counts: Vec<_> = self
                .machines
                .iter()
                .map(|m| m.authentication.counters())
                .collect();
            assert!(self.clock.now_ns() - begin_ns < limit_ns, "{counts:#?}");
        }
        self.clock.now_ns() - begin_ns
    }
}

#[test]
fn two_starts_agree_at_once_and_are_still_then() {
    let mut world = World::pair();
    world.confirm_within(400 * MS);
    world.run(SECOND_NS);
    let asked = |world: &World| [0, 1].map(|at| world.machines[at].requests);
    let before = asked(&world);
    assert!(before.iter().all(|requests| *requests <= 2), "{before:?}");
    world.recorded.clear();
    world.run(60 * SECOND_NS);
    assert_eq!(asked(&world), before);
    let handshakes = world
        .recorded
        .iter()
        .filter(|(_, packet)| offer::is_agreement_frame(packet));
    assert_eq!(handshakes.count(), 0);
    assert!(
        (1198..=1202).contains(&world.recorded.len()),
        "{}",
        world.recorded.len()
    );
}

#[test]
fn restarts_in_every_order_are_confirmed() {
    // which node restarts, and after which time: in every phase of the agreement, and of the
    // earlier one
    for first in [0, 1] {
        for second in [None, Some(0), Some(1)] {
            for pause in [0, 1, 2, 3, 4, 5, 7, 10, 50, 110, 300, 1000, 7000] {
                let mut world = World::pair();
                world.confirm_within(SECOND_NS);
                world.restart(first);
                world.run(pause * MS);
                if let Some(second) = second {
                    world.restart(second);
                }
                world.confirm_within(SECOND_NS);
                world.run(12 * SECOND_NS);
                let keys = [0, 1].map(|at| world.machines[at].keys(world.clock.now_ns()));
                assert_eq!(keys, [1, 1], "{first} {second:?} {pause}");
                assert!(
                    world
                        .machines
                        .iter()
                        .all(|machine| !machine.has_second_machine)
                );
            }
        }
    }
}

#[test]
fn a_wire_that_loses_delays_it_and_no_more() {
    for seed in 1..30 {
        let mut world = World::pair();
        world.random = Random::new(seed);
        world.loss[0] = 60;
        for machine in [0, 1, 0] {
            world.confirm_within(15 * SECOND_NS);
            world.restart(machine);
        }
    }
}

#[test]
fn a_link_process_that_dies_is_asked_again() {
    for which in [0, 1] {
        let mut world = World::pair();
        world.machines[which].no_answers = true;
        world.run(30 * SECOND_NS);
        assert!(!world.confirmed());
        let requests = world.machines[which].requests;
        assert!((10..200).contains(&requests), "{requests}");
        world.machines[which].no_answers = false;
        world.confirm_within(2 * SECOND_NS);
        // a confirmed key needs it no more
        world.machines[which].no_answers = true;
        world.run(30 * SECOND_NS);
        assert!(world.confirmed());
    }
}

#[test]
fn a_forger_costs_a_few_verifications_and_no_key() {
    for per_second in [1, 5, 50, 1000] {
        let mut world = World::pair();
        world.confirm_within(SECOND_NS);
        world.flood = Some(Flood {
            per_second,
            due_ns: world.clock.now_ns(),
            turn: 0,
        });
        let before = world.machines[0].requests + world.machines[1].requests;
        let runs = [0, 1].map(|at| world.machines[at].authentication.confirmed());
        world.run(20 * SECOND_NS);
        assert_eq!(
            runs,
            [0, 1].map(|at| world.machines[at].authentication.confirmed())
        );
        for machine in &mut world.machines {
            assert_eq!(machine.keys(world.clock.now_ns()), 1);
            assert!(machine.authentication.agreement().table.len() <= 2 * peer_runs::RUNS_MAX);
        }
        let asked = world.machines[0].requests + world.machines[1].requests - before;
        assert!(asked <= 20 * 2 * 20, "{asked}");
    }
}

#[test]
fn a_restart_beside_a_forger_is_confirmed() {
    for (per_second, limit) in [(1, 1), (5, 2), (50, 15)] {
        for machine in [0, 1] {
            for seed in 1..20 {
                let mut world = World::pair();
                world.random = Random::new(seed);
                world.confirm_within(SECOND_NS);
                world.flood = Some(Flood {
                    per_second,
                    due_ns: world.clock.now_ns(),
                    turn: 0,
                });
                world.run(2 * SECOND_NS);
                world.restart(machine);
                world.confirm_within(limit * SECOND_NS);
            }
        }
    }
}

#[test]
fn a_flood_on_the_network_delays_nothing_on_the_link() {
    for machine in [0, 1] {
        let mut world = World::pair();
        world.loss = [0, 0];
        world.confirm_within(SECOND_NS);
        world.flood = Some(Flood {
            per_second: 2000,
            due_ns: world.clock.now_ns(),
            turn: 0,
        });
        world.run(2 * SECOND_NS);
        world.restart(machine);
        world.confirm_within(SECOND_NS);
    }
}

#[test]
fn recorded_offers_and_heartbeats_bring_no_old_key_back() {
    let mut world = World::pair();
    for machine in [0, 1, 0, 1, 0, 1] {
        world.confirm_within(SECOND_NS);
        world.restart(machine);
    }
    world.confirm_within(SECOND_NS);
    let runs = [0, 1].map(|at| world.machines[at].authentication.confirmed());
    let recorded = world.recorded.clone();
    for (from, packet) in recorded {
        for to in 0..2 {
            let machine = &mut world.machines[to];
            if machine.name != from {
                machine.handle(world.clock.now_ns(), PathClass::Network, &packet);
            }
        }
        world.step();
        assert_eq!(
            runs,
            [0, 1].map(|at| world.machines[at].authentication.confirmed())
        );
    }
}

/// Another machine with r2's keys begins while the first one runs, and continues when that has
/// gone.
#[test]
fn a_second_machine_waits_until_the_first_is_silent() {
    let mut world = World::pair();
    world.confirm_within(SECOND_NS);
    let clone = world.add(1);
    world.run(5 * SECOND_NS);
    assert!(world.uses(0, 1) && world.uses(clone, 0));
    assert_eq!(world.machines[0].keys(world.clock.now_ns()), 2);
    assert!(world.machines[0].has_second_machine);
    world.machines[1].dead = true;
    world.run(2 * DOWN_NS);
    assert!(world.uses(0, clone));
}

/// r2 forgets the agreement in each of its phases, as if too many others had come.
#[test]
fn who_forgot_what_it_agreed_agrees_anew() {
    for forgetful in [0, 1] {
        for pause in 0..30 {
            let mut world = World::pair();
            world.run(pause * MS / 2);
            let machine = &mut world.machines[forgetful];
            machine.authentication.forget();
            machine.authentication.agreement().table = PeerRuns::default();
            machine.authentication.agreement().current = None;
            world.confirm_within(8 * SECOND_NS);
        }
    }
}

/// Both runs continue, and their agreed keys work: they must not be mistaken for another machine's.
fn heal_partitions(forged: bool) {
    for seconds in [1, 4, 6, 7, 10, 30, 60] {
        for phase in (0..1000).step_by(90) {
            let mut world = World::pair();
            world.confirm_within(400 * MS);
            world.run(SECOND_NS + phase * MS);
            for round in 0..3 {
                world.loss = [100, 100];
                for _ in 0..seconds {
                    if forged {
                        let hello = offer::hello(world.machines[1].authentication.run());
                        let now_ns = world.clock.now_ns();
                        world.machines[0].handle(now_ns, PathClass::Network, &hello);
                    }
                    world.run(SECOND_NS);
                }
                world.run(phase * MS);
                world.loss = [0, 100];
                world.run(20 * SECOND_NS);
                let case = format!("{seconds} s, {phase} ms, {round}");
                assert!(world.confirmed(), "{case}");
                let now_ns = world.clock.now_ns();
                let keys = [0, 1].map(|at| world.machines[at].keys(now_ns));
                assert_eq!(keys, [1, 1], "{case}");
                for machine in &world.machines {
                    assert!(!machine.has_second_machine, "{case}");
                    // a node that was heard meanwhile accepts no answer: the other one's key ends
                    // unused
                    assert!(forged || machine.forged == 0, "{case}");
                }
            }
        }
    }
}

#[test]
fn a_partition_that_heals_changes_no_key() {
    heal_partitions(false);
}

/// Another station claims to be r2 meanwhile, so that r1 offers it a key.
#[test]
fn a_second_agreement_of_the_same_runs_replaces_the_first() {
    heal_partitions(true);
}

/// A snapshot of r2 is resumed, or a copy of it runs in parallel, with the same run.
#[test]
fn who_finds_itself_cloned_begins_another_run() {
    for from_before in [false, true] {
        let mut world = World::pair();
        world.confirm_within(SECOND_NS);
        let snapshot = world.machines[1].authentication.copy(world.clock.now_ns());
        if from_before {
            world.run(5 * SECOND_NS);
        }
        let clone = world.add(1);
        let run = world.machines[1].authentication.run();
        world.machines[clone].authentication = snapshot;
        world.run(2 * SECOND_NS);
        let runs = [1, clone].map(|at| world.machines[at].authentication.run());
        let cloned = [1, clone].map(|at| world.machines[at].was_cloned);
        assert!(
            cloned.contains(&true) && runs[0] != runs[1],
            "{cloned:?} {run}"
        );
        world.run(3 * SECOND_NS);
        assert!(world.uses(0, 1) || world.uses(0, clone));
        assert!(world.uses(1, 0) && world.uses(clone, 0));
        assert!(world.machines[0].has_second_machine);
    }
}

/// Frames sent while no path was open are repeated when one is, and not a second later.
#[test]
fn another_path_is_greeted_on_at_once_unless_the_peer_is_heard() {
    let mut agreement = Agreement::new("r1", 7);
    agreement.request_hello(0);
    assert_eq!(agreement.next_timeout(), None, "there is no peer");
    agreement.set_peer(Some("r2"));
    agreement.set_patience(DOWN_NS);
    agreement.handle_timeout(SECOND_NS);
    assert!(agreement.poll_frame().is_some());
    agreement.request_hello(SECOND_NS + MS);
    assert_eq!(agreement.next_timeout(), Some(SECOND_NS + PAUSE_NS));
    agreement.handle_timeout(SECOND_NS + PAUSE_NS);
    assert!(agreement.poll_frame().is_some());
    agreement.handle_confirmed(2 * SECOND_NS, 9);
    agreement.request_hello(2 * SECOND_NS + MS);
    let silent_ns = 2 * SECOND_NS + DOWN_NS;
    assert_eq!(agreement.next_timeout(), Some(silent_ns));
}

#[test]
fn nobody_says_a_word_without_keys_and_none_to_itself() {
    let mut agreement = Agreement::new("r1", 7);
    assert_eq!(agreement.next_timeout(), None);
    agreement.handle_timeout(SECOND_NS);
    assert_eq!(agreement.poll_frame(), None);
    agreement.set_peer(Some("r2"));
    assert!(agreement.next_timeout().is_some());
    agreement.handle_timeout(SECOND_NS);
    let hello = agreement.poll_frame().expect("a hello");
    let heard = agreement.handle_frame(SECOND_NS, PathClass::Network, &hello);
    assert_eq!(heard, Err(Refusal::Stale));
    assert_eq!(agreement.poll_request(), None);
}

#[test]
fn a_signature_of_another_name_is_no_ones() {
    let mut world = World::pair();
    // r2's machine has another node's key
    world.machines[1].name = 0;
    world.run(5 * SECOND_NS);
    let machines = &world.machines;
    assert!(
        machines
            .iter()
            .all(|machine| machine.keys(world.clock.now_ns()) == 0)
    );
    assert!(
        machines
            .iter()
            .any(|machine| machine.authentication.counters().forged > 0)
    );
}

#[test]
fn an_answer_to_a_request_of_the_run_before_is_none() {
    let mut agreement = Agreement::new("r1", 7);
    agreement.set_peer(Some("r2"));
    let ask = |agreement: &mut Agreement| {
        let asked = agreement.handle_run(SECOND_NS, PathClass::Link, 9);
        assert_eq!(asked, Ok(()));
        match agreement.poll_request() {
            Some(Request::Sign { ticket, .. }) => ticket,
            other => panic!("{other:?} instead of a signature"),
        }
    };
    let before = ask(&mut agreement);
    agreement.begin(8);
    while agreement.poll_frame().is_some() {}
    let now = ask(&mut agreement);
    agreement.handle_signed(SECOND_NS, before, &[1; SIGNATURE_LEN]);
    assert_eq!(agreement.poll_frame(), None);
    agreement.handle_signed(SECOND_NS, now, &[1; SIGNATURE_LEN]);
    assert!(agreement.poll_frame().is_some());
    assert_eq!(agreement.counters().requests, 2);
}
