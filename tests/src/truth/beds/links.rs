// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults of the links.

use std::time::Duration;

use rustix::process::Signal;
use spared_verdict::Word;

use crate::Result;
use crate::lab::{Direction, Traffic, Wire, signal_to};
use crate::truth::{Bed, Found::*, On, State};

/// Port of the link, at both ends of a connection.
const PORT: [&str; 2] = ["tcp dport 3780", "tcp sport 3780"];

pub(super) const STATES: &[State] = &[
    State::warns(
        "one of two links is cut without a word",
        On::Either,
        &[Own("SP-0501")],
        |bed, at| bed.pair.lab.cut(bed.site(at), Wire::Warm),
        |bed, at| bed.pair.lab.join(bed.site(at), Wire::Warm),
    ),
    State::warns(
        "one of two links is down",
        On::Either,
        &[Struck("SP-0501")],
        |bed, at| bed.ip(at, "link set warm down"),
        |bed, at| bed.ip(at, "link set warm up"),
    ),
    State::warns(
        "one of two links has no carrier",
        On::Either,
        &[Struck("SP-0501")],
        |bed, at| bed.pair.lab.unplug(bed.site(at), Wire::Warm),
        |bed, at| bed.pair.lab.plug(bed.site(at), Wire::Warm),
    ),
    State::is_mended(
        "the address of a link is deleted and put back",
        On::Either,
        |bed, at| {
            let address = Wire::Warm.ipv4(bed.site(at).host());
            bed.ip(at, &format!("addr del {address}/24 dev warm"))
        },
        |bed, at| {
            let address = Wire::Warm.ipv4(bed.site(at).host());
            bed.site(at).ns.holds(&address.to_string())
        },
        |_, _| Ok(()),
    ),
    State::warns(
        "both links are cut without a word",
        On::Backup,
        &[Own("SP-0501"), Own("SP-0501")],
        |bed, at| {
            let wires = Wire::LINKS.iter();
            wires
                .copied()
                .try_for_each(|wire| bed.pair.lab.cut(bed.site(at), wire))
        },
        |bed, at| {
            let wires = Wire::LINKS.iter();
            wires
                .copied()
                .try_for_each(|wire| bed.pair.lab.join(bed.site(at), wire))
        },
    )
    .reads("No link is up"),
    State::differs(
        "a firewall drops the link",
        On::Either,
        Some((Word::Warn, &[Struck("SP-0502")])),
        Some((Word::Warn, &[Own("SP-0501"), Own("SP-0501")])),
        |bed, at| filter(bed, at, "drop"),
        |bed, at| bed.nft(at, "delete table inet strict"),
    ),
    State::warns(
        "the process of the firewall is stopped in its tracks",
        On::Backup,
        &[Struck("SP-0504")],
        |bed, at| signal_firewall(bed, at, Signal::STOP),
        |bed, at| signal_firewall(bed, at, Signal::CONT),
    ),
    State::differs(
        "a firewall refuses the link",
        On::Backup,
        Some((Word::Warn, &[Struck("SP-0502")])),
        Some((Word::Warn, &[Own("SP-0501"), Own("SP-0501")])),
        |bed, at| filter(bed, at, "reject with tcp reset"),
        |bed, at| bed.nft(at, "delete table inet strict"),
    )
    .slow(),
    // then only heartbeats on the links pass between the nodes
    State::differs(
        "a firewall drops the link, and no network carries anything",
        On::Backup,
        Some((
            Word::Warn,
            &[Struck("SP-0205"), Struck("SP-0205"), Struck("SP-0502")],
        )),
        Some((
            Word::Warn,
            &[
                Own("SP-0205"),
                Own("SP-0205"),
                Own("SP-0501"),
                Own("SP-0501"),
            ],
        )),
        |bed, at| {
            filter(bed, at, "drop")?;
            let wires = Wire::BOTH.iter();
            wires
                .copied()
                .try_for_each(|wire| bed.pair.lab.cut(bed.site(at), wire))
        },
        |bed, at| {
            let mut wires = Wire::BOTH.iter().copied();
            wires.try_for_each(|wire| bed.pair.lab.join(bed.site(at), wire))?;
            bed.nft(at, "delete table inet strict")
        },
    ),
    State::warns(
        "heartbeats from a node are lost on one of two links",
        On::Either,
        &[OtherNode("SP-0506")],
        |bed, at| {
            let lab = bed.pair.lab;
            lab.filter(
                bed.site(at),
                Wire::Hot,
                Traffic::Heartbeats,
                Direction::From,
            )
        },
        |bed, at| bed.pair.lab.unfilter(bed.site(at), Wire::Hot),
    ),
    State::warns(
        "the path of a link carries less than its MTU",
        On::Backup,
        &[R1("SP-0507")],
        |bed, at| bed.pair.lab.narrow(bed.site(at), Wire::Hot, 1400),
        |bed, at| bed.pair.lab.narrow(bed.site(at), Wire::Hot, 1500),
    ),
    State::new(
        "no heartbeat passes on any path, and adverts do",
        On::Both,
        Word::Conflict,
        &[Own("SP-0105"), Peer("SP-0101")],
        |bed, _| {
            let (lab, site) = (bed.pair.lab, bed.site(0));
            let mut wires = Wire::BOTH.iter().copied();
            wires.try_for_each(|wire| {
                lab.filter(site, wire, Traffic::Heartbeats, Direction::Both)
            })?;
            let mut links = Wire::LINKS.iter().copied();
            links.try_for_each(|wire| lab.cut(site, wire))
        },
        |bed, _| {
            let (lab, site) = (bed.pair.lab, bed.site(0));
            let mut links = Wire::LINKS.iter().copied();
            links.try_for_each(|wire| lab.join(site, wire))?;
            let mut wires = Wire::BOTH.iter().copied();
            wires.try_for_each(|wire| lab.unfilter(site, wire))
        },
    )
    .reads("active on BOTH: "),
    State::is_fine(
        "a fifth of a link's frames is lost",
        On::Backup,
        |bed, at| bed.pair.lab.lose(bed.site(at), Wire::Hot, 20, 20),
        |bed, at| bed.pair.lab.fix(bed.site(at), Wire::Hot),
    )
    .slow(),
    State::is_fine(
        "both links are slow",
        On::Both,
        |bed, _| {
            for wire in Wire::LINKS {
                bed.pair
                    .lab
                    .lengthen(wire, SLOW)
                    .map(|it| bed.relays.push(it))?;
            }
            Ok(())
        },
        |bed, _| {
            bed.relays.clear();
            for wire in Wire::LINKS {
                bed.pair.lab.shorten(wire)?;
            }
            Ok(())
        },
    ),
];

fn signal_firewall(bed: &Bed<'_>, at: usize, signal: Signal) -> Result<()> {
    let pid = bed.pair.process(at, "firewall");
    signal_to(pid.ok_or("no process of the firewall")?, signal)
}

/// Delay in each direction.
const SLOW: Duration = Duration::from_millis(150);

fn filter(bed: &mut Bed<'_>, at: usize, verdict: &str) -> Result<()> {
    let rules: String = PORT
        .iter()
        .map(|port| format!("{port} {verdict}\n"))
        .collect();
    bed.nft(
        at,
        &format!(
            "table inet strict {{ chain in {{ type filter hook input priority 0\n{rules}}}\n}}"
        ),
    )
}
