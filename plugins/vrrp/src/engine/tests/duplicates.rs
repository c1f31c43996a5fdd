//! Another machine that answers for a virtual address: both nodes name it, and nothing else follows.

use std::net::IpAddr;

use spared_sdk::Value;

use super::lab::{FilteredFrames, Lab, MS, SECOND};
use super::linked::pair;
use crate::engine::{Action, Table};
use crate::wire::neighbour::{Claim, claim};
use crate::wire::{Family, Mac, virtual_mac, virtual_router};

const THIRD: Mac = [2, 0, 0, 0, 1, 0x99];
const LAN: &str = "10.1.0.1";

/// Pair with stations on its networks that answer for addresses.
pub(super) struct StationNet {
    pub lab: Lab,
    thirds: Vec<(Mac, IpAddr)>,
    /// MAC address with which the active node answers, if it differs from its interface's.
    pub answers_as: Option<Mac>,
    /// Addresses that a node asked for, and those that a node announced.
    pub asked: Vec<(usize, IpAddr)>,
    announced: Vec<(usize, IpAddr)>,
    events: [Vec<String>; 2],
}

impl StationNet {
    pub fn new(lab: Lab) -> StationNet {
        StationNet {
            lab,
            thirds: Vec::new(),
            answers_as: None,
            asked: Vec::new(),
            announced: Vec::new(),
            events: Default::default(),
        }
    }

    pub fn add_third_machine(&mut self, address: &str) {
        self.thirds.push((THIRD, address.parse().unwrap()));
    }

    /// Runs for a number of seconds, with the looks in them.
    pub fn run_with_checks(&mut self, seconds: u64) {
        self.run_with_checks_for(seconds * SECOND);
    }

    pub fn run_with_checks_for(&mut self, for_ns: u64) {
        let until_ns = self.lab.clock.now_ns() + for_ns;
        while self.lab.clock.now_ns() < until_ns {
            self.lab.run(50 * MS);
            for node in 0..2 {
                let now_ns = self.lab.clock.now_ns();
                let due_ns = self.lab.nodes[node].engine.address_check_timeout();
                let is_due = due_ns.is_some_and(|due_ns| now_ns >= due_ns);
                if is_due && !self.lab.nodes[node].is_dead() {
                    self.check_addresses(node);
                }
            }
        }
    }

    fn check_addresses(&mut self, node: usize) {
        let now_ns = self.lab.clock.now_ns();
        let engine = &mut self.lab.nodes[node].engine;
        engine.check_addresses(now_ns);
        let mut frames = Vec::new();
        while let Some(action) = engine.poll_action() {
            match action {
                Action::Event(text) => self.events[node].push(text),
                Action::Probe { interface, frame } => frames.push((interface, frame)),
                other => panic!("{other:?}"),
            }
        }
        for (interface, frame) in frames {
            self.carry(node, interface, &frame);
        }
    }

    fn carry(&mut self, from: usize, interface: usize, frame: &[u8]) {
        let target = target(frame);
        match claim(frame).filter(|claim| claim.address == target) {
            Some(claim) => {
                self.announced.push((from, target));
                self.hear(1 - from, interface, claim);
            }
            None => {
                self.asked.push((from, target));
                for claim in self.answers(from, interface, target) {
                    self.hear(from, interface, claim);
                }
            }
        }
    }

    fn answers(&self, asking_node: usize, interface: usize, target: IpAddr) -> Vec<Claim> {
        let name = self.lab.nodes[asking_node].interface(interface);
        let active = self
            .lab
            .active()
            .into_iter()
            .filter(|node| *node != asking_node);
        let is_virtual = self
            .answers_as
            .is_some_and(|mac| virtual_router(mac).is_some());
        let drops = |node: &usize| self.lab.drops(&name, *node, FilteredFrames::VirtualMac);
        let hears = !self
            .lab
            .drops(&name, asking_node, FilteredFrames::VirtualMacThere);
        let active = active.filter(|node| !is_virtual || hears && !drops(node));
        let of_pair = active.map(|node| {
            let own = self.lab.nodes[node].facts[&name].mac;
            (self.answers_as.unwrap_or(own), target)
        });
        let all = of_pair.chain(self.thirds.iter().copied());
        let answers = all.filter(|(_, address)| *address == target);
        answers
            .map(|(mac, address)| Claim { mac, address })
            .collect()
    }

    fn hear(&mut self, node: usize, interface: usize, claim: Claim) {
        let now_ns = self.lab.clock.now_ns();
        let engine = &mut self.lab.nodes[node].engine;
        engine.handle_claim(now_ns, interface, claim);
    }

    /// Rows of the status about addresses.
    pub fn rows(&self, node: usize) -> Vec<String> {
        let now_ns = self.lab.clock.now_ns();
        let rows = self.lab.nodes[node].engine.rows(now_ns, Table::Status);
        let text = |(key, value)| match value {
            Value::Text(text) => format!("{key}: {text}"),
            other => panic!("{other:?}"),
        };
        let about = rows
            .into_iter()
            .filter(|(key, _)| key.contains(".address."));
        about.map(text).collect()
    }

    pub fn is_quiet(&self) {
        assert_eq!(self.events, [Vec::<String>::new(), Vec::new()]);
        assert_eq!(
            [self.rows(0), self.rows(1)],
            [Vec::<String>::new(), Vec::new()]
        );
    }
}

/// Address that a probe asks for, or that an announcement is about.
fn target(frame: &[u8]) -> IpAddr {
    match frame[12..14] {
        [8, 6] => <[u8; 4]>::try_from(&frame[38..42]).unwrap().into(),
        _ => <[u8; 16]>::try_from(&frame[62..78]).unwrap().into(),
    }
}

fn names(rows: &[String], address: &str) -> bool {
    *rows
        == [format!(
            "g.address.{address}.duplicate: 02:00:00:00:01:99 on lan1"
        )]
}

#[test]
fn a_machine_that_answers_for_a_virtual_address_is_named_by_both_nodes_until_it_is_gone() {
    let mut net = StationNet::new(pair(""));
    net.run_with_checks(3);
    net.is_quiet();
    net.add_third_machine(LAN);
    net.run_with_checks(4);
    for node in 0..2 {
        let rows = net.rows(node);
        assert!(names(&rows, LAN), "{rows:?}");
        let said = "g: another machine (02:00:00:00:01:99) answers for 10.1.0.1 on lan1";
        assert_eq!(net.events[node], [said]);
    }
    net.run_with_checks(60);
    assert_eq!(net.events.each_ref().map(Vec::len), [1, 1]);
    net.thirds.clear();
    net.run_with_checks(3);
    assert_eq!(
        net.rows(0).len(),
        1,
        "what is lost now and then is not gone"
    );
    net.run_with_checks(4);
    for node in 0..2 {
        assert_eq!(net.rows(node), [""; 0]);
        let said = "g: another machine (02:00:00:00:01:99) no longer answers for 10.1.0.1 on lan1";
        assert_eq!(net.events[node][1..], [said]);
    }
    assert_eq!(net.lab.failovers(), 0);
}

#[test]
fn every_address_has_its_turn_and_a_network_sees_few_questions() {
    let toml = "[[group]]\nname = \"g\"\n[[group.interface]]\ninterface = \"lan1\"\nvrid = 7\n\
                addresses = [\"10.1.0.1/24\", \"10.1.0.5/24\", \"fd01::1/64\"]\n";
    let mut net = StationNet::new(Lab::linked(toml, &["link1"]));
    let all = ["10.1.0.1", "10.1.0.5", "fd01::1", "fe80::200:5eff:fe00:207"];
    net.run_with_checks(5);
    for (node, address) in (0..2).flat_map(|node| all.map(|address| (node, address))) {
        let asked = (node, address.parse().unwrap());
        assert!(net.asked.contains(&asked), "{address} by r{}", node + 1);
    }
    net.add_third_machine("fd01::1");
    net.add_third_machine("10.1.0.5");
    net.asked.clear();
    net.run_with_checks(10);
    // two questions a second from each node, and two more until it is sure
    assert!(
        net.asked.len() <= 2 * (2 * 10 + 2 * 2),
        "{}",
        net.asked.len()
    );
    for node in 0..2 {
        let mut rows = net.rows(node);
        rows.sort();
        let named = ["10.1.0.5", "fd01::1"]
            .map(|it| format!("g.address.{it}.duplicate: 02:00:00:00:01:99 on lan1"));
        assert_eq!(rows, named);
    }
}

#[test]
fn the_active_node_alone_defends_an_address_every_ten_seconds() {
    let mut net = StationNet::new(pair(""));
    let active = net.lab.active()[0];
    net.add_third_machine(LAN);
    net.run_with_checks(35);
    let defence = (active, LAN.parse().unwrap());
    assert!(net.announced.iter().all(|it| *it == defence));
    assert!(
        (3..=4).contains(&net.announced.len()),
        "{:?}",
        net.announced
    );
}

#[test]
fn one_announcement_is_answered_and_is_no_finding() {
    let mut net = StationNet::new(pair(""));
    let active = net.lab.active()[0];
    let address = LAN.parse().unwrap();
    for node in 0..2 {
        net.hear(
            node,
            0,
            Claim {
                mac: THIRD,
                address,
            },
        );
    }
    net.run_with_checks(10);
    assert_eq!(net.announced, [(active, address)]);
    net.is_quiet();
}

#[test]
fn the_pairs_own_answers_are_none_of_others_whatever_its_roles() {
    for vmac in [false, true] {
        let mut net = StationNet::new(pair(""));
        net.answers_as = vmac.then_some(virtual_mac(Family::V4, 7));
        for round in 0..6 {
            let active = net.lab.active()[0];
            match round % 3 {
                0 => net.lab.switch(active),
                1 => net.lab.kill(active),
                _ => net.lab.crash(active),
            }
            net.run_with_checks(2);
            if net.lab.nodes[active].is_dead() {
                net.lab.start(active);
            }
            net.run_with_checks(5);
            // frames that a bridge returns, and the other node's frames from before
            let macs = [0, 1].map(|node| net.lab.nodes[node].facts["lan1"].mac);
            for (node, mac) in [(0, macs[0]), (1, macs[1]), (0, macs[1]), (1, macs[0])] {
                let is_late = net.lab.active() == [node];
                let address = LAN.parse().unwrap();
                if !is_late || mac == macs[node] {
                    net.hear(node, 0, Claim { mac, address });
                }
            }
        }
        net.is_quiet();
    }
}

#[test]
fn a_backup_that_hears_one_answer_does_not_take_it_for_a_strangers() {
    let mut net = StationNet::new(pair(""));
    // a bond that answers by its second card
    net.answers_as = Some(THIRD);
    net.run_with_checks(20);
    net.is_quiet();
}

#[test]
fn a_peer_that_is_not_active_and_answers_is_named() {
    let mut net = StationNet::new(pair(""));
    let old = net.lab.active()[0];
    let mac = net.lab.nodes[old].facts["lan1"].mac;
    net.lab.kill(old);
    net.run_with_checks(1);
    // the other machine goes on, and nobody has taken the address from it
    net.thirds.push((mac, LAN.parse().unwrap()));
    net.run_with_checks(12);
    let rows = net.rows(1 - old);
    assert_eq!(
        rows,
        ["g.address.10.1.0.1.duplicate_on_peer: 02:00:00:00:01:02 on lan1"]
    );
    assert_eq!(
        net.events[1 - old],
        ["g: r1 (02:00:00:00:01:02) is not active and answers for 10.1.0.1 on lan1"]
    );
    net.thirds.clear();
    net.lab.start(old);
    net.run_with_checks(10);
    assert_eq!(
        [net.rows(0), net.rows(1)],
        [Vec::<String>::new(), Vec::new()]
    );
}

#[test]
fn a_flood_of_addresses_costs_neither_lines_nor_memory() {
    let mut net = StationNet::new(pair(""));
    for round in 0..20 {
        for number in 0..1000_u16 {
            let [high, low] = number.to_be_bytes();
            let mac = [2, 9, 9, 9, high, low];
            let address = LAN.parse().unwrap();
            net.hear(0, 0, Claim { mac, address });
        }
        net.asked.clear();
        net.run_with_checks(1);
        assert!(net.events[0].len() <= 1, "{round}: {:?}", net.events);
        let asked = net.asked.iter().filter(|(node, _)| *node == 0).count();
        assert!(asked <= 2 * 4, "{round}: {asked} on two networks");
    }
    let rows = net.rows(0);
    assert!(rows.len() == 1 && rows[0].len() < 1500, "{rows:?}");
    net.run_with_checks(20);
    assert_eq!(net.rows(0), [""; 0]);
}

#[test]
fn an_address_that_is_no_longer_configured_is_forgotten() {
    let mut net = StationNet::new(pair(""));
    net.add_third_machine(LAN);
    net.run_with_checks(5);
    assert_eq!(net.rows(0).len(), 1);
    let other = super::linked::by_quality("").replace("10.1.0.1", "10.1.0.7");
    for node in 0..2 {
        net.lab.reload(node, &other);
    }
    net.run_with_checks(2);
    assert_eq!(
        [net.rows(0), net.rows(1)],
        [Vec::<String>::new(), Vec::new()]
    );
}
