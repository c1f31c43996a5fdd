// SPDX-License-Identifier: MIT OR Apache-2.0
//! Both nodes active: two groups, whose connections pass one node each, or both.
//!
//! ```text
//!   symmetric                              asymmetric
//!             +-- r1: office --+                    +-- r1: office (lan) --+
//!      lan ---+                +--- wan      lan ---+ in -->        <- out +--- wan
//!             +-- r2: guests --+                    +-- r2: outside (wan) -+
//! ```
//!
//! Firewalls are strict, and no kernel takes up a connection in its middle: what a node does not know is
//! lost there.

#[path = "conntrack_both/bed.rs"]
mod bed;
#[path = "conntrack_both/beside.rs"]
mod beside;
#[path = "conntrack_both/crowd.rs"]
mod crowd;

use std::cell::Cell;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Lab, VIRTUAL, Wire, is_disturbed, scenario};
use spared_tests::random::number;
use spared_tests::router::{Plan, Ruleset, VirtualRouter};
use spared_tests::synced::plan;
use spared_verdict::Word;

use bed::Bed;
use beside::Beside;
use crowd::{ANSWER, Crowd, server};

const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(100);
const GUESTS: &str = "[[group]]\nname = \"guests\"\nadvert_interval = \"100ms\"\n\
     [[group.interface]]\ninterface = \"lan\"\nvrid = 77\naddresses = [\"10.1.0.77/24\"]\n";
const OUTSIDE: &str = "[[group]]\nname = \"outside\"\nadvert_interval = \"100ms\"\n\
     [[group.interface]]\ninterface = \"wan\"\nvrid = 52\naddresses = [\"10.2.0.1/24\"]\n";

/// From outside.
const NO_QUESTIONS: &str = "iifname wan meta l4proto udp ct state new counter drop";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Symmetric,
    Asymmetric,
}

impl Path {
    /// The group that is active on a node: "office" on r1.
    fn group(self, site: usize) -> &'static str {
        match (self, site) {
            (_, 0) => "office",
            (Self::Symmetric, _) => "guests",
            (Self::Asymmetric, _) => "outside",
        }
    }

    /// The network of a node's group whose cable is pulled.
    fn wire(self, site: usize) -> Wire {
        match (self, site) {
            (Self::Asymmetric, 1) => Wire::Wan,
            _ => Wire::Lan,
        }
    }

    fn plan(self, toml: &str) -> Plan {
        let mut plan = plan(toml);
        match self {
            Self::Symmetric => plan.sections = GUESTS.to_owned(),
            Self::Asymmetric => {
                plan.routers = vec![VirtualRouter::ipv4(Wire::Lan, 51)];
                plan.sections = OUTSIDE.to_owned();
            }
        }
        plan
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The group of a node moves away and back.
    Switch,
    /// The node dies, and gets its group back.
    Death,
    /// Its cable is pulled.
    CarrierLost,
}

impl Fault {
    const ALL: [Self; 3] = [Self::Switch, Self::Death, Self::CarrierLost];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Times {
    Default,
    /// So that what nobody renews is gone within the test.
    Short,
}

impl Times {
    fn set(self, lab: &Lab) -> Result<()> {
        if self == Self::Default {
            return Ok(());
        }
        for site in &lab.sites {
            site.ns.set(&[
                ("net/netfilter/nf_conntrack_tcp_timeout_established", "8"),
                ("net/netfilter/nf_conntrack_tcp_timeout_unacknowledged", "8"),
                ("net/netfilter/nf_conntrack_udp_timeout", "5"),
                ("net/netfilter/nf_conntrack_udp_timeout_stream", "8"),
            ])?;
        }
        Ok(())
    }
}

/// Pair that keeps the connections, and the faults that strike it.
trait Stage {
    /// Strikes the node on which a group of this number is active. The other one has the group then.
    fn strike(&self, fault: Fault, victim: usize) -> Result<()>;
    /// Ends the fault. Both groups are where they were.
    fn repair(&self, fault: Fault, victim: usize) -> Result<()>;
}

/// Parameters of a test of connections.
#[derive(Clone, Copy, Debug)]
struct Case {
    path: Path,
    times: Times,
    is_translated: bool,
    /// The node that faults strike.
    victim: usize,
}

impl Case {
    /// An answer that is faster than the word of its question begins no flow of its own.
    fn rules(self) -> Ruleset {
        let rules = if self.is_translated {
            Ruleset::snat()
        } else {
            Ruleset::default()
        };
        Ruleset {
            forward: format!("{}\n{NO_QUESTIONS}", rules.forward),
            ..rules
        }
    }

    /// One fault after the other; who was lost.
    fn endure(self, lab: &Lab, stage: &impl Stage, faults: &[Fault]) -> Result<Vec<String>> {
        let mut crowd = Crowd::open(lab, &self.rules())?;
        for (number, fault) in faults.iter().enumerate() {
            let is_last = number + 1 == faults.len();
            crowd.talk(&format!("before {fault:?}"));
            stage.strike(*fault, self.victim)?;
            crowd.talk_for(3, &format!("after {fault:?}"));
            stage.repair(*fault, self.victim)?;
            // longer than what nobody renews lives
            let calm = if is_last && self.times == Times::Short {
                17
            } else {
                2
            };
            crowd.talk_for(calm, &format!("after {fault:?} was repaired"));
        }
        Ok(crowd.lost)
    }

    /// Under spared; both kernels have the same flows in the end.
    fn under_spared(self, lab: &Lab, faults: &[Fault]) -> Result<Vec<String>> {
        let bed = Bed::start(lab, self.path, self.times, &self.rules())?;
        let lost = self.endure(lab, &bed, faults)?;
        if !lost.is_empty() {
            eprintln!("{bed}: {}\n{}", lost.join("\n"), bed.said());
        }
        bed.wait_equal(|_| true)?;
        Ok(lost)
    }

    fn under_conntrackd(self, lab: &Lab, faults: &[Fault]) -> Result<Vec<String>> {
        let beside = Beside::start(lab, self.path, self.times, &self.rules())?;
        self.endure(lab, &beside, faults)
    }
}

fn survive(path: Path, is_translated: bool) {
    let case = Case {
        path,
        times: Times::Short,
        is_translated,
        victim: 0,
    };
    scenario(2, |lab| {
        let lost = case.under_spared(lab, &Fault::ALL)?;
        if lost.is_empty() {
            Ok(())
        } else {
            Err(lost.join("\n").into())
        }
    });
}

#[test]
fn connections_survive_every_fault_while_both_nodes_are_active() {
    survive(Path::Symmetric, true);
}

#[test]
fn connections_of_which_each_node_sees_one_direction_survive_every_fault() {
    survive(Path::Asymmetric, false);
}

/// The fence of the node that the lan uses drops what leaves with the address of the other one.
#[test]
fn connections_translated_to_the_other_group_s_address_are_told_to_carry_nothing() {
    scenario(2, |lab| {
        let bed = Bed::start(lab, Path::Asymmetric, Times::Default, &Ruleset::snat())?;
        let said = |site: usize| {
            let verdict = bed.pair.status(site).unwrap_or_default().verdict;
            let findings = verdict.findings.into_iter();
            let texts: Vec<String> = findings
                .map(|it| format!("{} {}", it.id, it.text))
                .collect();
            (verdict.word, texts)
        };
        let fine = || (0..2).all(|site| said(site) == (Word::Ok, Vec::new()));
        assert!(poll(LIMIT, STEP, fine), "{:?}", said(0));
        // neighbours of a group that has just moved are waited for
        thread::sleep(Duration::from_millis(2200));
        leave_unfenced(lab)?;
        let is_counted = || bed.pair.number(0, "flows.elsewhere") == 1;
        assert!(poll(LIMIT, STEP, is_counted), "{}", bed.said());
        thread::sleep(Duration::from_millis(2200));
        assert!(fine(), "{:?}", said(0));
        const TRIES: u16 = 4;
        let tries = (0..TRIES).map(|number| {
            let server = server(2200 + number);
            let connect = || TcpStream::connect_timeout(&server, Duration::from_millis(500));
            lab.lan.run(|| Ok(connect().is_ok()))
        });
        let tries: Vec<bool> = tries.collect::<Result<_>>()?;
        assert_eq!(tries, [false; TRIES as usize], "one was carried");
        let told = format!(
            "SP-0401 r1: check \"asymmetric translation\" fails ({0} of {0} connections are translated to {1} of \
             the other node: those that leave by an interface with virtual addresses carry nothing; give each group its \
             own address)",
            TRIES + 1,
            Wire::Wan.ipv4(VIRTUAL)
        );
        let is_told = || (0..2).all(|site| said(site) == (Word::Warn, vec![told.clone()]));
        assert!(poll(LIMIT, STEP, is_told), "{:?}\n{}", said(0), bed.said());
        Ok(())
    });
}

/// A connection of the lan leaves r1 with the address of the other node's group, by an interface on which no group has
/// an address: the fence does not drop it, and no other node is to have the interface.
fn leave_unfenced(lab: &Lab) -> Result<()> {
    let address = Wire::Wan.ipv4(VIRTUAL);
    let ns = &lab.sites[0].ns;
    ns.ip("link add other type veth peer name far\nlink set far up\nlink set other up\naddr add 10.77.0.1/24 dev other\n\
           neigh add 10.77.0.9 lladdr 02:00:00:00:77:09 dev other\n")?;
    ns.nft(&format!(
        "add rule inet firewall sources oifname other snat ip to {address}\n"
    ))?;
    let gateway = Wire::Lan.ipv4(VIRTUAL);
    lab.lan
        .ip(&format!("route add 10.77.0.0/24 via {gateway}\n"))?;
    let server = ([10, 77, 0, 9], 80).into();
    let connect = || TcpStream::connect_timeout(&server, Duration::from_millis(300)).is_ok();
    lab.lan.run(|| Ok(connect()))?;
    Ok(())
}

/// The links are cut for so long; then the node that carries all of it loses its carrier.
fn outlive_the_links(lab: &Lab, times: Times, seconds: u64) -> Result<()> {
    let bed = Bed::start(lab, Path::Symmetric, times, &Ruleset::snat())?;
    let mut crowd = Crowd::open(lab, &Ruleset::snat())?;
    for wire in Wire::LINKS {
        lab.cut(&lab.sites[0], wire)?;
    }
    crowd.talk_for(seconds, "without a link");
    let is_apart = |site| bed.pair.text(site, "peer") == "not there";
    assert!((0..2).all(is_apart), "{}", bed.said());
    bed.strike(Fault::CarrierLost, 0)?;
    crowd.talk_for(5, "after the carrier was lost");
    if crowd.lost.is_empty() {
        Ok(())
    } else {
        Err(format!("{bed}: {}\n{}", crowd.lost.join("\n"), bed.said()).into())
    }
}

/// Five times what the kernel gives the longest of them, and nearly three leases.
#[test]
fn a_link_that_was_cut_for_long_before_the_carrier_is_lost_costs_no_connection() {
    scenario(2, |lab| outlive_the_links(lab, Times::Short, 42));
}

#[test]
#[ignore = "takes ten minutes: make soak-conntrack"]
fn ten_minutes_without_a_link_and_then_without_a_carrier_cost_no_connection() {
    scenario(2, |lab| outlive_the_links(lab, Times::Default, 600));
}

/// SPARED_ROUNDS cases of the matrix, from the SPARED_SEED-th on, each with conntrackd in the same bed before: what that loses
/// is printed beside it.
#[test]
#[ignore = "takes an hour: make soak-conntrack"]
fn the_whole_matrix() {
    let cases = cases();
    let first = number("SPARED_SEED", 1) as usize;
    let rounds = number("SPARED_ROUNDS", cases.len() as u64) as usize;
    let cases = cases.into_iter().enumerate().skip(first.saturating_sub(1));
    let mut wrong = Vec::new();
    for (at, (case, fault)) in cases.take(rounds) {
        let theirs = lost_in(|lab| {
            let lost = case.under_conntrackd(lab, &[fault]);
            // none of which may live before any fault
            lost.or_else(|why| {
                if is_disturbed(&why) {
                    Err(why)
                } else {
                    Ok(why.to_string().lines().map(str::to_owned).collect())
                }
            })
        });
        let ours = lost_in(|lab| case.under_spared(lab, &[fault]));
        println!(
            "round {}: {case:?} {fault:?}: conntrackd lost {}, spared {}",
            at + 1,
            theirs.len(),
            ours.len()
        );
        if !ours.is_empty() {
            wrong.push(format!("{case:?} {fault:?}: {}", ours.join("; ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn lost_in(test: impl Fn(&Lab) -> Result<Vec<String>>) -> Vec<String> {
    let lost = Cell::new(Vec::new());
    scenario(2, |lab| {
        lost.set(test(lab)?);
        Ok(())
    });
    lost.into_inner()
}

/// Without the translation to an address of the other group: the fence drops what leaves with it; check and status name it.
fn cases() -> Vec<(Case, Fault)> {
    let mut cases = Vec::new();
    for path in [Path::Symmetric, Path::Asymmetric] {
        for times in [Times::Default, Times::Short] {
            let translations: &[bool] = match path {
                Path::Symmetric => &[false, true],
                Path::Asymmetric => &[false],
            };
            for is_translated in translations.iter().copied() {
                for victim in [0, 1] {
                    let case = Case {
                        path,
                        times,
                        is_translated,
                        victim,
                    };
                    cases.extend(Fault::ALL.map(|fault| (case, fault)));
                }
            }
        }
    }
    cases
}

// ---- how long a connection takes to begin

const CONNECTS: u16 = 24;

/// How long each of so many connections took, that began at once; those that did not are missing.
fn connect(lab: &Lab) -> Result<Vec<Duration>> {
    let listeners = (0..CONNECTS).map(|number| {
        let listen = || Ok(std::net::TcpListener::bind(server(3000 + number))?);
        lab.wan.run(listen)
    });
    let listeners = listeners.collect::<Result<Vec<_>>>()?;
    let begin = |number: u16| {
        let begun = Instant::now();
        let stream = TcpStream::connect_timeout(&server(3000 + number), ANSWER);
        stream.ok().map(|_| begun.elapsed())
    };
    let client = &lab.lan;
    let mut took: Vec<Duration> = thread::scope(|scope| {
        let begin = |number| scope.spawn(move || client.run(|| Ok(begin(number))));
        let begun: Vec<_> = (0..CONNECTS).map(begin).collect();
        let ended = begun.into_iter().filter_map(|it| it.join().ok()?.ok()?);
        ended.collect()
    });
    drop(listeners);
    took.sort_unstable();
    Ok(took)
}

fn connect_beside_conntrackd(lab: &Lab) -> Result<Vec<Duration>> {
    let beside = Beside::start(lab, Path::Asymmetric, Times::Default, &Ruleset::default())?;
    let took = connect(lab)?;
    beside.stop()?;
    Ok(took)
}

mod alone {
    use super::*;

    #[test]
    fn connections_across_both_nodes_begin_no_later_than_beside_conntrackd() {
        scenario(2, |lab| {
            let theirs = connect_beside_conntrackd(lab)?;
            let bed = Bed::start(lab, Path::Asymmetric, Times::Default, &Ruleset::default())?;
            let ours = connect(lab)?;
            println!("ours {ours:?}\ntheirs {theirs:?}");
            assert_eq!(ours.len(), usize::from(CONNECTS), "{}", bed.said());
            assert!(ours.len() >= theirs.len());
            // the last of them is the 99th of a hundred
            let (Some(own), Some(their)) = (ours.last(), theirs.last()) else {
                return Err("nobody got through".into());
            };
            let noise = Duration::from_millis(100);
            assert!(
                *own <= *their + noise,
                "ours {own:?}, conntrackd's {their:?}"
            );
            Ok(())
        });
    }
}
