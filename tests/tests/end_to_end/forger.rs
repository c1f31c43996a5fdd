// SPDX-License-Identifier: MIT OR Apache-2.0
//! A station on the lan sends adverts as the active node, of the longest interval and the highest
//! priority: it delays no failover, and moves no role.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::lab::{Lab, VIRTUAL, Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::pair::Fault;
use spared_tests::probe::{Injector, checksum, ethernet, ipv4, ipv6};
use spared_tests::router::{Plan, VirtualRouter};

const VRRP: u8 = 112;
const VRID: u8 = 51;
const EVERY: Duration = Duration::from_millis(20);
/// What a failover may take on a busy machine; a believed advert would make it 3 s at least.
const LIMIT: Duration = Duration::from_millis(1_500);
const WHILE: Duration = Duration::from_secs(2);

/// Priority 255, 40.95 s.
fn message(tail: &[u8]) -> Vec<u8> {
    [&[0x31, VRID, 255, 1, 0x0f, 0xff, 0, 0], tail].concat()
}

fn summed(mut message: Vec<u8>, header: &[&[u8]]) -> Vec<u8> {
    let sum = checksum(&[header, &[&message[..]]].concat());
    message[6..8].copy_from_slice(&sum.to_be_bytes());
    message
}

fn forged_ipv4(from: u8) -> Vec<u8> {
    let group = Ipv4Addr::new(224, 0, 0, 18);
    let advert = summed(message(&Wire::Lan.ipv4(VIRTUAL).octets()), &[]);
    let packet = ipv4(Wire::Lan.ipv4(from), group, VRRP, 255, &advert);
    ethernet([1, 0, 0x5e, 0, 0, 18], Wire::Lan.mac(from), 0x0800, &packet)
}

fn forged_ipv6(from: u8) -> Vec<u8> {
    let [a, b, c, d, e, f] = Wire::Lan.mac(from);
    let own = [
        0xfe,
        0x80,
        0,
        0,
        0,
        0,
        0,
        0,
        a ^ 2,
        b,
        c,
        0xff,
        0xfe,
        d,
        e,
        f,
    ];
    let group: Ipv6Addr = "ff02::12".parse().expect("a literal address");
    let first = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x51);
    let advert = message(&first.octets());
    let length = u32::try_from(advert.len())
        .unwrap_or_default()
        .to_be_bytes();
    let header: [&[u8]; 4] = [&own, &group.octets(), &length, &[0, 0, 0, VRRP]];
    let advert = summed(advert, &header);
    let packet = ipv6(own.into(), group, VRRP, 255, &advert);
    let to = [0x33, 0x33, 0, 0, 0, 0x12];
    ethernet(to, Wire::Lan.mac(from), 0x86dd, &packet)
}

fn strikes_beside(
    lab: &Lab,
    plan: &Plan,
    cuts_links: bool,
    forged: fn(u8) -> Vec<u8>,
) -> Result<()> {
    let mut pair = Linked::start(lab, plan)?;
    thread::sleep(WHILE);
    if cuts_links {
        for wire in Wire::LINKS {
            lab.cut(&lab.sites[0], wire)?;
        }
        thread::sleep(WHILE);
    }
    let old = pair.at()?;
    let before = [0, 1].map(|site| pair.group(site).transitions);
    let injector = Injector::new(&lab.sw, &format!("r{}-lan", 2 - old))?;
    let frame = forged(lab.sites[old].host());
    let over = AtomicBool::new(false);
    let took = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = injector.send(&frame);
                thread::sleep(EVERY);
            }
        });
        let mut struck = || {
            thread::sleep(WHILE);
            assert_eq!([0, 1].map(|site| pair.group(site).transitions), before);
            let since = Instant::now();
            let new = pair.strike(Fault::Death)?;
            let took = since.elapsed();
            thread::sleep(WHILE);
            assert_eq!(pair.group(new).transitions, before[new] + 1);
            Result::<Duration>::Ok(took)
        };
        let took = struck();
        over.store(true, Ordering::Relaxed);
        took
    })?;
    assert!(took < LIMIT, "{took:?}");
    Ok(())
}

fn plan(router: VirtualRouter) -> Plan {
    let mut plan = Plan::linked(INTERVAL, &Wire::LINKS);
    plan.without_preference();
    plan.routers = vec![router];
    plan
}

#[test]
fn a_forger_delays_no_failover_over_ipv4() {
    scenario(2, |lab| {
        let plan = plan(VirtualRouter::ipv4(Wire::Lan, VRID));
        strikes_beside(lab, &plan, false, forged_ipv4)
    });
}

#[test]
fn a_forger_delays_no_failover_over_ipv6() {
    scenario(2, |lab| {
        let plan = plan(VirtualRouter::ipv6(Wire::Lan, VRID));
        strikes_beside(lab, &plan, false, forged_ipv6)
    });
}

#[test]
fn a_forger_delays_no_failover_after_the_links_were_cut() {
    scenario(2, |lab| {
        let plan = plan(VirtualRouter::ipv4(Wire::Lan, VRID));
        strikes_beside(lab, &plan, true, forged_ipv4)
    });
}
