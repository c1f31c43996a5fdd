// SPDX-License-Identifier: MIT OR Apache-2.0
//! The fence: whatever is stopped, for however long, never do two routers answer for an address.
//!
//! A third party asks each router every few milliseconds, by ARP, neighbour discovery, ping and
//! frames to the virtual MAC, and the switch notes who answered.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Lab, VIRTUAL, Wire, disturbed, scenario, signal_to, stop_after_calls};
use spared_tests::probe::{Asker, Control, Echo, Questions, Watch, vmac};
use spared_tests::random::number;
use spared_tests::router::{Kind, Plan, Router, Spared, VirtualRouter};

const INTERVAL: Duration = Duration::from_millis(100);
const SHORTEST: Duration = Duration::from_millis(10);
const FAILOVER: Duration = failover(INTERVAL);
const LIMIT: Duration = Duration::from_secs(10);
/// SPARED_ROUNDS makes more: `make soak-fence`.
const ROUNDS: u64 = 4;
const VRID: u8 = 51;
/// A round that sends adverts on one network is within these.
const CALLS_MIN: usize = 2;
const CALLS_MAX: usize = 24;

/// Somewhat more than three intervals and a skew.
const fn failover(interval: Duration) -> Duration {
    Duration::from_nanos(interval.as_nanos() as u64 * 17 / 5)
}

#[derive(Clone, Copy)]
enum Victim {
    Host,
    Worker,
    Both,
}

impl Victim {
    fn pids(self, router: &Router) -> Vec<u32> {
        let host = router.daemons[0].pid();
        let all = router.pids();
        match self {
            Self::Host => vec![host],
            Self::Worker => all.into_iter().filter(|pid| *pid != host).collect(),
            Self::Both => all,
        }
    }
}

#[test]
fn a_stopped_host_never_answers_beside_its_successor() {
    scenario(2, |lab| stop_and_resume(lab, Victim::Host, INTERVAL, false));
}

#[test]
fn a_stopped_worker_never_answers_beside_its_successor() {
    scenario(2, |lab| {
        stop_and_resume(lab, Victim::Worker, INTERVAL, false)
    });
}

#[test]
fn a_stopped_host_and_worker_never_answer_beside_their_successor() {
    scenario(2, |lab| stop_and_resume(lab, Victim::Both, INTERVAL, false));
}

#[test]
fn a_stopped_worker_never_answers_for_its_virtual_mac() {
    scenario(2, |lab| {
        stop_and_resume(lab, Victim::Worker, INTERVAL, true)
    });
}

#[test]
fn a_stopped_host_and_worker_never_answer_for_their_virtual_mac() {
    scenario(2, |lab| stop_and_resume(lab, Victim::Both, INTERVAL, true));
}

#[test]
fn at_the_shortest_interval_a_stopped_router_never_answers_beside_its_successor() {
    scenario(2, |lab| stop_and_resume(lab, Victim::Both, SHORTEST, false));
}

#[test]
fn a_worker_stopped_between_any_two_calls_of_a_round_never_answers_beside_its_successor() {
    scenario(2, |lab| {
        let control = Control::start();
        let watch = Watch::start(lab)?;
        let routers = start_both(lab, &watch, INTERVAL, false)?;
        let _asker = Asker::start(lab, questions(false), INTERVAL / 25)?;
        for calls in 1..CALLS_MAX {
            let began = Stamp::now();
            let router = &routers[active(&watch)?];
            let worker = router.process("vrrp").ok_or("no worker")?;
            if !stop_after_calls(worker, calls)? {
                println!("{} calls in a round", calls - 1);
                assert!(calls > CALLS_MIN, "a round is more than {calls} calls");
                return Ok(());
            }
            thread::sleep(FAILOVER + INTERVAL);
            let _ = signal_to(worker, Signal::CONT);
            thread::sleep(FAILOVER * 2);
            let context = format!("after {calls} calls");
            assert_one_answers(&watch, &control, INTERVAL, began, &context)?;
        }
        Ok(())
    });
}

/// Stops the active router at random instants for random times, and resumes it.
fn stop_and_resume(lab: &Lab, victim: Victim, interval: Duration, virtual_mac: bool) -> Result<()> {
    let failover = failover(interval);
    let rounds = number("SPARED_ROUNDS", ROUNDS) * if interval == SHORTEST { 6 } else { 1 };
    let control = Control::start();
    let watch = Watch::start(lab)?;
    let routers = start_both(lab, &watch, interval, virtual_mac).map_err(|error| match control
        .worst_since(Stamp(0))
    {
        late if late > interval => disturbed(format!("control {late:?} late: {error}")),
        _ => error,
    })?;
    let _asker = Asker::start(lab, questions(virtual_mac), interval / 25)?;
    for address in addresses() {
        let answered = || !watch.runs(Stamp(0), address).is_empty();
        assert!(
            poll(LIMIT, INTERVAL, answered),
            "nobody answers for {address}"
        );
    }
    let mut random = Random::new();
    for round in 0..rounds {
        let began = Stamp::now();
        thread::sleep(random.up_to(interval));
        let active = active(&watch)?;
        let pids = victim.pids(&routers[active]);
        pids.iter()
            .try_for_each(|pid| signal_to(*pid, Signal::STOP))?;
        // Every other round ends near the moment at which lease and failover meet.
        let hold = if round % 2 == 0 {
            failover * 2
        } else {
            failover / 2
        };
        thread::sleep(hold + random.up_to(failover));
        // One that was killed for its silence meanwhile cannot be resumed.
        pids.iter()
            .for_each(|pid| drop(signal_to(*pid, Signal::CONT)));
        thread::sleep(failover * 3 + random.up_to(interval));
        let context = format!("round {round}, r{} stopped", active + 1);
        assert_one_answers(&watch, &control, interval, began, &context)?;
    }
    Ok(())
}

/// Somebody answered, and nobody beside the successor.
fn assert_one_answers(
    watch: &Watch,
    control: &Control,
    interval: Duration,
    began: Stamp,
    context: &str,
) -> Result<()> {
    for address in addresses() {
        let runs = watch.runs(began, address);
        assert!(!runs.is_empty(), "{context}, {address}: nobody answers");
        let late = control.worst_since(began);
        if runs.len() > 2 && late > interval {
            // The others took the machine for a dead router, too.
            return Err(disturbed(format!("control {late:?} late")));
        }
        assert!(runs.len() <= 2, "{context}, {address}: {runs:?}");
    }
    Ok(())
}

#[test]
fn a_killed_router_stops_answering_before_its_successor_starts() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        let [mut first, _second] = start_both(lab, &watch, INTERVAL, false)?;
        let _asker = Asker::start(lab, questions(false), Duration::from_millis(4))?;
        // The worker may resign before its own signal comes: its answers may end with the kill.
        let began = Stamp::now();
        thread::sleep(INTERVAL * 3);
        first.kill();
        thread::sleep(FAILOVER * 3);
        for address in addresses() {
            let runs = watch.runs(began, address);
            let who: Vec<usize> = runs.iter().map(|run| run.site).collect();
            assert_eq!(who, [0, 1], "{address}: {runs:?}");
        }
        assert!(!lab.holders(&Wire::Lan.ipv4(VIRTUAL).to_string()).is_empty());
        Ok(())
    });
}

#[test]
fn a_flushed_ruleset_is_back_within_50_ms_and_traffic_does_not_notice() {
    scenario(2, |lab| {
        let control = Control::start();
        let watch = Watch::start(lab)?;
        let _routers = start_both(lab, &watch, INTERVAL, false)?;
        let echo = Echo::at_gateway(lab)?;
        assert!(
            poll(LIMIT, INTERVAL, || echo.is_steady(INTERVAL)),
            "no traffic"
        );
        let ns = &lab.sites[0].ns;
        for _ in 0..3 {
            let began = Stamp::now();
            ns.shell("nft flush ruleset")?;
            let mut nft = Stamp::now().since(began);
            let back = || {
                let asked = Stamp::now();
                let found = ns
                    .shell("nft list table netdev spared")
                    .is_ok_and(|t| t.contains("lease"));
                nft = nft.max(Stamp::now().since(asked));
                found
            };
            assert!(
                poll(LIMIT, Duration::from_millis(1), back),
                "the fence never came back"
            );
            let took = Stamp::now().since(began);
            // `nft` itself is part of what was measured: as it flushes, as it looks too early, and
            // as it sees the fence.
            if took > Duration::from_millis(50) + 3 * nft {
                let late = control.worst_since(began);
                if late > Duration::from_millis(5) {
                    return Err(disturbed(format!("control {late:?} late")));
                }
                panic!("no fence for {took:?}, where nft takes {nft:?}");
            }
            thread::sleep(FAILOVER * 2);
            let outage = echo.outage(began, Stamp(Stamp::now().0 - 10_000_000));
            let bound = Duration::from_millis(50);
            control.judge("without service", began, outage.total, bound)?;
        }
        let runs = watch.adverts(Stamp(0), 1, Wire::Lan);
        assert!(runs.is_empty(), "r2 advertised: {runs:?}");
        Ok(())
    });
}

#[test]
fn a_ruleset_flushed_on_the_backup_lets_none_of_its_answers_out() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        let _routers = start_both(lab, &watch, INTERVAL, true)?;
        let _asker = Asker::start(lab, questions(true), Duration::from_millis(2))?;
        let began = Stamp::now();
        for _ in 0..5 {
            lab.sites[1].ns.shell("nft flush ruleset")?;
            thread::sleep(INTERVAL);
        }
        for address in addresses() {
            let runs = watch.runs(began, address);
            assert!(runs.iter().all(|run| run.site == 0), "{address}: {runs:?}");
        }
        Ok(())
    });
}

#[test]
fn a_backup_is_silent_under_its_virtual_mac() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        let _routers = start_both(lab, &watch, INTERVAL, true)?;
        let from = Stamp::now();
        let _asker = Asker::start(lab, questions(true), Duration::from_millis(4))?;
        thread::sleep(FAILOVER * 3);
        let macs = [vmac(false, VRID), vmac(true, VRID)];
        let seen = watch.since(from);
        let leaks: Vec<_> = seen
            .iter()
            .filter(|seen| seen.site == 1 && macs.contains(&seen.source_mac))
            .collect();
        assert!(leaks.is_empty(), "{leaks:?}");
        let ours = seen
            .iter()
            .filter(|seen| seen.site == 0 && macs.contains(&seen.source_mac));
        assert!(
            ours.count() > 10,
            "the active router does not use its virtual MAC"
        );
        for address in addresses() {
            assert_eq!(watch.runs(from, address).len(), 1, "{address}");
        }
        Ok(())
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

fn questions(virtual_mac: bool) -> Questions {
    let vmacs = if virtual_mac {
        vec![vmac(false, VRID), vmac(true, VRID)]
    } else {
        Vec::new()
    };
    Questions {
        ipv4: vec![gateway()],
        ipv6: vec![gateway6()],
        vmacs,
    }
}

/// r1 active, r2 backup; nobody preempts.
fn start_both(
    lab: &Lab,
    watch: &Watch,
    interval: Duration,
    virtual_mac: bool,
) -> Result<[Router; 2]> {
    let plan = |priority| {
        let mut plan = Plan::lan(interval, priority);
        plan.preempt = false;
        plan.routers.push(VirtualRouter::ipv6(Wire::Lan, VRID));
        plan.routers
            .iter_mut()
            .for_each(|router| router.vmac = virtual_mac);
        plan
    };
    // The least skew there is: the successor comes as early as it may.
    let first = Router::start(lab, &lab.sites[0], Kind::Spared, &plan(253))?;
    watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
    let second = Router::start(lab, &lab.sites[1], Kind::Spared, &plan(252))?;
    Spared(&second).wait_role("backup", LIMIT)?;
    thread::sleep(FAILOVER * 2);
    watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
    Ok([first, second])
}

/// Whoever advertised last.
fn active(watch: &Watch) -> Result<usize> {
    let newest = |site| {
        watch
            .adverts(Stamp(0), site, Wire::Lan)
            .last()
            .map(|(at, _)| *at)
    };
    match (newest(0), newest(1)) {
        (None, None) => Err("nobody advertises".into()),
        (first, second) => Ok(usize::from(second > first)),
    }
}

/// Enough chance for choosing instants.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |time| time.as_nanos());
        eprintln!("seed {seed}");
        Self(seed as u64 | 1)
    }

    fn up_to(&mut self, limit: Duration) -> Duration {
        // The constants of MMIX; the upper half is random enough.
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        limit.mul_f64((self.0 >> 32) as f64 / f64::from(u32::MAX))
    }
}
