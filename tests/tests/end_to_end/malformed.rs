// SPDX-License-Identifier: MIT OR Apache-2.0
//! Malformed and foreign packets against a live router: each is counted under its reason, and
//! none of them changes who is active.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{EYE, Lab, Wire, scenario};
use spared_tests::probe::{Control, Injector, Watch, checksum, ethernet, ipv4, ipv6};
use spared_tests::router::{Kind, Plan, Router, Spared, VirtualRouter};

const INTERVAL: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(10);
const VRRP: u8 = 112;
const VRID: u8 = 51;
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const REPEAT: u64 = 3;

/// A version 3 advert of the highest priority, so that whoever believed it would step down.
fn advert() -> Vec<u8> {
    let [a, b, c, d] = Wire::Lan.ipv4(1).octets();
    vec![0x31, VRID, 255, 1, 0, 10, 0, 0, a, b, c, d]
}

/// With its message's checksum in place.
fn summed(mut message: Vec<u8>) -> Vec<u8> {
    if message.len() >= 8 {
        message[6..8].fill(0);
        let sum = checksum(&[&message]);
        message[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

fn changed(at: usize, value: u8) -> Vec<u8> {
    let mut message = advert();
    message[at] = value;
    summed(message)
}

fn own(host: u8) -> Ipv4Addr {
    Wire::Lan.ipv4(host)
}

fn frame4(packet: &[u8]) -> Vec<u8> {
    ethernet([1, 0, 0x5e, 0, 0, 18], Wire::Lan.mac(EYE), 0x0800, packet)
}

fn plain(message: &[u8]) -> Vec<u8> {
    frame4(&ipv4(own(EYE), GROUP, VRRP, 255, message))
}

/// Each with the counter that must show it.
fn packets() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut truncated_ip = frame4(&ipv4(own(EYE), GROUP, VRRP, 255, &summed(advert())));
    truncated_ip.truncate(14 + 24);
    let mut fragment = ipv4(own(EYE), GROUP, VRRP, 255, &summed(advert()));
    fragment[6] = 0x20;
    resum(&mut fragment);
    let mut bad_sum = ipv4(own(EYE), GROUP, VRRP, 255, &summed(advert()));
    bad_sum[10] ^= 0x5a;
    let mut wrong = summed(advert());
    wrong[6] ^= 0x11;
    let mut no_address = advert();
    no_address[3] = 0;
    no_address.truncate(8);
    let mut missing = advert();
    missing[3] = 2;
    let mut two = [advert(), vec![0; 8]].concat();
    two[0] = 0x21;
    let message6 = [0x31, VRID, 255, 1, 0, 10, 0x12, 0x34];
    let link_local: Ipv6Addr = "fe80::9".parse().expect("a literal address");
    let all: Ipv6Addr = "ff02::12".parse().expect("a literal address");
    let packet6 = ipv6(
        link_local,
        all,
        VRRP,
        255,
        &[&message6[..], &[0; 16]].concat(),
    );
    let frame6 = ethernet(
        [0x33, 0x33, 0, 0, 0, 0x12],
        Wire::Lan.mac(EYE),
        0x86dd,
        &packet6,
    );
    vec![
        (
            "version 2 where 3 is spoken",
            "version",
            plain(&summed(two)),
        ),
        ("version 7", "version", plain(&changed(0, 0x71))),
        ("type 2", "type", plain(&changed(0, 0x32))),
        ("a wrong checksum", "checksum", plain(&wrong)),
        ("an IPv6 advert with a wrong checksum", "checksum", frame6),
        ("no address", "count", plain(&summed(no_address))),
        (
            "fewer addresses than it says",
            "truncated",
            plain(&summed(missing)),
        ),
        ("five bytes", "truncated", plain(&advert()[..5])),
        ("an IP packet cut short", "truncated", truncated_ip),
        ("an interval of zero", "interval", plain(&changed(5, 0))),
        ("a fragment", "fragment", frame4(&fragment)),
        ("a wrong header checksum", "bad_ip_header", frame4(&bad_sum)),
        (
            "from the router's own address",
            "own_source",
            frame4(&ipv4(own(11), GROUP, VRRP, 255, &summed(advert()))),
        ),
        (
            "to another group",
            "destination",
            frame4(&ipv4(
                own(EYE),
                Ipv4Addr::new(224, 0, 0, 19),
                VRRP,
                255,
                &summed(advert()),
            )),
        ),
    ]
}

/// From sources that no router has, and with headers that contradict themselves.
fn bad_headers() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    // not 255: the owner of the virtual address does send from it
    let from = |source: [u8; 4]| {
        let packet = ipv4(source.into(), GROUP, VRRP, 255, &changed(2, 253));
        frame4(&packet)
    };
    let header = |at: usize, value: u8| {
        let mut packet = ipv4(own(EYE), GROUP, VRRP, 255, &summed(advert()));
        packet[at] = value;
        resum(&mut packet);
        frame4(&packet)
    };
    let [a, b, c, _] = own(EYE).octets();
    vec![
        ("from loopback", "source", from([127, 0, 0, 1])),
        ("from nowhere", "source", from([0, 0, 0, 0])),
        ("from a group", "source", from([224, 0, 0, 18])),
        ("from everybody", "source", from([255, 255, 255, 255])),
        ("from the network", "source", from([a, b, c, 255])),
        ("from the virtual address", "source", from([a, b, c, 1])),
        ("IP version 5", "bad_ip_header", header(0, 0x55)),
        ("a header of 16 bytes", "bad_ip_header", header(0, 0x44)),
        ("no header at all", "bad_ip_header", header(0, 0x40)),
        ("less than its header", "bad_ip_header", header(3, 19)),
        ("longer than its frame", "truncated", header(2, 9)),
        ("a later fragment", "fragment", header(7, 1)),
    ]
}

fn resum(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let sum = checksum(&[&packet[..20]]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn start(lab: &Lab, watch: &Watch) -> Result<Router> {
    let mut plan = Plan::lan(INTERVAL, 100);
    plan.routers.push(VirtualRouter::ipv6(Wire::Lan, VRID));
    let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan)?;
    watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
    Ok(router)
}

#[test]
fn each_malformed_packet_is_counted_under_its_reason_and_changes_nothing() {
    scenario(1, |lab| {
        let control = Control::start();
        let watch = Watch::start(lab)?;
        let router = start(lab, &watch)?;
        let spared = Spared(&router);
        let injector = Injector::new(&lab.eye, Wire::Lan.name())?;
        let count = |reason: &str| -> u64 {
            let key = format!("office.interface.lan.dropped.{reason}");
            let row = spared.row(&["vrrp", "counters"], &key).unwrap_or_default();
            row.as_u64().unwrap_or(0)
        };
        let began = Stamp::now();
        let mut wrong = Vec::new();
        for (what, reason, frame) in [packets(), bad_headers()].concat() {
            let before = count(reason);
            (0..REPEAT).try_for_each(|_| injector.send(&frame))?;
            let expected = before + REPEAT;
            let limit = Duration::from_secs(1);
            if !poll(limit, Duration::from_millis(10), || {
                count(reason) >= expected
            }) {
                wrong.push(format!(
                    "{what}: {reason} is {}, not {expected}",
                    count(reason)
                ));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        thread::sleep(INTERVAL * 5);
        let status = spared.status()?;
        let group = &status.groups[0];
        assert_eq!(
            (group.role.as_str(), group.transitions),
            ("active", 1),
            "{group:?}"
        );
        let worst = watch.worst_spacing(began, 0, Wire::Lan);
        control.judge("without an advert", began, worst, INTERVAL * 3)?;
        // A thousand refusals are no thousand lines.
        let lines = router.log().lines().count();
        for _ in 0..1000 {
            injector.send(&plain(&changed(0, 0x71)))?;
        }
        thread::sleep(INTERVAL * 3);
        let more = router.log().lines().count() - lines;
        assert!(more < 20, "{more} lines about 1000 packets");
        Ok(())
    });
}

/// Number of times that the group's role has changed.
fn transitions(router: &Router) -> Result<u64> {
    let groups = Spared(router).status()?.groups;
    Ok(groups.first().ok_or("no group")?.transitions)
}

#[test]
fn both_forms_of_the_ipv4_checksum_are_believed() {
    scenario(1, |lab| {
        let watch = Watch::start(lab)?;
        let router = start(lab, &watch)?;
        let injector = Injector::new(&lab.eye, Wire::Lan.name())?;
        for pseudo_header in [false, true] {
            // A router that believes an owner (255) becomes backup, and active again when the owner falls silent.
            let mut message = summed(advert());
            if pseudo_header {
                message[6..8].fill(0);
                let length = (message.len() as u16).to_be_bytes();
                let header = [
                    &own(EYE).octets()[..],
                    &GROUP.octets()[..],
                    &[0, VRRP],
                    &length,
                ];
                let sum = checksum(&[&header.concat(), &message]);
                message[6..8].copy_from_slice(&sum.to_be_bytes());
            }
            let (before, began) = (transitions(&router)?, Stamp::now());
            injector.send(&plain(&message))?;
            // it is backup for three intervals only: its count of roles does not miss that on a busy machine
            let was_backup = || transitions(&router).is_ok_and(|now| now >= before + 2);
            assert!(poll(LIMIT, INTERVAL / 5, was_backup), "{}", router.log());
            assert!(Stamp::now().since(began) > INTERVAL * 2);
            watch.wait_active(0, Wire::Lan, INTERVAL * 2, LIMIT)?;
            Spared(&router).wait_role("active", LIMIT)?;
        }
        Ok(())
    });
}

/// Processor time that the elector's worker has used.
fn worker_time(router: &Router) -> Result<Duration> {
    let is_worker = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.any(|word| word == b"worker") && words.any(|word| word == b"vrrp")
    };
    let pids = router.pids();
    let pid = pids.iter().find(|pid| is_worker(pid));
    let pid = pid.ok_or("no vrrp worker runs")?;
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let ran_ns = text.split_whitespace().next().unwrap_or_default().parse()?;
    Ok(Duration::from_nanos(ran_ns))
}

/// Sends a frame 100 times in a millisecond.
fn flood(injector: &Injector, frame: &[u8], lasting: Duration) -> Result<u32> {
    let (began, mut sent) = (Stamp::now(), 0);
    while Stamp::now().since(began) < lasting {
        let due = u32::try_from(Stamp::now().since(began).as_micros() / 10)?;
        while sent < due {
            // a full queue is part of a flood
            let _ = injector.send(frame);
            sent += 1;
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(sent)
}

#[test]
fn a_flood_of_strangers_adverts_costs_the_elector_nothing() {
    const LASTING: Duration = Duration::from_secs(3);
    scenario(1, |lab| {
        let watch = Watch::start(lab)?;
        let router = start(lab, &watch)?;
        let injector = Injector::new(&lab.eye, Wire::Lan.name())?;
        let before = worker_time(&router)?;
        thread::sleep(LASTING);
        let quiet = worker_time(&router)? - before;
        let through_a_router = frame4(&ipv4(own(EYE), GROUP, VRRP, 254, &summed(advert())));
        let frames = [
            ("of another router", plain(&changed(1, 99))),
            ("through a router", through_a_router),
        ];
        for (what, frame) in frames {
            let before = worker_time(&router)?;
            let sent = flood(&injector, &frame, LASTING)?;
            let flooded = worker_time(&router)? - before;
            println!("{sent} {what}: {flooded:?} of a processor, {quiet:?} without");
            let most = quiet * 2 + LASTING / 50;
            assert!(
                flooded < most,
                "{sent} {what}: {flooded:?}, {quiet:?} without"
            );
        }
        let answer = Spared(&router).sparectl(&["vrrp", "counters", "--json"])?;
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        for reason in ["ttl", "unknown_vrid"] {
            let key = format!("office.interface.lan.dropped.{reason}");
            let row = Spared(&router).row(&["vrrp", "counters"], &key)?;
            assert_eq!(row.as_u64(), Some(0), "{reason}: {text}");
        }
        Ok(())
    });
}
