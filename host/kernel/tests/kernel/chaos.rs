//! Changes interfaces, addresses, tables and claims at random while a group becomes active and
//! backup, and checks the kernel's state after each step.

use std::time::Duration;

use spared_contract::{Claims, Family};
use spared_kernel::{FenceState, Kernel, KernelEvent};

use crate::lab::*;

const LONG: Duration = Duration::from_secs(60);
const STEPS: usize = 60;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }
}

// Two virtual routers, one of each family, on two interfaces. Virtual MACs and the number of
// addresses are random.
fn random_claims(random: &mut Random) -> Claims {
    let mut claims = claims(&["10.0.0.1/24"], LONG);
    claims.routers[0].vmac = random.below(2) == 0;
    claims.routers.push(router("lan3", Family::V6, 51));
    claims.routers[1].vmac = random.below(2) == 0;
    claims
        .addresses
        .push(address("lan3", "fe80::1/64", Some(1)));
    for n in 0..random.below(4) {
        claims
            .addresses
            .push(address("lan2", &format!("10.0.0.{}/24", 100 + n), Some(0)));
        claims
            .addresses
            .push(address("lan3", &format!("2001:db8::{n}/64"), Some(1)));
    }
    claims
}

#[test]
fn whatever_happens_the_fence_and_the_addresses_follow() {
    let Some(net) = Net::new() else { return };
    net.add_link("lan3", "peer3");
    let seed = std::env::var("SPARED_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}: set SPARED_SEED to repeat it");
    let mut random = Random(seed);
    let mut kernel = Kernel::open().unwrap();
    for interface in ["lan2", "lan3"] {
        kernel.follow(interface, 1).unwrap();
    }
    kernel.claim("office", random_claims(&mut random)).unwrap();
    let mut active = false;
    for step in 0..STEPS {
        let what = disturb(&net, &mut kernel, &mut random, &mut active);
        let events = drive_for(&mut kernel, Duration::from_millis(120));
        let warnings: Vec<&KernelEvent> = events
            .iter()
            .filter(|event| matches!(event, KernelEvent::Warning(_)))
            .collect();
        let at = format!("seed {seed}, step {step}, after {what}; warnings {warnings:?}");
        check(&net, &mut kernel, active, &at);
    }
    kernel.close();
    let left = net.output("ip", "addr") + &net.output("nft", "list tables");
    for ours in ["10.0.0.1", "vrrp5", "spared", "2001:db8"] {
        assert!(!left.contains(ours), "seed {seed}: {ours} is left: {left}");
    }
}

fn disturb(net: &Net, kernel: &mut Kernel, random: &mut Random, active: &mut bool) -> String {
    let number = 2 + random.below(2);
    let (name, peer) = (format!("lan{number}"), ["peer", "peer3"][number - 2]);
    let there = kernel.interface(&name).unwrap().0;
    // A command that fails finds nothing to disturb, which is no error.
    let quietly = |arguments: &str| {
        net.output("ip", arguments);
    };
    match random.below(11) {
        0 | 1 => {
            *active = !*active;
            if *active {
                kernel.grant_lease("office").unwrap();
                kernel.install("office").unwrap();
            } else {
                kernel.revoke_lease("office").unwrap();
                kernel.remove("office");
            }
            format!("active = {active}")
        }
        2 => {
            kernel.claim("office", random_claims(random)).unwrap();
            "other claims".into()
        }
        3 if there.present => {
            quietly(&format!("link del {name}"));
            format!("deletion of {name}")
        }
        3..=5 if !there.present => {
            net.add_link(&name, peer);
            format!("return of {name}")
        }
        4 => {
            quietly(&format!("link set {name} down"));
            format!("{name} down")
        }
        5 => {
            quietly(&format!("link set {name} up"));
            format!("{name} up")
        }
        6 => {
            let state = ["down", "up"][random.below(2)];
            if there.present {
                net.station_ip(&format!("link set {peer} {state}"));
            }
            format!("{peer} {state}")
        }
        7 => {
            net.output("nft", "flush ruleset");
            "flush ruleset".into()
        }
        8 => {
            quietly("addr del 10.0.0.1/24 dev lan2");
            quietly("addr del fe80::1/64 dev lan3");
            "deletion of addresses".into()
        }
        9 => {
            quietly("addr replace 10.0.0.2/24 dev lan2");
            if random.below(2) == 0 {
                quietly("addr del 10.0.0.2/24 dev lan2");
            }
            "change of own addresses".into()
        }
        _ => {
            net.output("ip", "link del vrrp50.lan2");
            "deletion of the virtual-MAC device".into()
        }
    }
}

fn check(net: &Net, kernel: &mut Kernel, active: bool, at: &str) {
    // A device that somebody deletes repeatedly is given up at some point.
    let tables = net.output("nft", "list tables");
    assert!(tables.contains("table netdev spared\n"), "{at}: {tables}");
    let ruleset = net.output("nft", "list table netdev spared");
    let mut with_carrier = 0;
    for interface in ["lan2", "lan3"] {
        let event = kernel.interface(interface).unwrap().0;
        let chain = format!("device \"{interface}\"");
        assert_eq!(
            ruleset.matches(&chain).count(),
            if event.present { 2 } else { 0 },
            "{at}: {ruleset}"
        );
        assert_eq!(
            event.sockets.len(),
            if event.present { 5 } else { 0 },
            "{at}"
        );
        with_carrier += usize::from(event.carrier);
        for status in kernel.address_status("office") {
            // The kernel keeps IPv4 addresses of an interface that is down.
            if status.interface != interface || (active && !event.up && event.present) {
                continue;
            }
            // After the third deletion within a minute the kernel module reports it, and waits.
            let is_contested = status.why.contains("keeps deleting its virtual-MAC device");
            let expected = active && event.up && !is_contested;
            assert_eq!(status.present, expected, "{at}: {status:?}");
        }
    }
    // A lease is valid if the host granted it and the carrier has not been lost since.
    let held = kernel.fence_status("office");
    if !active || with_carrier == 0 {
        assert_eq!(held, FenceState::Blocking, "{at}: {ruleset}");
    } else {
        // The elector asks for leases when a carrier is back.
        kernel.grant_lease("office").unwrap();
        assert_eq!(kernel.fence_status("office"), FenceState::Passing, "{at}");
    }
}
