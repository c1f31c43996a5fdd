// SPDX-License-Identifier: MIT OR Apache-2.0
//! A station on the lan says anything in the names of two nodes, before, while and after the active one
//! fails: no failover is later for it, no role moves, and no log or list of events is full of it. As long
//! as one likes: `SPARED_ROUNDS=40 make soak-forger`.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::{Stamp, ms, poll};
use spared_tests::forger::{Kind, Mode, Station, peer_of};
use spared_tests::lab::{Direction, Lab, Traffic, VIRTUAL, Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::pair::Fault;
use spared_tests::probe::{Asker, Control, Questions};
use spared_tests::random::number;
use spared_tests::router::{Plan, VirtualRouter};

const VRID: u8 = 51;
const RATES: [u64; 4] = [1, 5, 50, 50_000];
const WORST_RATE: u64 = 50;
/// As many as a station of a gigabit could send.
const FLOOD: u64 = 50_000;
const BEFORE: Duration = Duration::from_millis(700);
const AFTER: Duration = Duration::from_millis(700);
/// Shorter than what makes an interface unheard.
const HELD: Duration = Duration::from_millis(250);
const LIMIT: Duration = Duration::from_secs(15);
const STEP: Duration = Duration::from_millis(5);
/// A failover takes three intervals and a skew; beside it is what a busy machine may be late.
const LONGEST: Duration = Duration::from_millis(500);

fn rounds() -> usize {
    number("SPARED_ROUNDS", 40) as usize
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Before,
    During,
    After,
    Throughout,
}

#[derive(Clone, Copy, Debug)]
struct Attack {
    kind: Kind,
    rate: u64,
    when: When,
}

struct Arena<'l> {
    lab: &'l Lab,
    pair: Linked<'l>,
    station: Station,
    control: Control,
    address: std::net::IpAddr,
    began: Instant,
}

impl<'l> Arena<'l> {
    fn start(lab: &'l Lab, mode: Mode, is_ipv6: bool) -> Result<Self> {
        let plan = |to: u8| {
            let mut plan = Plan::linked(INTERVAL, &Wire::LINKS);
            plan.without_preference();
            let router = if is_ipv6 {
                VirtualRouter::ipv6(Wire::Lan, VRID)
            } else {
                VirtualRouter::ipv4(Wire::Lan, VRID)
            };
            plan.routers = vec![VirtualRouter {
                vmac: mode == Mode::VirtualMac,
                peer: peer_of(mode, is_ipv6, to),
                ..router
            }];
            plan
        };
        let pair = Linked::begin(lab, [plan(12), plan(11)])?;
        pair.wait_settled()?;
        let address = if is_ipv6 {
            Wire::Lan.ipv6(VIRTUAL).parse()?
        } else {
            Wire::Lan.ipv4(VIRTUAL).into()
        };
        Ok(Self {
            lab,
            pair,
            station: Station::new(lab, mode, is_ipv6, VRID)?,
            control: Control::start(),
            address,
            began: Instant::now(),
        })
    }

    fn questions(&self) -> Result<Asker> {
        let mut questions = Questions::default();
        match self.address {
            std::net::IpAddr::V4(address) => questions.ipv4.push(address),
            std::net::IpAddr::V6(address) => questions.ipv6.push(address),
        }
        Asker::start(self.lab, questions, Duration::from_millis(2))
    }

    /// How long a failover took, from the fault to the other node's first advert.
    fn fail(&mut self, fault: Fault, attack: Option<Attack>) -> Result<Duration> {
        let (old, before) = (self.pair.at()?, self.pair.transitions());
        let new = 1 - old;
        let site = self.pair.site(old);
        let in_phase = |when: When| {
            attack.filter(|attack| attack.when == when || attack.when == When::Throughout)
        };
        let mut forging =
            in_phase(When::Before).map(|attack| self.station.begin(attack.kind, old, attack.rate));
        thread::sleep(BEFORE);
        if self.pair.transitions() != before {
            return Err("a role moved before anything failed".into());
        }
        let holds = attack.is_some_and(|attack| attack.kind == Kind::HeldBack);
        if holds {
            let (lan, way) = (Wire::Lan, Direction::From);
            self.lab.filter(site, lan, Traffic::Heartbeats, way)?;
            thread::sleep(HELD);
        }
        let last = self.pair.watch.next_advert(old, Wire::Lan, LIMIT)?;
        thread::sleep(last.after(Duration::from_millis(1)).since(Stamp::now()));
        if in_phase(When::During).is_none() {
            drop(forging.take());
        }
        let struck = Stamp::now();
        if fault == Fault::Death {
            self.lab.power_off(site)?;
        } else {
            self.pair.routers[old].hang()?;
        }
        if forging.is_none() {
            forging = in_phase(When::During)
                .map(|attack| self.station.begin(attack.kind, old, attack.rate));
        }
        let took = self.first_advert(new, struck)?;
        if holds {
            self.lab.unfilter(site, Wire::Lan)?;
        }
        if in_phase(When::After).is_none() {
            drop(forging.take());
        } else if forging.is_none() {
            forging = in_phase(When::After)
                .map(|attack| self.station.begin(attack.kind, old, attack.rate));
        }
        thread::sleep(AFTER);
        self.pair.repair(fault, old)?;
        let after = self.pair.stays(AFTER)?;
        drop(forging);
        if after != new || self.pair.transitions() != before.map(|count| count + 1) {
            let now = self.pair.transitions();
            return Err(format!("roles moved, {before:?} to {now:?}, r{}", after + 1).into());
        }
        if fault == Fault::Hang {
            self.pair.one_answered_for(struck, self.address)?;
        }
        Ok(took)
    }

    fn first_advert(&self, site: usize, from: Stamp) -> Result<Duration> {
        let mut first = None;
        poll(LIMIT, STEP, || {
            let adverts = self.pair.watch.adverts(from, site, Wire::Lan);
            let mut adverts = adverts.iter().filter(|(_, advert)| advert.priority > 0);
            first = adverts.next().map(|(at, _)| at.since(from));
            first.is_some()
        });
        first.ok_or_else(|| "no failover".into())
    }

    /// One line a minute of each kind, in each node's log, and as much in its list of events.
    fn judge_logs(&self) -> Result<()> {
        let allowed = 1 + self.began.elapsed().as_secs() as usize / 60;
        for site in [0, 1] {
            let events = self.pair.done(site, &["events", "-n", "100000"])?;
            for (what, text) in [("log", self.pair.routers[site].log()), ("events", events)] {
                for (line, count) in about_forgery(&text) {
                    if count > allowed {
                        let who = site + 1;
                        return Err(format!("r{who}, {what}: {count} times {line}").into());
                    }
                }
            }
        }
        Ok(())
    }
}

/// How often lines were said that a forger may cause, numbers aside.
fn about_forgery(text: &str) -> HashMap<String, usize> {
    const WORDS: [&str; 5] = [
        "advertises",
        "not the peer",
        "dropped a heartbeat",
        "conflict",
        "mismatch",
    ];
    let mut counts = HashMap::new();
    for line in text.lines() {
        if WORDS.iter().any(|word| line.contains(word)) {
            let kind: String = line.chars().filter(|c| !c.is_ascii_digit()).collect();
            *counts.entry(kind).or_default() += 1;
        }
    }
    counts
}

/// The 95th percentile.
fn high(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    let rank = (times.len() * 95).div_ceil(100);
    let at = times.get(rank.saturating_sub(1));
    at.copied().unwrap_or_default()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

// ---- the worst, beside none --------------------------------------------------------------------

/// All kinds one after the other, all the time, beside a machine that dies.
const WORST: Attack = Attack {
    kind: Kind::Everything,
    rate: WORST_RATE,
    when: When::Throughout,
};

fn with_and_without(lab: &Lab, is_ipv6: bool) -> Result<()> {
    let mut arena = Arena::start(lab, Mode::Multicast, is_ipv6)?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..rounds() {
        let first = (round % 2 == 0).then_some(WORST);
        for attack in [first, first.xor(Some(WORST))] {
            let took = arena.fail(Fault::Death, attack)?;
            let times = if attack.is_some() {
                &mut with
            } else {
                &mut without
            };
            times.push(took);
            println!("round {round} {attack:?}: {:.1} ms", ms(took));
        }
    }
    arena.judge_logs()?;
    let (forged, quiet) = (high(&mut with), high(&mut without));
    println!(
        "{}: {} failovers each; beside a forger median {:.1} ms, 95 of 100 within {:.1} ms; without {:.1} ms \
         and {:.1} ms",
        if is_ipv6 { "IPv6" } else { "IPv4" },
        with.len(),
        ms(median(&mut with)),
        ms(forged),
        ms(median(&mut without)),
        ms(quiet)
    );
    assert!(forged <= quiet + INTERVAL, "{with:?}, without {without:?}");
    Ok(())
}

#[test]
#[ignore = "for as long as one likes"]
fn the_worst_forger_costs_no_interval_over_ipv4() {
    scenario(2, |lab| with_and_without(lab, false));
}

#[test]
#[ignore = "for as long as one likes"]
fn the_worst_forger_costs_no_interval_over_ipv6() {
    scenario(2, |lab| with_and_without(lab, true));
}

// ---- each once ---------------------------------------------------------------------------------

fn attacks() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for kind in Kind::SINGLE {
        for rate in RATES {
            for when in [When::Before, When::During, When::After] {
                attacks.push(Attack { kind, rate, when });
            }
        }
    }
    attacks
}

/// All of them, or as many as there shall be rounds, spread over them, and a flood.
fn sample() -> Vec<Attack> {
    let all = attacks();
    if rounds() >= 40 {
        return all;
    }
    // no divisor of what they are made of
    let step = all.len() / rounds().max(1) + 1;
    let flood = Attack {
        kind: Kind::Longest,
        rate: FLOOD,
        when: When::Throughout,
    };
    all.into_iter().step_by(step).chain([flood]).collect()
}

fn each_once(lab: &Lab, mode: Mode, is_ipv6: bool) -> Result<()> {
    let mut arena = Arena::start(lab, mode, is_ipv6)?;
    let _asker = arena.questions()?;
    let mut times = Vec::new();
    for (number, attack) in sample().into_iter().enumerate() {
        let fault = if number % 3 == 0 {
            Fault::Death
        } else {
            Fault::Hang
        };
        let began = Stamp::now();
        let failed = |error| format!("{mode:?} {attack:?} {fault:?}: {error}");
        let took = arena.fail(fault, Some(attack)).map_err(failed)?;
        println!("round {mode:?} {attack:?} {fault:?}: {:.1} ms", ms(took));
        let late = arena.control.worst_since(began);
        if took > LONGEST + late {
            return Err(format!("{attack:?} {fault:?}: {took:?}, control {late:?} late").into());
        }
        times.push(took);
    }
    arena.judge_logs()?;
    println!(
        "{} {mode:?}: {} kinds of forgery; failovers median {:.1} ms, at most {:.1} ms",
        if is_ipv6 { "IPv6" } else { "IPv4" },
        times.len(),
        ms(median(&mut times)),
        ms(times.last().copied().unwrap_or_default())
    );
    Ok(())
}

#[test]
#[ignore = "for as long as one likes"]
fn each_forgery_once_by_multicast() {
    scenario(2, |lab| each_once(lab, Mode::Multicast, false));
    scenario(2, |lab| each_once(lab, Mode::Multicast, true));
}

#[test]
#[ignore = "for as long as one likes"]
fn each_forgery_once_by_unicast() {
    scenario(2, |lab| each_once(lab, Mode::Unicast, false));
    scenario(2, |lab| each_once(lab, Mode::Unicast, true));
}

#[test]
#[ignore = "for as long as one likes"]
fn each_forgery_once_from_the_virtual_mac() {
    scenario(2, |lab| each_once(lab, Mode::VirtualMac, false));
    scenario(2, |lab| each_once(lab, Mode::VirtualMac, true));
}
