// SPDX-License-Identifier: MIT OR Apache-2.0
//! An interface of the active node is renamed, in every way and at every moment: never do two routers answer for an
//! address, and it is put back where it belongs.
//!
//! A station asks both routers every 20 ms, by ARP, neighbour discovery and ping, and the switch notes who answered.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Lab, VIRTUAL, Wire, disturbed, scenario};
use spared_tests::probe::{Asker, Control, Questions, Watch};
use spared_tests::router::{Kind, Plan, Router, Spared, VirtualRouter};

const INTERVAL: Duration = Duration::from_millis(100);
const FAILOVER: Duration = Duration::from_millis(340);
const LIMIT: Duration = Duration::from_secs(10);
const ASKED: Duration = Duration::from_millis(20);
const VRID: u8 = 51;

const LIVE: &str = "link set lan name away\n";
const DOWN_AND_UP: &str = "link set lan down\nlink set lan name away\nlink set away up\n";
const BACK: &str = "link set away name lan\n";

/// r1 is active, r2 backup, and a station asks.
struct Bed<'a> {
    lab: &'a Lab,
    watch: Watch,
    control: Control,
    routers: [Router; 2],
    began: Stamp,
    _asker: Asker,
}

impl<'a> Bed<'a> {
    fn start(lab: &'a Lab) -> Result<Self> {
        Self::start_asked(lab, ASKED)
    }

    fn start_asked(lab: &'a Lab, every: Duration) -> Result<Self> {
        let control = Control::start();
        let watch = Watch::start(lab)?;
        let plan = |priority| {
            let mut plan = Plan::lan(INTERVAL, priority);
            plan.preempt = false;
            plan.routers.push(VirtualRouter::ipv6(Wire::Lan, VRID));
            plan
        };
        let first = Router::start(lab, &lab.sites[0], Kind::Spared, &plan(253))?;
        watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
        let second = Router::start(lab, &lab.sites[1], Kind::Spared, &plan(252))?;
        Spared(&second).wait_role("backup", LIMIT)?;
        thread::sleep(FAILOVER * 2);
        let questions = Questions {
            ipv4: vec![gateway()],
            ipv6: vec![gateway6()],
            vmacs: Vec::new(),
        };
        let bed = Self {
            _asker: Asker::start(lab, questions, every)?,
            lab,
            watch,
            control,
            routers: [first, second],
            began: Stamp::now(),
        };
        for address in addresses() {
            let answered = || bed.who(bed.began, address) == [0];
            assert!(poll(LIMIT, ASKED, answered), "r1 does not answer {address}");
        }
        Ok(bed)
    }

    fn ip(&self, lines: &str) -> Result<()> {
        self.lab.sites[0].ns.ip(lines)
    }

    /// Sites that answered since, one after the other.
    fn who(&self, since: Stamp, address: IpAddr) -> Vec<usize> {
        let runs = self.watch.runs(since, address);
        runs.iter().map(|run| run.site).collect()
    }

    /// r2 takes over, and nobody answers beside it.
    fn passes_to_the_other(&self, context: &str) -> Result<()> {
        for address in addresses() {
            let taken = || self.who(self.began, address).last() == Some(&1);
            assert!(poll(LIMIT, ASKED, taken), "{context}: {address} is nowhere");
        }
        thread::sleep(FAILOVER * 3);
        self.assert_one_after_the_other(context)
    }

    fn assert_one_after_the_other(&self, context: &str) -> Result<()> {
        for address in addresses() {
            let who = self.who(self.began, address);
            let late = self.control.worst_since(self.began);
            if who.len() > 2 && late > INTERVAL {
                return Err(disturbed(format!("control {late:?} late")));
            }
            assert_eq!(who, [0, 1], "{context}, {address}");
        }
        Ok(())
    }

    fn holds(&self, context: &str) {
        for address in addresses() {
            let held = self.lab.sites[0].ns.holds(&address.to_string());
            assert!(!held, "{context}: r1 still has {address}");
        }
    }
}

#[test]
fn a_renamed_interface_answers_for_nothing_and_gets_nothing_back_beside_the_other_node() {
    for (context, rename) in [("live", LIVE), ("down and up", DOWN_AND_UP)] {
        scenario(2, |lab| {
            let bed = Bed::start(lab)?;
            bed.ip(rename)?;
            bed.passes_to_the_other(context)?;
            bed.holds(context);
            bed.ip(BACK)?;
            Spared(&bed.routers[0]).wait_role("backup", LIMIT)?;
            thread::sleep(FAILOVER * 3);
            bed.holds(context);
            bed.assert_one_after_the_other(context)
        });
    }
}

#[test]
fn a_name_that_is_back_at_once_has_its_addresses_within_a_second() {
    scenario(2, |lab| {
        let bed = Bed::start(lab)?;
        for _ in 0..3 {
            bed.ip(&format!("{LIVE}{BACK}"))?;
            thread::sleep(Duration::from_secs(1));
            for address in addresses() {
                let now = Stamp::now();
                let answered = || self::is_answered(&bed, now, address);
                assert!(poll(LIMIT, ASKED, answered), "{address} is nowhere");
            }
        }
        // Nobody answered beside another: at most the role went once each time.
        for address in addresses() {
            let who = bed.who(bed.began, address);
            assert!(who.len() <= 4, "{address}: {who:?}");
        }
        Ok(())
    });
}

fn is_answered(bed: &Bed<'_>, since: Stamp, address: IpAddr) -> bool {
    !bed.who(since, address).is_empty()
}

#[test]
fn an_end_while_an_interface_is_renamed_leaves_no_address() {
    for by_signal in ["TERM", "KILL"] {
        scenario(2, |lab| {
            let mut bed = Bed::start(lab)?;
            bed.ip(LIVE)?;
            bed.passes_to_the_other(by_signal)?;
            match by_signal {
                "TERM" => bed.routers[0].shut_down()?,
                _ => bed.routers[0].kill(),
            }
            thread::sleep(FAILOVER * 2);
            bed.holds(by_signal);
            bed.assert_one_after_the_other(by_signal)?;
            bed.ip(BACK)?;
            thread::sleep(FAILOVER * 2);
            bed.assert_one_after_the_other(by_signal)
        });
    }
}

#[test]
fn an_interface_that_is_renamed_after_a_kill_stays_behind_the_fence() {
    for (context, rename) in [("live", LIVE), ("down and up", DOWN_AND_UP)] {
        scenario(2, |lab| {
            let mut bed = Bed::start(lab)?;
            bed.routers[0].kill();
            bed.ip(rename)?;
            bed.passes_to_the_other(context)?;
            // IPv6 addresses go when an interface goes down.
            assert!(lab.sites[0].ns.holds(&gateway().to_string()));
            bed.ip(BACK)?;
            thread::sleep(FAILOVER * 2);
            bed.assert_one_after_the_other(context)
        });
    }
}

/// The kernel gives the name first, and after a grace period the chains of the device.
#[test]
fn a_name_that_comes_back_after_a_kill_opens_no_gap_in_the_fence() {
    const OFTEN: Duration = Duration::from_millis(1);
    scenario(2, |lab| {
        let mut bed = Bed::start_asked(lab, OFTEN)?;
        bed.routers[0].kill();
        bed.passes_to_the_other("killed")?;
        for _ in 0..30 {
            for lines in [LIVE, BACK] {
                bed.ip(lines)?;
                thread::sleep(ASKED);
            }
        }
        bed.assert_one_after_the_other("renamed 30 times")
    });
}

fn gateway() -> Ipv4Addr {
    Wire::Lan.ipv4(VIRTUAL)
}

fn gateway6() -> Ipv6Addr {
    Wire::Lan.ipv6(VIRTUAL).parse().expect("a literal address")
}

fn addresses() -> [IpAddr; 2] {
    [gateway().into(), gateway6().into()]
}
