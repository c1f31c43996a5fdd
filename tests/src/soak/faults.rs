// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults and orders of the soak, and how each is undone.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::world::PROCESSES;
use crate::Result;
use crate::lab::{VIRTUAL, Wire, signal_to};
use crate::truth::{Bed, plain};

/// Makes a fault on a node (0: r1, 1: r2), or undoes it.
type Action = fn(&mut Bed<'_>, usize) -> Result<()>;

/// Part of a node that has at most one fault at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The daemon: no orders are possible meanwhile.
    Daemon,
    Clock,
    Plugin(&'static str),
    Wire(Wire),
    Fence,
    Firewall,
    Set,
    Server,
    Service,
    Health,
    State,
    Leases,
    Orders,
    Files,
    Tree,
}

/// Expected report of both nodes, if they run, while a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Must {
    /// Anything but OK, since something that is configured is not so.
    Warn,
    /// The truth: the fault matters in one role only, or in part.
    Truth,
    /// The truth; the fault is repaired by itself, as soon as no flaw is measured.
    Repaired,
    /// OK, as nothing changes.
    Ok,
}

pub struct Kind {
    pub name: &'static str,
    pub place: Place,
    pub must: Must,
    /// Ids of the findings that are allowed while it is the only fault.
    pub ids: &'static [&'static str],
    /// The kind is an order, which a node may refuse in its present state.
    pub may_be_refused: bool,
    pub make: Action,
    pub undo: Action,
}

/// A fault on a node.
pub struct Fault {
    pub kind: &'static Kind,
    pub site: usize,
    /// End, counted from the start of the run.
    pub until: Duration,
    pub began: Instant,
}

impl Fault {
    pub fn new(kind: &'static Kind, site: usize, until: Duration) -> Self {
        Self {
            kind,
            site,
            until,
            began: Instant::now(),
        }
    }

    pub fn name(&self) -> String {
        format!("r{}: {}", self.site + 1, self.kind.name)
    }

    /// Returns true if another fault cannot be made meanwhile.
    pub fn excludes(&self, kind: &Kind, site: usize) -> bool {
        let places = [self.kind.place, kind.place];
        // one node must run to report something
        if places == [Place::Daemon; 2] {
            return true;
        }
        self.site == site && (places[0] == places[1] || places.contains(&Place::Daemon))
    }
}

impl Kind {
    const fn new(name: &'static str, place: Place, must: Must, make: Action, undo: Action) -> Self {
        Self {
            name,
            place,
            must,
            ids: &[],
            may_be_refused: false,
            make,
            undo,
        }
    }

    const fn found(self, ids: &'static [&'static str]) -> Self {
        Self { ids, ..self }
    }

    /// Returns a kind that is an order of `sparectl`.
    const fn order(name: &'static str, must: Must, make: Action, undo: Action) -> Self {
        Self {
            may_be_refused: true,
            ..Self::new(name, Place::Orders, must, make, undo)
        }
    }
}

fn nothing(_: &mut Bed<'_>, _: usize) -> Result<()> {
    Ok(())
}

pub const KINDS: &[Kind] = &[
    Kind::new(
        "all processes of the daemon are killed",
        Place::Daemon,
        Must::Warn,
        |bed, at| {
            bed.pair.routers[at].kill();
            Ok(())
        },
        |bed, at| bed.restart(at),
    )
    .found(&["SP-0101"]),
    Kind::new(
        "the host is killed",
        Place::Daemon,
        Must::Warn,
        |bed, at| bed.pair.routers[at].daemons[0].signal(Signal::KILL),
        |bed, at| bed.restart(at),
    )
    .found(&["SP-0101"]),
    Kind::new(
        "the daemon is stopped",
        Place::Daemon,
        Must::Warn,
        |bed, at| bed.pair.routers[at].shut_down(),
        |bed, at| bed.restart(at),
    )
    .found(&["SP-0101"]),
    Kind::new(
        "the daemon hangs",
        Place::Daemon,
        Must::Warn,
        |bed, at| bed.pair.routers[at].hang(),
        |bed, at| bed.pair.routers[at].resume(),
    )
    .found(&["SP-0101"]),
    killed::<0>("the elector is killed"),
    killed::<1>("conntrack is killed"),
    killed::<2>("sets is killed"),
    killed::<3>("dhcp is killed"),
    killed::<4>("service is killed"),
    killed::<5>("health is killed"),
    killed::<6>("files is killed"),
    killed::<7>("files-root is killed"),
    killed::<8>("the process of the link is killed"),
    killed::<9>("the firewall process is killed"),
    hung::<0>("the elector hangs"),
    hung::<1>("conntrack hangs"),
    hung::<2>("sets hangs"),
    hung::<3>("dhcp hangs"),
    hung::<4>("service hangs"),
    hung::<6>("files hangs"),
    hung::<7>("files-root hangs"),
    hung::<8>("the process of the link hangs"),
    cut::<0>("the lan is cut without a word").found(&["SP-0205"]),
    cut::<1>("the wan is cut without a word").found(&["SP-0205"]),
    cut::<2>("the first link is cut without a word").found(&["SP-0501"]),
    cut::<3>("the second link is cut without a word").found(&["SP-0501"]),
    unplugged::<0>("the lan has no carrier").found(&["SP-0403"]),
    unplugged::<1>("the wan has no carrier").found(&["SP-0403"]),
    unplugged::<2>("the first link has no carrier").found(&["SP-0501"]),
    down::<0>("the lan is down").found(&["SP-0403"]),
    down::<1>("the wan is down").found(&["SP-0403"]),
    down::<3>("the second link is down").found(&["SP-0501"]),
    Kind::new(
        "a fifth of a link's frames is lost",
        Place::Wire(Wire::Hot),
        Must::Truth,
        |bed, at| bed.pair.lab.lose(bed.site(at), Wire::Hot, 20, 20),
        |bed, at| bed.pair.lab.fix(bed.site(at), Wire::Hot),
    )
    .found(&["SP-0501"]),
    Kind::new(
        "a firewall drops the link",
        Place::Firewall,
        Must::Warn,
        |bed, at| {
            bed.nft(
                at,
                "table inet strict { chain in { type filter hook input priority 0\n\
                 tcp dport 3780 drop\ntcp sport 3780 drop\n}\n}",
            )
        },
        |bed, at| bed.nft(at, "delete table inet strict"),
    )
    .found(&["SP-0501", "SP-0502"]),
    Kind::new(
        "a virtual address is deleted",
        Place::Wire(Wire::Wan),
        Must::Repaired,
        |bed, at| {
            let address = Wire::Wan.ipv4(VIRTUAL);
            // a backup has no such address
            let _ = bed.ip(at, &format!("addr del {address}/24 dev wan"));
            Ok(())
        },
        nothing,
    ),
    Kind::new(
        "the wan has no address of its own",
        Place::Wire(Wire::Wan),
        Must::Warn,
        |bed, at| own(bed, at, "del"),
        |bed, at| own(bed, at, "add"),
    )
    .found(&["SP-0204"]),
    Kind::new(
        "the fence is deleted",
        Place::Fence,
        Must::Repaired,
        |bed, at| bed.nft(at, "delete table netdev spared"),
        nothing,
    ),
    Kind::new(
        "the set is deleted",
        Place::Set,
        Must::Warn,
        |bed, at| bed.nft(at, "delete set inet filter bans"),
        |bed, at| bed.nft(at, plain::SET),
    )
    .found(&["SP-0304", "SP-0401"]),
    Kind::new(
        "the DHCP server is killed",
        Place::Server,
        Must::Repaired,
        |bed, at| {
            // a backup runs no server
            let _ = bed.servers[at][0].kill();
            Ok(())
        },
        |bed, at| bed.tell(at, &["service", "retry"]),
    ),
    Kind::new(
        "the DHCP server's configuration is broken",
        Place::Server,
        Must::Truth,
        |bed, at| {
            let config = bed.servers[at][0].paths.config.clone();
            let text = fs::read_to_string(&config)?;
            fs::write(config, text + BROKEN)?;
            let _ = bed.servers[at][0].kill();
            Ok(())
        },
        |bed, at| {
            let config = bed.servers[at][0].paths.config.clone();
            let text = fs::read_to_string(&config)?;
            fs::write(config, text.replace(BROKEN, ""))?;
            bed.tell(at, &["service", "retry"])
        },
    )
    .found(&["SP-0304", "SP-0401"]),
    Kind::new(
        "the disk of the leases is full",
        Place::Leases,
        Must::Truth,
        |bed, at| bed.disks[LEASES + at].fill(),
        |bed, at| bed.disks[LEASES + at].empty(),
    )
    .found(&["SP-0304", "SP-0401"]),
    Kind::new(
        "the disk of the host's state is full",
        Place::State,
        Must::Truth,
        |bed, at| bed.disks[STATES + at].fill(),
        |bed, at| bed.disks[STATES + at].empty(),
    )
    .found(&["SP-0801", "SP-0401"]),
    Kind::new(
        "a service ends and cannot be started",
        Place::Service,
        Must::Truth,
        |bed, at| {
            bed.put(at, "web-start-fails")?;
            // a backup has no such state
            let _ = bed.take(at, "web-up");
            Ok(())
        },
        |bed, at| {
            bed.take(at, "web-start-fails")?;
            bed.tell(at, &["service", "retry"])
        },
    )
    .found(&["SP-0401"]),
    Kind::new(
        "a service is started by somebody else",
        Place::Service,
        Must::Repaired,
        |bed, at| bed.put(at, "web-up"),
        nothing,
    ),
    Kind::new(
        "a health check fails",
        Place::Health,
        Must::Warn,
        |bed, at| bed.put(at, "check-fails"),
        |bed, at| bed.take(at, "check-fails"),
    )
    .found(&["SP-0401"]),
    Kind::new(
        "the clock is five minutes ahead",
        Place::Clock,
        Must::Ok,
        |bed, at| bed.set_clock(at, STEP_S),
        |bed, at| bed.set_clock(at, 0),
    ),
    Kind::new(
        "the clock is five minutes behind",
        Place::Clock,
        Must::Ok,
        |bed, at| bed.set_clock(at, -STEP_S),
        |bed, at| bed.set_clock(at, 0),
    ),
    Kind::order(
        "an order to switch",
        Must::Repaired,
        |bed, at| bed.tell(at, &["switch", "office"]),
        nothing,
    ),
    Kind::order(
        "maintenance",
        Must::Warn,
        |bed, at| bed.tell(at, &["maintenance", "on"]),
        |bed, at| bed.tell(at, &["maintenance", "off"]),
    )
    .found(&["SP-0701"]),
    Kind::order(
        "a freeze",
        Must::Warn,
        |bed, at| bed.tell(at, &["freeze", "1m"]),
        |bed, at| bed.tell(at, &["freeze", "off"]),
    )
    .found(&["SP-0702"]),
    Kind::order(
        "forced backup",
        Must::Warn,
        |bed, at| bed.tell(at, &["force", "backup", "office"]),
        |bed, at| bed.tell(at, &["force", "reset", "office"]),
    )
    .found(&["SP-0703"]),
    Kind::order(
        "forced active",
        Must::Warn,
        |bed, at| bed.tell(at, &["force", "active", "office"]),
        |bed, at| bed.tell(at, &["force", "reset", "office"]),
    )
    .found(&["SP-0703"]),
    Kind::new(
        "a file is edited",
        Place::Tree,
        Must::Repaired,
        |bed, at| {
            let page = bed.pair.routers[at].dir.join("own/notes/page");
            let text = fs::read_to_string(&page)?;
            Ok(fs::write(page, format!("{text}and on r{}\n", at + 1))?)
        },
        nothing,
    ),
    Kind::new(
        "a reload without a change",
        Place::Files,
        Must::Ok,
        |bed, at| bed.tell(at, &["reload"]),
        nothing,
    ),
    Kind::new(
        "a reload of a wrong file",
        Place::Files,
        Must::Ok,
        |bed, at| {
            let path = bed.etc(at).join("plugins/health.toml");
            let text = fs::read_to_string(&path)?;
            fs::write(&path, text.clone() + "intervall = 1\n")?;
            let reloaded = bed.tell(at, &["reload"]);
            fs::write(path, text)?;
            match reloaded {
                Ok(()) => Err("a wrong file was taken".into()),
                Err(_) => Ok(()),
            }
        },
        nothing,
    ),
];

/// Indices of the disks of both nodes' leases and states among the bed's.
const LEASES: usize = 0;
const STATES: usize = 2;
/// Less than a lease's duration: a lease that expires is no fault of the pair.
const STEP_S: i64 = 300;

/// Line that Kea refuses.
const BROKEN: &str = "no such words\n";

const fn killed<const PROCESS: usize>(name: &'static str) -> Kind {
    Kind::new(
        name,
        Place::Plugin(PROCESSES[PROCESS]),
        Must::Repaired,
        |bed, at| send(bed, at, PROCESSES[PROCESS], Signal::KILL),
        nothing,
    )
}

/// Returns a kind in which a process hangs, which the host ends and restarts.
const fn hung<const PROCESS: usize>(name: &'static str) -> Kind {
    Kind::new(
        name,
        Place::Plugin(PROCESSES[PROCESS]),
        Must::Repaired,
        |bed, at| send(bed, at, PROCESSES[PROCESS], Signal::STOP),
        |bed, at| send(bed, at, PROCESSES[PROCESS], Signal::CONT),
    )
}

fn send(bed: &Bed<'_>, at: usize, process: &str, signal: Signal) -> Result<()> {
    // the process may have ended at this moment
    if let Some(pid) = bed.pair.process(at, process) {
        let _ = signal_to(pid, signal);
    }
    Ok(())
}

const fn cut<const WIRE: usize>(name: &'static str) -> Kind {
    Kind::new(
        name,
        Place::Wire(Wire::ALL[WIRE]),
        Must::Warn,
        |bed, at| bed.pair.lab.cut(bed.site(at), Wire::ALL[WIRE]),
        |bed, at| bed.pair.lab.join(bed.site(at), Wire::ALL[WIRE]),
    )
}

const fn unplugged<const WIRE: usize>(name: &'static str) -> Kind {
    Kind::new(
        name,
        Place::Wire(Wire::ALL[WIRE]),
        Must::Warn,
        |bed, at| bed.pair.lab.unplug(bed.site(at), Wire::ALL[WIRE]),
        |bed, at| bed.pair.lab.plug(bed.site(at), Wire::ALL[WIRE]),
    )
}

const fn down<const WIRE: usize>(name: &'static str) -> Kind {
    Kind::new(
        name,
        Place::Wire(Wire::ALL[WIRE]),
        Must::Warn,
        |bed, at| bed.ip(at, &format!("link set {} down", Wire::ALL[WIRE].name())),
        |bed, at| bed.ip(at, &format!("link set {} up", Wire::ALL[WIRE].name())),
    )
}

fn own(bed: &Bed<'_>, at: usize, verb: &str) -> Result<()> {
    let address = Wire::Wan.ipv4(bed.site(at).host());
    bed.ip(at, &format!("addr {verb} {address}/24 dev wan"))
}
