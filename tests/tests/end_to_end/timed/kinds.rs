// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every kind of interface that a Debian router has, in machines whose kernel has them all: as interface of a
//! group, of an address, of a link. Each is renamed, loses its carrier, and fails over.

use std::env;
use std::fmt::Write;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::Stamp;
use spared_tests::guard::two_within;
use spared_tests::kinds::{BONDS, BRIDGE, Families, Kind, MACVLAN, VETH, VLAN, VRF};
use spared_tests::lab::{EYE, Lab, Wire, scenario, skipped};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::machine::{Machine, Node, Parts, wait_settled};
use spared_tests::probe::{Pings, Question, Run, Seen, Stations, Watch};
use spared_tests::random::number;
use spared_tests::router::Plan;

const HOSTS: [u8; 2] = [11, 12];
const ASKED_EVERY: Duration = Duration::from_millis(80);
/// Two answers of one router with one of the other between them.
const TOGETHER: Duration = Duration::from_millis(200);
/// An answer that comes this long after its question lay in a machine that had no processor: between the check of the
/// fence and the wire, where nothing can take it back. The lease of a fence ends 32 ms before the other node takes over.
const LATE: Duration = Duration::from_millis(30);
/// Kinds in one pair of machines. With all eleven in one, each frame waits for up to a second in a machine's cards
/// whenever all groups move, which is longer than the failover time: then each node takes the other one for dead.
const AT_ONCE: usize = 4;
const CALM: Duration = Duration::from_millis(400);
const LIMIT: Duration = Duration::from_secs(12);
const START: Duration = Duration::from_secs(30);

/// A virtual address on an interface of a kind.
struct Served {
    kind: Kind,
    what: &'static str,
    address: IpAddr,
    question: Question,
}

fn served(kind: Kind, what: &'static str, address: &str) -> Result<Served> {
    Ok(Served {
        kind,
        what,
        address: address.parse()?,
        question: kind.question(address).ok_or("an address")?,
    })
}

/// A pair of machines, and stations that ask it for all its addresses.
struct Pair {
    machines: [Machine; 2],
    kinds: Vec<Kind>,
    families: Families,
    served: Vec<Served>,
    watch: Watch,
    stations: Stations,
}

/// Lines of a group's head.
fn head(name: &str, vrid: u8) -> String {
    format!(
        "[[group]]\nname = \"{name}\"\nvrid = {vrid}\nprefer = \"r1\"\nfailback_delay = \"300ms\"\nhold = \"300ms\"\n"
    )
}

fn interface(kind: Kind, host: u8, families: Families, more: &str) -> String {
    let mut addresses = Vec::new();
    if families.ipv4 {
        addresses.push(format!("{}/24", kind.ipv4(host)));
    }
    if families.ipv6 {
        addresses.push(format!("{}/64", kind.ipv6(host)));
    }
    format!(
        "[[group.interface]]\ninterface = \"{}\"\naddresses = {addresses:?}\n{more}",
        kind.device()
    )
}

/// Hosts of the virtual addresses on an interface: of its own group, of one on a virtual MAC, of the group "office".
const PLAIN: u8 = 1;
const VMAC: u8 = 5;
const FOLLOWING: u8 = 6;

/// One group on each kind, another one with a virtual MAC where that works, and a group with an address on each.
fn plan(kinds: &[Kind], families: Families, links: &str) -> Result<(Plan, Vec<Served>)> {
    let mut plan = Plan::linked(INTERVAL, &[]);
    plan.extra = "failback_delay = \"300ms\"\nhold = \"300ms\"\nvrid = 1\n".to_owned();
    plan.routers.clear();
    let mut asked = Vec::new();
    let [first, ..] = kinds else {
        return Err("no kind".into());
    };
    let mut text = interface(*first, FOLLOWING, families, "");
    for kind in &kinds[1..] {
        let address = kind.ipv6(FOLLOWING);
        let _ = writeln!(
            text,
            "[[group.address]]\ninterface = \"{}\"\naddresses = [\"{address}/64\"]",
            kind.device()
        );
        asked.push(served(*kind, "address", &address)?);
    }
    for kind in kinds {
        let families = families.on(*kind);
        text += &head(&format!("n{}", kind.number), kind.number);
        text += &interface(*kind, PLAIN, families, "");
        if families.ipv6 {
            asked.push(served(*kind, "group, IPv6", &kind.ipv6(PLAIN))?);
        }
        if families.ipv4 {
            asked.push(served(*kind, "group, IPv4", &kind.ipv4(PLAIN))?);
        }
        if has_vmac(*kind) {
            text += &head(&format!("m{}", kind.number), kind.number + 100);
            text += &interface(*kind, VMAC, families, "vmac = true\n");
            asked.push(served(*kind, "virtual MAC", &kind.ipv6(VMAC))?);
        }
    }
    plan.sections = text;
    if let Some(link) = &mut plan.link {
        link.extra = links.to_owned();
    }
    Ok((plan, asked))
}

/// Kinds that carry a virtual MAC: see the manual page of the plugin.
fn has_vmac(kind: Kind) -> bool {
    kind != VRF && kind != MACVLAN
}

impl Pair {
    fn boot(lab: &Lab, kinds: Vec<Kind>, families: Families) -> Result<Self> {
        let parts = |name, host| Parts::new(name, host, &[Wire::Lan, Wire::Wan, Wire::Hot]);
        let machines = Machine::boot(lab, [parts("r1", HOSTS[0]), parts("r2", HOSTS[1])])?;
        let links = if families.ipv4 {
            "[[link]]\ninterface = \"hot\"\naddress = { r1 = \"10.3.0.11/24\", r2 = \"10.3.0.12/24\" }\n"
        } else {
            "[[link]]\ninterface = \"hot\"\naddress = { r1 = \"fd03::11/64\", r2 = \"fd03::12/64\" }\n"
        };
        let (plan, served) = plan(&kinds, families, links)?;
        for (machine, host) in machines.iter().zip(HOSTS) {
            if !families.ipv4 {
                machine.ok("ip -4 address flush scope global")?;
            }
            let lines = kinds.iter().map(|kind| kind.creation(host));
            machine.ip(&lines.collect::<String>())?;
            machine.ok(Kind::QUIET)?;
            machine.ip(&own(&kinds, host, families))?;
        }
        for machine in &machines {
            Node(machine).start(&plan)?;
        }
        let asked: Vec<Question> = served.iter().map(|it| it.question).collect();
        let pair = Self {
            watch: Watch::of_machines(lab, &machines)?,
            stations: Stations::start(lab, &asked, ASKED_EVERY)?,
            machines,
            kinds,
            families,
            served,
        };
        wait_settled([0, 1].map(|site| Node(&pair.machines[site])), START)?;
        Ok(pair)
    }

    /// Waits until a node alone answers for all addresses that `counts`. Returns those for which it does not.
    fn unserved(&self, site: usize, counts: impl Fn(&Served) -> bool) -> Vec<String> {
        let end = Instant::now() + LIMIT;
        loop {
            thread::sleep(CALM / 2);
            let from = Stamp::now().before(CALM);
            let is_served = |it: &Served| {
                let runs = self.watch.resolutions(from, it.address);
                matches!(runs.as_slice(), [run] if run.site == site)
            };
            let asked = self.served.iter().filter(|it| counts(it));
            let missing: Vec<&Served> = asked.filter(|it| !is_served(it)).collect();
            if missing.is_empty() || Instant::now() > end {
                let name = |it: &&Served| {
                    let runs = self.watch.resolutions(from, it.address);
                    let by: Vec<String> = runs
                        .iter()
                        .map(|run| format!("r{}", run.site + 1))
                        .collect();
                    let (kind, what) = (it.kind.name, it.what);
                    format!("{kind}, {what}: {} answered by {by:?}", it.address)
                };
                return missing.iter().map(name).collect();
            }
        }
    }

    /// Addresses for which two answered in time.
    fn doubled(&self, from: Stamp) -> Vec<String> {
        let is_late = |seen: &Seen| self.stations.delay(seen).is_some_and(|delay| delay > LATE);
        let wrong = |it: &Served| {
            let runs = self.watch.resolutions(from, it.address);
            let seen = two_within(it.address, &runs, TOGETHER);
            let in_time = self
                .watch
                .resolutions_that(from, it.address, |seen| !is_late(seen));
            let wrong = two_within(it.address, &in_time, TOGETHER);
            if let (Some(seen), None) = (seen, &wrong) {
                println!("{} {}: late answers alone: {seen}", it.kind.name, it.what);
            }
            let wrong = wrong?;
            let run = |run: &Run| {
                let [first, last] = [run.first, run.last].map(|at| at.since(from));
                format!("r{} {first:.2?}-{last:.2?} ({})", run.site + 1, run.answers)
            };
            let runs: Vec<String> = runs.iter().map(run).collect();
            println!("{} {}: answers by {runs:?}", it.kind.name, it.what);
            Some(format!("{}, {}: {wrong}", it.kind.name, it.what))
        };
        let answers = self.watch.since(from);
        let delays = answers.iter().filter_map(|seen| self.stations.delay(seen));
        let late: Vec<Duration> = delays.filter(|delay| *delay > LATE).collect();
        if let Some(worst) = late.iter().max() {
            let (late, all) = (late.len(), answers.len());
            println!("{late} of {all} frames were answers that came late, by {worst:.0?} at most");
        }
        self.served.iter().filter_map(wrong).collect()
    }

    /// Does something to all interfaces of r1, and undoes it. Meanwhile r2 serves the groups on them.
    fn phase(&self, name: &str, done: &str, undone: &str) -> Result<Vec<String>> {
        let began = Stamp::now();
        let r1 = &self.machines[0];
        let mut wrong = Vec::new();
        r1.ip(done)?;
        // an address without a virtual router stays with its group
        let unserved = self.unserved(1, |it| it.what != "address");
        println!(
            "{name}: r2 after {:.1?} {unserved:?}",
            Stamp::now().since(began)
        );
        wrong.extend(unserved);
        let undo = Stamp::now();
        r1.ip(undone)?;
        wrong.extend(self.unserved(0, |_| true));
        println!(
            "{name}: undone after {:.2?}, r1 again after {:.2?}",
            undo.since(began),
            Stamp::now().since(undo)
        );
        let doubled = self.doubled(began);
        if !doubled.is_empty() {
            self.print_events(began);
        }
        wrong.extend(doubled);
        Ok(wrong
            .into_iter()
            .map(|it| format!("{name}: {it}"))
            .collect())
    }

    /// Prints the events of both nodes. The machines have one clock.
    fn print_events(&self, began: Stamp) {
        for machine in &self.machines {
            let now = machine.run("date +%T.%3N").unwrap_or_default().1;
            let events = Node(machine).sparectl("events -n 1000").map(|it| it.1);
            println!(
                "--- {}: at {now}, {:.2?} after the begin, its events:\n{}",
                machine.name,
                Stamp::now().since(began),
                events.unwrap_or_else(|error| error.to_string())
            );
        }
    }

    fn fail_over(&self) -> Vec<String> {
        let began = Stamp::now();
        self.machines[0].kill();
        let mut wrong = self.unserved(1, |_| true);
        println!("failover: r2 after {:.1?}", Stamp::now().since(began));
        wrong.extend(self.doubled(began));
        wrong
            .into_iter()
            .map(|it| format!("failover: {it}"))
            .collect()
    }

    fn run(&self) -> Result<()> {
        let (kinds, host) = (&self.kinds, HOSTS[0]);
        let mut wrong = self.unserved(0, |_| true);
        let lines =
            |of: &dyn Fn(Kind) -> String| kinds.iter().map(|kind| of(*kind)).collect::<String>();
        let renamed = lines(&|kind| Kind::rename(&kind.device(), &format!("x{}", kind.number)));
        let named = lines(&|kind| Kind::rename(&format!("x{}", kind.number), &kind.device()));
        let named = named + &own(kinds, host, self.families);
        for _ in 0..number("SPARED_ROUNDS", 1) {
            wrong.extend(self.phase("rename", &renamed, &named)?);
        }
        let [lost, found] = [false, true].map(|carrier| lines(&|kind| kind.carrier(carrier)));
        wrong.extend(self.phase("carrier", &lost, &found)?);
        wrong.extend(self.fail_over());
        if wrong.is_empty() {
            Ok(())
        } else {
            let said = Node(&self.machines[1]).sparectl("status")?.1;
            Err(format!("{}\n{said}", wrong.join("\n")).into())
        }
    }
}

fn own(kinds: &[Kind], host: u8, families: Families) -> String {
    kinds.iter().map(|kind| kind.own(host, families)).collect()
}

#[test]
#[ignore = "for as long as one likes"]
fn groups_on_every_kind_of_interface_survive_a_rename_a_lost_carrier_and_a_death() {
    let named = env::var("SPARED_KINDS").unwrap_or_default();
    let mut kinds = Kind::all();
    kinds.retain(|kind| named.is_empty() || named.split(',').any(|name| name == kind.name));
    for kinds in kinds.chunks(AT_ONCE) {
        println!(
            "{:?}",
            kinds.iter().map(|kind| kind.name).collect::<Vec<_>>()
        );
        scenario(0, |lab| {
            Pair::boot(lab, kinds.to_vec(), Families::BOTH)?.run()
        });
    }
}

#[test]
fn so_do_those_of_a_pair_without_ipv4() {
    scenario(0, |lab| {
        let kinds = vec![VETH, VLAN, BRIDGE, BONDS[1]];
        Pair::boot(lab, kinds, Families::IPV6)?.run()
    });
}

/// The machines' kernel has no vxlan, this one has.
fn join_by_vxlan(lab: &Lab) -> Result<()> {
    let hosts = [
        (&lab.sites[0].ns, HOSTS[0]),
        (&lab.sites[1].ns, HOSTS[1]),
        (&lab.eye, EYE),
    ];
    for (ns, host) in hosts {
        let local = Wire::Lan.ipv4(host);
        ns.ip(&format!(
            "link add vx7 type vxlan id 7 dev lan local {local} dstport 4789\n\
             link set vx7 up\naddr add 10.7.0.{host}/24 dev vx7\n"
        ))
        .map_err(|error| skipped(format!("no vxlan: {error}")))?;
        for (_, other) in hosts.iter().filter(|(_, other)| *other != host) {
            let other = Wire::Lan.ipv4(*other);
            let all = "00:00:00:00:00:00";
            ns.shell(&format!("bridge fdb append {all} dev vx7 dst {other}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_group_on_a_vxlan_survives_a_rename_and_a_death() {
    scenario(2, |lab| {
        join_by_vxlan(lab)?;
        let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
        plan.routers.clear();
        plan.sections =
            "[[group.interface]]\ninterface = \"vx7\"\nvrid = 7\naddresses = [\"10.7.0.1/24\"]\n"
                .to_owned();
        let mut pair = Linked::start(lab, &plan)?;
        pair.wait_active(0)?;
        let pings = Pings::start(&lab.eye, "10.7.0.1".parse()?, Duration::from_millis(20))?;
        let is_served = |pair: &Linked, site| -> Result<()> {
            pair.wait_active(site)?;
            pair.wait("the vxlan's address there", || {
                lab.holders("10.7.0.1") == [site]
            })?;
            pair.wait("answers over the vxlan", || pings.is_steady(CALM))
        };
        is_served(&pair, 0)?;
        let ns = &lab.sites[0].ns;
        ns.ip("link set vx7 name x7\n")?;
        is_served(&pair, 1)?;
        ns.ip("link set x7 name vx7\n")?;
        is_served(&pair, 0)?;
        pair.routers[0].shut_down()?;
        pair.wait("r2 serves", || {
            pair.role(1) == "active" && pings.is_steady(CALM)
        })
    });
}
