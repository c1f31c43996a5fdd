// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whatever befalls cables and nodes, at random, for as long as one likes: exactly one is active
//! wherever any path speaks both ways, and nothing moves once things are still. Not part of a
//! build's tests: `SPARED_SEED=7 SPARED_ROUNDS=40 make soak-storm`, also with SPARED_INTERVAL_MS and
//! SPARED_VMAC=1.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Lab, Wire, scenario, signal_to};
use spared_tests::linked::{Linked, peer};
use spared_tests::probe::Asker;
use spared_tests::random::{Random, number};
use spared_tests::router::{Plan, Spared};

const STEP: Duration = Duration::from_millis(20);
/// Longer than any decision takes, a hold that has doubled apart.
const DECISION: Duration = Duration::from_secs(20);
const STILL: Duration = Duration::from_secs(3);
/// More changes than these of one node's role after one change of a cable are flapping.
const CHANGES_MAX: u64 = 6;

fn interval() -> Duration {
    Duration::from_millis(number("SPARED_INTERVAL_MS", 100))
}

fn plan(preferring: bool) -> Plan {
    let mut plan = Plan::linked(interval(), &Wire::LINKS);
    if !preferring {
        plan.without_preference();
    }
    for router in &mut plan.routers {
        router.vmac = number("SPARED_VMAC", 0) > 0;
    }
    plan.plugins.push(peer(""));
    plan
}

fn said(pair: &Linked<'_>) -> String {
    let status = |site| pair.said(site, &["status"]).unwrap_or_default().1;
    format!("{}\n{}", status(0), status(1))
}

/// Exactly one becomes active, and no role changes for a while.
fn one_stays_active(pair: &Linked<'_>) -> Result<usize> {
    let end = Instant::now() + DECISION;
    loop {
        let before = pair.transitions();
        let calm = Instant::now();
        let still = || pair.transitions() == before && pair.active().len() == 1;
        while still() && calm.elapsed() < STILL {
            thread::sleep(STEP);
        }
        if calm.elapsed() >= STILL {
            return Ok(pair.active().first().copied().unwrap_or_default());
        }
        if Instant::now() > end {
            let active = pair.active();
            return Err(format!("not one, still: {active:?}\n{}", said(pair)).into());
        }
        thread::sleep(STEP);
    }
}

// ---- cables ------------------------------------------------------------------------------------

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cable {
    Whole,
    Unplugged,
    Cut,
    /// Nothing that the router sends arrives.
    Dumb,
    Deaf,
    /// Loses every fifth frame each way.
    Poor,
}

const DAMAGES: [Cable; 5] = [
    Cable::Unplugged,
    Cable::Cut,
    Cable::Dumb,
    Cable::Deaf,
    Cable::Poor,
];

/// Cables of r1 and r2, by wire.
#[derive(Clone, Copy, Debug)]
struct Cables([[Cable; 4]; 2]);

impl Cables {
    fn set(&mut self, lab: &Lab, site: usize, wire: usize, cable: Cable) -> Result<()> {
        let (place, at) = (&lab.sites[site], Wire::ALL[wire]);
        match self.0[site][wire] {
            Cable::Whole => {}
            Cable::Unplugged => lab.plug(place, at)?,
            Cable::Cut => lab.join(place, at)?,
            Cable::Dumb | Cable::Deaf | Cable::Poor => lab.fix(place, at)?,
        }
        match cable {
            Cable::Whole => {}
            Cable::Unplugged => lab.unplug(place, at)?,
            Cable::Cut => lab.cut(place, at)?,
            Cable::Dumb => lab.lose(place, at, 100, 0)?,
            Cable::Deaf => lab.lose(place, at, 0, 100)?,
            Cable::Poor => lab.lose(place, at, 20, 20)?,
        }
        self.0[site][wire] = cable;
        Ok(())
    }

    /// Paths that speak both ways.
    fn paths(&self) -> Vec<usize> {
        let whole = |wire: &usize| self.0.iter().all(|site| site[*wire] == Cable::Whole);
        (0..4).filter(whole).collect()
    }

    /// Change of one turn: mostly one cable, sometimes a wire's both ends or both links.
    fn change(&mut self, lab: &Lab, random: &mut Random) -> Result<bool> {
        let (site, wire) = (random.below(2), random.below(4));
        let damage = DAMAGES[random.below(DAMAGES.len())];
        match random.below(8) {
            0 | 1 => {
                for (site, wire) in (0..8).map(|place| (place / 4, place % 4)) {
                    self.set(lab, site, wire, Cable::Whole)?;
                }
                return Ok(true);
            }
            2 => {
                // both links
                self.set(lab, site, 2, damage)?;
                self.set(lab, site, 3, damage)?;
            }
            3 => {
                self.set(lab, 0, wire, damage)?;
                self.set(lab, 1, wire, damage)?;
            }
            4 => self.set(lab, site, wire, Cable::Whole)?,
            _ => self.set(lab, site, wire, damage)?,
        }
        Ok(false)
    }
}

/// One change of cables and what follows.
fn turn(pair: &Linked<'_>, cables: &mut Cables, random: &mut Random) -> Result<()> {
    let preferred = pair.plans[0].link.as_ref().and_then(|l| l.prefer.clone());
    let (before, began, changes) = (cables.paths(), Stamp::now(), pair.transitions());
    let healed = cables.change(pair.lab, random)?;
    let spoke = cables.paths().iter().any(|path| before.contains(path));
    if random.below(3) == 0 && !healed {
        // the next change comes before anybody has made up his mind
        thread::sleep(random.time(600));
    } else if !cables.paths().is_empty() {
        let active = one_stays_active(pair)?;
        if healed && preferred.is_some() && active != 0 {
            let back = || pair.active() == [0];
            if !poll(DECISION, STEP, back) {
                return Err(format!("r1 is preferred:\n{}", said(pair)).into());
            }
            one_stays_active(pair)?;
        }
    } else {
        thread::sleep(random.time(2_000));
    }
    if spoke {
        pair.one_answered(began)?;
    }
    // where all that is left loses frames, silence is what it looks like
    let whole = !cables.paths().is_empty();
    let now = pair.transitions();
    let flaps = |(now, was): (&u64, u64)| now - was > CHANGES_MAX;
    if whole && now.iter().zip(changes).any(flaps) {
        return Err(format!("roles flap: {changes:?}, then {now:?}").into());
    }
    Ok(())
}

fn weather(preferring: bool) {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan(preferring))?;
        let mut random = Random::from_environment();
        let mut cables = Cables([[Cable::Whole; 4]; 2]);
        let _asker = Asker::at_gateway(lab)?;
        for round in 0..number("SPARED_ROUNDS", 20) {
            let was = cables;
            turn(&pair, &mut cables, &mut random)
                .map_err(|error| format!("round {round}, {was:?} to {cables:?}: {error}"))?;
            eprintln!("round {round} {:?} active {:?}", cables.0, pair.active());
        }
        Ok(())
    });
}

#[test]
#[ignore = "for as long as one likes"]
fn cables_change_with_a_preference() {
    weather(true);
}

#[test]
#[ignore = "for as long as one likes"]
fn cables_change_without_a_preference() {
    weather(false);
}

// ---- nodes -------------------------------------------------------------------------------------

#[test]
#[ignore = "for as long as one likes"]
fn both_boot_at_once() {
    scenario(2, |lab| {
        let mut random = Random::from_environment();
        for round in 0..number("SPARED_ROUNDS", 20) {
            let _asker = Asker::at_gateway(lab)?;
            let began = Stamp::now();
            let plan = plan(random.below(2) == 0);
            let mut pair = Linked::begin(lab, [plan.clone(), plan])?;
            let victim = random.below(4);
            if victim < 2 {
                thread::sleep(random.time(1_500));
                if let Some(link) = pair.process(victim, "link") {
                    signal_to(link, Signal::KILL)?;
                }
            }
            let failed = |error| format!("round {round}, link of {victim} killed: {error}");
            let check = || {
                pair.wait_settled()?;
                one_stays_active(&pair)?;
                pair.one_answered(began)
            };
            check().map_err(failed)?;
            pair.routers[0].ask_to_stop()?;
            pair.routers[1].shut_down()?;
            pair.routers[0].shut_down()?;
            eprintln!("round {round} done");
        }
        Ok(())
    });
}

/// Each after its time.
fn together(waits: [Duration; 2], left: &(dyn Fn() + Sync), right: &(dyn Fn() + Sync)) {
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(waits[0]);
            left();
        });
        thread::sleep(waits[1]);
        right();
    });
}

/// A command that may be refused.
fn ask(pair: &Linked<'_>, site: usize, words: &[&str]) {
    let _ = pair.said(site, words);
}

/// Gives the nodes orders that cross each other. Returns a description of them.
fn disorder(pair: &mut Linked<'_>, random: &mut Random) -> Result<String> {
    let active = pair.active();
    let [active] = active.as_slice() else {
        return Err(format!("active: {active:?}").into());
    };
    let (active, site, other) = (*active, random.below(2), random.below(2));
    let (first, second) = (random.time(40), random.time(40));
    let what = random.below(7);
    match what {
        0 => together([first, second], &|| ask(pair, active, &["switch"]), &|| {
            ask(pair, site, &["reload"])
        }),
        1 => {
            let slow = random.below(2) == 0;
            let mut changed = pair.plans[site].clone();
            changed.interval = Some(interval() * if slow { 2 } else { 1 });
            let text = spared_tests::router::vrrp_toml(&changed)?;
            Spared(&pair.routers[site]).write_plugin("vrrp", &text)?;
            pair.plans[site] = changed;
            together([first, second], &|| ask(pair, active, &["switch"]), &|| {
                ask(pair, site, &["reload"])
            });
            let mut same = pair.plans[1 - site].clone();
            same.interval = pair.plans[site].interval;
            let text = spared_tests::router::vrrp_toml(&same)?;
            Spared(&pair.routers[1 - site]).write_plugin("vrrp", &text)?;
            pair.plans[1 - site] = same;
            ask(pair, 1 - site, &["reload"]);
        }
        2 => {
            together(
                [first, second],
                &|| ask(pair, site, &["maintenance", "on"]),
                &|| {
                    ask(pair, other, &["switch"]);
                },
            );
            ask(pair, site, &["maintenance", "off"]);
        }
        3 => together([first, second], &|| ask(pair, 0, &["switch"]), &|| {
            ask(pair, 1, &["switch"])
        }),
        4 => {
            together(
                [first, second],
                &|| ask(pair, 0, &["maintenance", "on"]),
                &|| {
                    ask(pair, 1, &["maintenance", "on"]);
                },
            );
            thread::sleep(random.time(1_500));
            ask(pair, site, &["maintenance", "off"]);
            thread::sleep(random.time(800));
            ask(pair, 1 - site, &["maintenance", "off"]);
        }
        5 => {
            together(
                [first, second],
                &|| ask(pair, active, &["switch", "--anyway"]),
                &|| {
                    let _ = pair.routers[site].ask_to_stop();
                },
            );
            pair.routers[site].shut_down()?;
            pair.restart(site)?;
        }
        _ => {
            pair.routers[site].ask_to_stop()?;
            thread::sleep(first);
            pair.routers[1 - site].ask_to_stop()?;
            pair.routers[site].shut_down()?;
            pair.routers[1 - site].shut_down()?;
            pair.restart(site)?;
            thread::sleep(random.time(2_000));
            pair.restart(1 - site)?;
        }
    }
    Ok(format!(
        "{what}, r{} active, r{}, r{}, {first:?}, {second:?}",
        active + 1,
        site + 1,
        other + 1
    ))
}

#[test]
#[ignore = "for as long as one likes"]
fn commands_cross() {
    scenario(2, |lab| {
        let mut random = Random::from_environment();
        let preferring = random.below(2) == 0;
        let mut pair = Linked::start(lab, &plan(preferring))?;
        let _asker = Asker::at_gateway(lab)?;
        for round in 0..number("SPARED_ROUNDS", 20) {
            let began = Stamp::now();
            let what = disorder(&mut pair, &mut random)?;
            let failed = |error| format!("round {round}, {what}: {error}");
            let check = || {
                pair.wait_settled()?;
                let active = one_stays_active(&pair)?;
                if preferring && active != 0 {
                    pair.wait_active(0)?;
                    one_stays_active(&pair)?;
                }
                pair.one_answered(began)
            };
            check().map_err(failed)?;
            eprintln!("round {round}: {what}");
        }
        Ok(())
    });
}
