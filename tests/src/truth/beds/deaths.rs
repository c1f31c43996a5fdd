// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nodes that are dead, stopped or unreachable, and routers outside the pair.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use spared_verdict::Word;

use crate::Result;
use crate::lab::{Direction, Lab, Traffic, VIRTUAL, Wire, build_dir};
use crate::linked::{INTERVAL, Linked};
use crate::router::{Clock, Kind, Plan, Router};
use crate::truth::{Bed, ExpectedReport, Found::*, On, State};

const ALONE: ExpectedReport = Some((Word::Alone, &[Peer("SP-0101")]));

pub(super) const STATES: &[State] = &[
    State::differs(
        "its daemon is killed",
        On::Either,
        None,
        ALONE,
        |bed, at| {
            bed.pair.routers[at].kill();
            Ok(())
        },
        |bed, at| bed.pair.restart(at),
    )
    .reads("is active and no other node is known to stand by."),
    State::differs(
        "its daemon is stopped",
        On::Either,
        None,
        ALONE,
        |bed, at| bed.pair.routers[at].shut_down(),
        |bed, at| bed.pair.restart(at),
    ),
    State::differs(
        "its daemon is stopped in its tracks",
        On::Backup,
        None,
        ALONE,
        |bed, at| bed.pair.routers[at].hang(),
        |bed, at| bed.pair.routers[at].resume(),
    ),
    State::differs(
        "its daemon is stopped in its tracks",
        On::Active,
        None,
        ALONE,
        |bed, at| bed.pair.routers[at].hang(),
        |bed, at| bed.pair.routers[at].resume(),
    )
    .slow(),
    State::differs(
        "no cable of it carries anything",
        On::Either,
        ALONE,
        ALONE,
        |bed, at| bed.pair.lab.power_off(bed.site(at)),
        |bed, at| bed.pair.lab.power_on(bed.site(at)),
    ),
    State::differs(
        "no other node lives, and every interface is down",
        On::Active,
        Some((
            Word::None,
            &[
                Peer("SP-0101"),
                Own("SP-0104"),
                Own("SP-0403"),
                Own("SP-0403"),
            ],
        )),
        None,
        |bed, at| {
            bed.pair.routers[1 - at].kill();
            bed.ip(at, "link set wan down\nlink set lan down")
        },
        |bed, at| {
            bed.ip(at, "link set wan up\nlink set lan up")?;
            bed.pair.restart(1 - at)
        },
    ),
    State::warns(
        "a third router is active for the group",
        On::Both,
        &[R1("SP-0106")],
        |bed, _| {
            let plan = Plan::gateways(INTERVAL, 254);
            let lab = bed.pair.lab;
            bed.third = Some(Router::start(lab, &lab.sites[2], Kind::Keepalived, &plan)?);
            Ok(())
        },
        // stopped in order, as a killed one leaves its addresses
        |bed, _| {
            bed.third
                .take()
                .map_or(Ok(()), |mut third| third.shut_down())
        },
    ),
    State::warns(
        "another machine has a virtual address",
        On::Both,
        &[R1("SP-0109")],
        |bed, _| third(bed, "add"),
        |bed, _| third(bed, "del"),
    )
    .slow(),
    State::differs(
        "its key is one that the other node does not know",
        On::Either,
        Some((Word::Warn, &[Peer("SP-0101")])),
        ALONE,
        |bed, at| {
            let [key, host] = ["key", "spared.toml"].map(|name| bed.etc(at).join(name));
            bed.put_aside(key.clone())?;
            bed.put_aside(host.clone())?;
            let old = public_key(&key)?;
            fs::remove_file(&key)?;
            let new = public_key(&key)?;
            let text = fs::read_to_string(&host)?;
            fs::write(host, text.replace(&old, &new))?;
            bed.restart(at)
        },
        |bed, at| {
            bed.restore()?;
            bed.restart(at)
        },
    )
    .slow(),
    State::differs(
        "it has the other node's key",
        On::Either,
        Some((Word::Warn, &[Struck("SP-0505")])),
        ALONE,
        |bed, at| {
            let path = bed.etc(at).join("key");
            bed.put_aside(path.clone())?;
            // as with an image of the other node's disk
            fs::copy(bed.etc(1 - at).join("key"), path)?;
            bed.restart(at)
        },
        |bed, at| {
            bed.restore()?;
            bed.tell(at, &["reload"])
        },
    ),
    State::is_fine(
        "its clock is an hour ahead",
        On::Either,
        |bed, at| {
            bed.pair.plans[at].clock = Clock::Ahead;
            bed.restart(at)
        },
        |bed, at| {
            bed.pair.plans[at].clock = Clock::Machine;
            bed.restart(at)
        },
    )
    .slow(),
];

/// States of a pair without a link, in which heartbeats prove life.
pub(super) const UNLINKED: &[State] = &[
    State::differs(
        "its daemon is killed",
        On::Backup,
        None,
        ALONE,
        |bed, at| {
            bed.pair.routers[at].kill();
            Ok(())
        },
        |bed, at| bed.pair.restart(at),
    ),
    State::warns(
        "its heartbeats are lost on a network",
        On::Backup,
        &[Own("SP-0205")],
        |bed, at| {
            let (lab, site) = (bed.pair.lab, bed.site(at));
            lab.filter(site, Wire::Lan, Traffic::Heartbeats, Direction::From)
        },
        |bed, at| bed.pair.lab.unfilter(bed.site(at), Wire::Lan),
    ),
    State::differs(
        "an interface has no carrier",
        On::Backup,
        Some((Word::Warn, &[Own("SP-0403")])),
        Some((Word::Warn, &[Own("SP-0205")])),
        |bed, at| bed.pair.lab.unplug(bed.site(at), Wire::Wan),
        |bed, at| bed.pair.lab.plug(bed.site(at), Wire::Wan),
    ),
    State::differs(
        "a plugin has no link to replicate over",
        On::Either,
        Some((Word::Warn, &[Own("SP-0311")])),
        Some((Word::Ok, &[])),
        |bed, at| {
            let program = build_dir()?.join("libspared_conntrack.so");
            let plugins = bed.etc(at).with_file_name("plugins");
            fs::copy(program, plugins.join("conntrack.so"))?;
            fs::write(bed.etc(at).join(REPLICATING), "")?;
            bed.tell(at, &["reload"])
        },
        |bed, at| {
            fs::remove_file(bed.etc(at).join(REPLICATING))?;
            bed.tell(at, &["reload"])
        },
    ),
];

/// Gives a station on the lan without VRRP the gateway's address, or removes it.
fn third(bed: &mut Bed, verb: &str) -> Result<()> {
    let address = Wire::Lan.ipv4(VIRTUAL);
    bed.pair
        .lab
        .eye
        .ip(&format!("addr {verb} {address}/32 dev lan"))
}

const REPLICATING: &str = "plugins/conntrack.toml";

/// States of a pair without keys, in which nothing proves life.
pub(super) const KEYLESS: &[State] = &[
    State::differs(
        "it does not hear the active node, and is active, too",
        On::Backup,
        // a node that hears nothing cannot know
        Some((Word::Ok, &[])),
        Some((Word::Conflict, &[Own("SP-0105")])),
        |bed, at| {
            let (lab, place) = (bed.pair.lab, bed.site(at));
            let mut wires = Wire::BOTH.into_iter();
            wires.try_for_each(|wire| lab.filter(place, wire, Traffic::Adverts, Direction::To))
        },
        |bed, at| {
            let (lab, place) = (bed.pair.lab, bed.site(at));
            let mut wires = Wire::BOTH.into_iter();
            wires.try_for_each(|wire| lab.unfilter(place, wire))
        },
    ),
    State::differs(
        "nothing proves that the other node lives",
        On::Active,
        Some((Word::Unknown, &[Peer("SP-0102")])),
        Some((Word::Ok, &[])),
        |bed, _| {
            for site in 0..2 {
                let name = &bed.site(site).name;
                let text = format!("node.name = \"{name}\"\n[nodes]\nr1 = {{}}\nr2 = {{}}\n");
                fs::write(bed.etc(site).join("spared.toml"), text)?;
                bed.restart(site)?;
            }
            Ok(())
        },
        |bed, _| {
            for site in 0..2 {
                bed.pair.routers[site].kill();
                bed.pair.restart(site)?;
            }
            Ok(())
        },
    ),
];

/// Returns the public key of a private one, which is generated if it does not exist.
fn public_key(file: &Path) -> Result<String> {
    let mut command = Command::new(build_dir()?.join("sparectl"));
    let output = command.arg("keygen").arg("--file").arg(file).output()?;
    let said = String::from_utf8(output.stdout)?;
    let quoted = said.split('"').nth(1);
    quoted
        .map(str::to_owned)
        .ok_or_else(|| format!("keygen: {said}").into())
}

pub(super) fn start_unlinked(lab: &Lab) -> Result<Bed<'_>> {
    let plan = Plan::linked(INTERVAL, &[]);
    let pair = Linked::begin(lab, [plan.clone(), plan])?;
    let mut bed = Bed::new(pair);
    // without a link the group is not switched back to the preferred node
    let first = bed.pair.stays(Duration::from_millis(500))?;
    if first == 1 {
        bed.restart(1)?;
    }
    bed.wait_ok()?;
    Ok(bed)
}

pub(super) fn start_keyless(lab: &Lab) -> Result<Bed<'_>> {
    let plan = Plan::gateways(INTERVAL, 200);
    let mut backup = plan.clone();
    backup.priority = 100;
    let pair = Linked::begin(lab, [plan, backup])?;
    let bed = Bed::new(pair);
    bed.wait_ok()?;
    Ok(bed)
}

/// States of a pair with a passphrase instead of keys.
pub(super) const PASSPHRASE: &[State] = &[State::warns(
    "the passphrase is weak",
    On::Both,
    &[R1("SP-0503"), R2("SP-0503")],
    |bed, _| share(bed, "horsebattery5"),
    |bed, _| share(bed, STRONG),
)
.slow()];

const STRONG: &str = "vCq7-mRz2-Xw9k-Hd4t-Lp8s";

fn share(bed: &mut Bed<'_>, secret: &str) -> Result<()> {
    for site in 0..2 {
        fs::write(bed.etc(site).join("secret"), secret)?;
        bed.restart(site)?;
    }
    Ok(())
}

pub(super) fn start_passphrase(lab: &Lab) -> Result<Bed<'_>> {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    if let Some(link) = &mut plan.link {
        link.secret = Some(STRONG.to_owned());
    }
    let bed = Bed::new(Linked::start(lab, &plan)?);
    bed.wait_ok()?;
    Ok(bed)
}
