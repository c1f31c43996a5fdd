//! Two nodes on one clock, between them a wire that loses, repeats and floods, and whoever has the
//! nodes' keys.

use std::collections::VecDeque;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::*;
use crate::heartbeats::key::Key;

const MS: u64 = 1_000_000;
const NAMES: [&str; 2] = ["r1", "r2"];
const LATENCY_NS: u64 = MS / 2;
/// What the link's process takes.
const SIGNATURE_NS: u64 = MS;
const INTERVAL_NS: u64 = 100 * MS;
const DOWN_NS: u64 = 350 * MS;

/// A heartbeat, as far as keys go.
#[derive(Clone, Debug)]
struct Said {
    from: u64,
    to: u64,
    number: u64,
    /// The highest number of the receiver's that was heard under this key.
    echo: u64,
    tag: Vec<u8>,
}

impl Said {
    fn bytes(&self) -> Vec<u8> {
        let numbers = [self.from, self.to, self.number, self.echo];
        numbers
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect()
    }
}

#[derive(Clone, Debug)]
enum Packet {
    Frame(Vec<u8>),
    Said(Said),
}

/// Keys and what was heard under them.
struct Pair {
    run: u64,
    seals: Key,
    opens: Key,
    highest: u64,
    heard_ns: u64,
    echoed: bool,
}

/// A machine with a node's keys: the agreement, and in a few lines what keeps the keys.
struct Machine {
    name: usize,
    agreement: Agreement,
    pairs: Vec<Pair>,
    current: Option<u64>,
    sent: u64,
    due_ns: u64,
    dead: bool,
    /// The link's process does not answer.
    no_answers: bool,
    /// When an answer comes, and of what.
    asked: VecDeque<(u64, Request)>,
    requests: u64,
    forged: u64,
    refused: u64,
}

impl Machine {
    fn start(name: usize, run: u64, now_ns: u64) -> Machine {
        let mut agreement = Agreement::new(NAMES[name], run);
        agreement.set_peer(Some(NAMES[1 - name]));
        agreement.set_patience(DOWN_NS);
        Machine {
            name,
            agreement,
            pairs: Vec::new(),
            current: None,
            sent: 0,
            due_ns: now_ns,
            dead: false,
            no_answers: false,
            asked: VecDeque::new(),
            requests: 0,
            forged: 0,
            refused: 0,
        }
    }

    fn handle(&mut self, now_ns: u64, class: Class, packet: &Packet) {
        match packet {
            Packet::Frame(bytes) => {
                let done = self.agreement.handle_frame(now_ns, class, bytes);
                self.refused += u64::from(done.is_err());
            }
            Packet::Said(said) => self.hear(now_ns, class, said),
        }
    }

    fn hear(&mut self, now_ns: u64, class: Class, said: &Said) {
        let own = self.agreement.run();
        let current = self.current;
        let authentic = |pair: &&mut Pair| {
            let tag = pair.opens.tag(&said.bytes());
            pair.run == said.from && said.to == own && tag[..] == said.tag[..]
        };
        let Some(pair) = self.pairs.iter_mut().find(authentic) else {
            if said.from != own {
                let _ = self.agreement.handle_run(now_ns, class, said.from);
            }
            return;
        };
        if said.number <= pair.highest {
            return;
        }
        (pair.highest, pair.heard_ns) = (said.number, now_ns);
        pair.echoed |= said.echo > 0;
        let (run, echoed) = (pair.run, pair.echoed);
        self.agreement.handle_heard(now_ns, run);
        let silent = current.is_none_or(|current| {
            let heard = self.pairs.iter().find(|pair| pair.run == current);
            heard.is_none_or(|pair| now_ns - pair.heard_ns >= DOWN_NS)
        });
        if echoed && current != Some(run) && silent {
            self.current = Some(run);
            self.pairs.retain(|pair| pair.run == run);
            self.agreement.handle_confirmed(now_ns, run);
        }
    }

    fn act(&mut self, now_ns: u64) -> Vec<Packet> {
        while let Some(agreed) = self.agreement.poll_agreed() {
            self.pairs
                .retain(|pair| pair.run != agreed.run || self.current == Some(pair.run));
            self.pairs.push(Pair {
                run: agreed.run,
                seals: agreed.seals,
                opens: agreed.opens,
                highest: 0,
                heard_ns: now_ns,
                echoed: false,
            });
        }
        while let Some(request) = self.agreement.poll_request() {
            self.requests += 1;
            if !self.no_answers {
                self.asked.push_back((now_ns + SIGNATURE_NS, request));
            }
        }
        let mut frames = Vec::new();
        while let Some(frame) = self.agreement.poll_frame() {
            frames.push(Packet::Frame(frame));
        }
        frames
    }

    fn answer(&mut self, now_ns: u64) {
        while self
            .asked
            .front()
            .is_some_and(|(at_ns, _)| *at_ns <= now_ns)
        {
            match self.asked.pop_front().expect("one").1 {
                Request::Sign { ticket, statement } => {
                    let signature = pair_of(self.name).sign(&statement);
                    self.agreement
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
                    self.forged += u64::from(!genuine);
                    self.agreement.handle_verified(now_ns, ticket, genuine);
                }
            }
        }
    }

    fn say(&mut self, now_ns: u64) -> Vec<Packet> {
        if now_ns < self.due_ns {
            return Vec::new();
        }
        self.due_ns = now_ns + INTERVAL_NS;
        self.sent += 1;
        let said = self.pairs.iter().map(|pair| {
            let mut said = Said {
                from: self.agreement.run(),
                to: pair.run,
                number: self.sent,
                echo: pair.highest,
                tag: Vec::new(),
            };
            said.tag = pair.seals.tag(&said.bytes()).to_vec();
            Packet::Said(said)
        });
        said.collect()
    }
}

fn pair_of(name: usize) -> Ed25519KeyPair {
    let seed = [u8::try_from(name).expect("small") + 1; 32];
    Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed")
}

/// Machines in one broadcast domain, and a link.
struct World {
    now_ns: u64,
    machines: Vec<Machine>,
    /// When it arrives, where, and over what.
    wire: Vec<(u64, usize, Class, Packet)>,
    /// All that was sent, and by whom.
    recorded: Vec<(usize, Packet)>,
    /// Percent that are lost, on paths of each class.
    loss: [u64; 2],
    flood: Option<Flood>,
    random: u64,
    runs: u64,
}

/// What a station on the network sends.
#[derive(Clone, Copy)]
struct Flood {
    per_second: u64,
    due_ns: u64,
    turn: u64,
}

impl World {
    fn new() -> World {
        World {
            now_ns: 1000 * SECOND_NS,
            machines: Vec::new(),
            wire: Vec::new(),
            recorded: Vec::new(),
            loss: [0, 100],
            flood: None,
            random: 0x9e37_79b9_7f4a_7c15,
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
        let machine = Machine::start(name, self.runs, self.now_ns);
        self.machines.push(machine);
        self.machines.len() - 1
    }

    fn restart(&mut self, machine: usize) {
        self.runs += 1;
        let name = self.machines[machine].name;
        let no_answers = self.machines[machine].no_answers;
        self.machines[machine] = Machine::start(name, self.runs, self.now_ns);
        self.machines[machine].no_answers = no_answers;
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn send(&mut self, from: usize, packet: &Packet) {
        self.recorded.push((from, packet.clone()));
        for to in (0..self.machines.len()).filter(|to| *to != from) {
            for class in [Class::Network, Class::Link] {
                if self.random() % 100 >= self.loss[class as usize] {
                    let at_ns = self.now_ns + LATENCY_NS;
                    self.wire.push((at_ns, to, class, packet.clone()));
                }
            }
        }
    }

    fn forge(&mut self) {
        let Some(mut flood) = self.flood else { return };
        while flood.due_ns <= self.now_ns {
            // no timer of anybody's is in step with it
            flood.due_ns += self.random() % (2 * SECOND_NS / flood.per_second);
            flood.turn += 1;
            let number = self.random();
            for to in 0..2 {
                let packet = self.forgery(flood.turn, to, number | 1);
                self.machines[to].handle(self.now_ns, Class::Network, &packet);
            }
        }
        self.flood = Some(flood);
    }

    /// To one of both, as the other one; all runs are seen on the wire.
    fn forgery(&self, turn: u64, to: usize, random: u64) -> Packet {
        let own = self.machines[to].agreement.run();
        let peer = self.machines[1 - to].agreement.run();
        let offer = |from, number| Offer {
            from,
            to: own,
            number,
            public: [9; 32],
        };
        let said = |from| Said {
            from,
            to: own,
            number: 1_000_000,
            echo: 1,
            tag: vec![0; 16],
        };
        let recorded = || {
            let place = usize::try_from(random).unwrap_or(0) % self.recorded.len().max(1);
            self.recorded.get(place).map(|(_, packet)| packet.clone())
        };
        match turn % 8 {
            0 => Packet::Frame(offer::hello(random).to_vec()),
            1 => Packet::Frame(offer(random, 1).frame(false, &[1; 64]).to_vec()),
            2 => Packet::Frame(offer(peer, random).frame(false, &[2; 64]).to_vec()),
            3 => Packet::Frame(offer(peer, 1).frame(true, &[3; 64]).to_vec()),
            4 => Packet::Said(said(random)),
            5 => Packet::Said(said(peer)),
            _ => recorded().unwrap_or(Packet::Said(said(random))),
        }
    }

    fn step(&mut self) {
        self.now_ns += MS / 2;
        self.forge();
        let now_ns = self.now_ns;
        let (due, later) = std::mem::take(&mut self.wire)
            .into_iter()
            .partition(|(at_ns, ..)| *at_ns <= now_ns);
        self.wire = later;
        let due: Vec<_> = due;
        for (_, to, class, packet) in due {
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
                .agreement
                .next_timeout()
                .is_some_and(|at_ns| at_ns <= now_ns)
            {
                machine.agreement.handle_timeout(now_ns);
                let next = machine.agreement.next_timeout();
                assert!(next.is_none_or(|at_ns| at_ns > now_ns), "{next:?}");
            }
            let mut packets = machine.act(now_ns);
            packets.extend(machine.say(now_ns));
            for packet in packets {
                self.send(at, &packet);
            }
        }
    }

    fn run(&mut self, ns: u64) {
        let end_ns = self.now_ns + ns;
        while self.now_ns < end_ns {
            self.step();
        }
    }

    /// Each of both uses the key of the other's run.
    fn confirmed(&self) -> bool {
        self.uses(0, 1) && self.uses(1, 0)
    }

    fn uses(&self, of: usize, other: usize) -> bool {
        self.machines[of].current == Some(self.machines[other].agreement.run())
    }

    /// How long until they do.
    fn confirm_within(&mut self, limit_ns: u64) -> u64 {
        let begin_ns = self.now_ns;
        while !self.confirmed() {
            self.step();
            let counts: Vec<_> = self
                .machines
                .iter()
                .map(|m| m.agreement.counters())
                .collect();
            assert!(self.now_ns - begin_ns < limit_ns, "{counts:#?}");
        }
        self.now_ns - begin_ns
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
    let handshakes = |packet: &&(usize, Packet)| matches!(packet.1, Packet::Frame(_));
    assert_eq!(world.recorded.iter().filter(handshakes).count(), 0);
    // one key for each direction
    let keys = [0, 1].map(|at| &world.machines[at].pairs[0]);
    assert_ne!(keys[0].seals.tag(b"x"), keys[0].opens.tag(b"x"));
    assert_eq!(keys[0].seals.tag(b"x"), keys[1].opens.tag(b"x"));
}

#[test]
fn restarts_in_every_order_are_confirmed() {
    // which restarts, and after how long: in every phase of the handshake, and of the one before
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
                let others: Vec<_> = world.machines.iter().map(|m| m.pairs.len()).collect();
                assert_eq!(others, [1, 1], "{first} {second:?} {pause}");
            }
        }
    }
}

#[test]
fn a_wire_that_loses_delays_it_and_no_more() {
    for seed in 1..30 {
        let mut world = World::pair();
        world.random = seed;
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
        // and what is confirmed needs it no more
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
            due_ns: world.now_ns,
            turn: 0,
        });
        let before = world.machines[0].requests + world.machines[1].requests;
        let runs = [0, 1].map(|at| world.machines[at].current);
        world.run(20 * SECOND_NS);
        assert_eq!(runs, [0, 1].map(|at| world.machines[at].current));
        for machine in &world.machines {
            assert_eq!(machine.pairs.len(), 1);
            assert!(machine.agreement.table.len() <= 2 * entry::RUNS_MAX);
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
                world.random = seed;
                world.confirm_within(SECOND_NS);
                world.flood = Some(Flood {
                    per_second,
                    due_ns: world.now_ns,
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
            due_ns: world.now_ns,
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
    let runs = [0, 1].map(|at| world.machines[at].current);
    let recorded = world.recorded.clone();
    for (from, packet) in recorded {
        for to in 0..2 {
            let machine = &mut world.machines[to];
            if machine.name != from {
                machine.handle(world.now_ns, Class::Network, &packet);
            }
        }
        world.step();
        assert_eq!(runs, [0, 1].map(|at| world.machines[at].current));
    }
}

/// Another machine with r2's keys begins while the first one lives, and goes on when that is gone.
#[test]
fn a_second_machine_waits_until_the_first_is_silent() {
    let mut world = World::pair();
    world.confirm_within(SECOND_NS);
    let clone = world.add(1);
    world.run(5 * SECOND_NS);
    assert!(world.uses(0, 1) && world.uses(clone, 0));
    assert_eq!(world.machines[0].pairs.len(), 2);
    world.machines[1].dead = true;
    world.run(2 * DOWN_NS);
    assert!(world.uses(0, clone));
}

/// r2 forgets the agreement, as if too many others had come, in each phase of it.
#[test]
fn who_forgot_what_it_agreed_agrees_anew() {
    for forgetful in [0, 1] {
        for pause in 0..30 {
            let mut world = World::pair();
            world.run(pause * MS / 2);
            let machine = &mut world.machines[forgetful];
            machine.agreement.table = Table::default();
            machine.pairs.clear();
            world.confirm_within(8 * SECOND_NS);
        }
    }
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
    let heard = agreement.handle_frame(SECOND_NS, Class::Network, &hello);
    assert_eq!(heard, Err(Refusal::Stale));
    assert_eq!(agreement.poll_request(), None);
}

#[test]
fn a_signature_of_another_name_is_no_ones() {
    let mut world = World::pair();
    // r2's machine has somebody else's key
    world.machines[1].name = 0;
    world.run(5 * SECOND_NS);
    assert!(
        world
            .machines
            .iter()
            .all(|machine| machine.pairs.is_empty())
    );
    assert!(world.machines[0].forged + world.machines[1].forged > 0);
}
