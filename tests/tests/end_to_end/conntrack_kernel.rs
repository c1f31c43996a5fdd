// SPDX-License-Identifier: MIT OR Apache-2.0
//! Facts on which the plugin builds: the running kernel says who caused a change, and how much time was left.

use std::collections::VecDeque;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use spared_netlink::{Notifications, attributes, constants as c};
use spared_tests::Result;
use spared_tests::flows;
use spared_tests::lab::{CLIENT, Lab, VIRTUAL, Wire, scenario};
use spared_tests::router::Ruleset;

const LIMIT: Duration = Duration::from_secs(10);
/// Another port than any that asks here.
const NOBODY: u32 = u32::MAX - 1;
const BY_HAND: &str = "-p udp -s 10.1.0.200 -d 10.2.0.200 --sport 1000 --dport 2000";

/// A notification: what, by whom, and the time that it names.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    group: &'static str,
    by_hand: bool,
    left_s: Option<u32>,
}

struct Ear<'l> {
    lab: &'l Lab,
    notifications: Notifications,
    heard: VecDeque<Heard>,
}

impl<'l> Ear<'l> {
    fn open(lab: &'l Lab) -> Result<Self> {
        let site = &lab.sites[0];
        Ruleset::default().load(site)?;
        site.ns.set(&[("net/netfilter/nf_conntrack_events", "1")])?;
        let notifications = site.ns.run(|| {
            let notifications = Notifications::open(1 << 20, NOBODY)?;
            for group in [
                c::NFNLGRP_CONNTRACK_NEW,
                c::NFNLGRP_CONNTRACK_UPDATE,
                c::NFNLGRP_CONNTRACK_DESTROY,
            ] {
                notifications.join(group)?;
            }
            Ok(notifications)
        })?;
        Ok(Self {
            lab,
            notifications,
            heard: VecDeque::new(),
        })
    }

    fn run(&self, line: &str) -> Result<()> {
        self.lab.sites[0].ns.shell(line).map(drop)
    }

    /// The next one of a kind, of UDP; those before it are not looked at.
    fn hear(&mut self, wanted: &str) -> Result<Heard> {
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            let heard = &mut self.heard;
            self.notifications.read(|header, payload| {
                if is_udp(payload) {
                    heard.push_back(Heard {
                        group: kind(header.kind, header.flags),
                        by_hand: header.port != 0,
                        left_s: time_left(payload),
                    });
                }
            })?;
            while let Some(heard) = self.heard.pop_front() {
                if heard.group == wanted {
                    return Ok(heard);
                }
            }
            // what has expired goes when somebody looks
            let _ = flows::read(&self.lab.sites[0].ns)?;
            thread::sleep(Duration::from_millis(20));
        }
        Err(format!("the kernel says nothing of {wanted}").into())
    }
}

fn kind(kind: u16, flags: u16) -> &'static str {
    const CREATE: u16 = 0x400;
    match (kind & 0xff, flags & CREATE != 0) {
        (c::IPCTNL_MSG_CT_DELETE, _) => "destroy",
        (_, true) => "new",
        (_, false) => "update",
    }
}

fn time_left(payload: &[u8]) -> Option<u32> {
    let mut all = attributes(payload.get(4..)?);
    let (_, value) = all.find(|(kind, _)| *kind == c::CTA_TIMEOUT)?;
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

fn is_udp(payload: &[u8]) -> bool {
    // the protocol's number, in the original tuple
    const UDP: [u8; 5] = [5, 0, 1, 0, 17];
    payload.windows(UDP.len()).any(|bytes| bytes == UDP)
}

#[test]
fn the_kernel_says_who_caused_a_change_and_how_much_time_was_left() {
    scenario(2, |lab| {
        let mut ear = Ear::open(lab)?;
        // a hand
        ear.run(&format!("conntrack -I {BY_HAND} -t 100"))?;
        assert!(ear.hear("new")?.by_hand);
        ear.run(&format!("conntrack -D {BY_HAND}"))?;
        let gone = ear.hear("destroy")?;
        assert!(gone.by_hand, "{gone:?}");
        assert!(gone.left_s.is_some_and(|left_s| left_s > 90), "{gone:?}");
        // time
        ear.run(&format!("conntrack -I {BY_HAND} -t 1"))?;
        let gone = ear.hear("destroy")?;
        assert_eq!((gone.by_hand, gone.left_s), (false, None), "{gone:?}");
        // a packet
        let site = &lab.sites[0];
        let gateway = Wire::Lan.ipv4(VIRTUAL);
        site.ns.ip(&format!("addr add {gateway}/24 dev lan\n"))?;
        let client = lab.lan.run(|| Ok(UdpSocket::bind("0.0.0.0:0")?))?;
        let server = (Wire::Wan.ipv4(CLIENT), 53);
        client.send_to(b"question", server)?;
        assert!(!ear.hear("new")?.by_hand);
        Ok(())
    });
}

#[test]
fn each_packet_moves_the_end_of_its_entry() {
    scenario(2, |lab| {
        let site = &lab.sites[0];
        Ruleset::default().load(site)?;
        let gateway = Wire::Lan.ipv4(VIRTUAL);
        site.ns.ip(&format!("addr add {gateway}/24 dev lan\n"))?;
        let client = lab.lan.run(|| Ok(UdpSocket::bind("0.0.0.0:0")?))?;
        let server = (Wire::Wan.ipv4(CLIENT), 53);
        let ends = || -> Result<Option<u32>> {
            let table = flows::read(&site.ns)?;
            let entry = table
                .iter()
                .find(|entry| entry.original.destination_port == 53);
            Ok(entry.map(|entry| entry.timeout_s))
        };
        client.send_to(b"question", server)?;
        site.ns
            .set(&[("net/netfilter/nf_conntrack_udp_timeout", "500")])?;
        assert!(ends()?.is_some_and(|left_s| left_s <= 30), "as it was");
        client.send_to(b"question", server)?;
        assert!(
            ends()?.is_some_and(|left_s| left_s > 490),
            "as the packet made it"
        );
        Ok(())
    });
}
