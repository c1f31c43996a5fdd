//! Histories at random: faults of two nodes, deaths, cuts and recipients that are not reached.
//!
//! A step changes up to two things, the second one a moment after the first, and then lasts for longer than anything
//! takes. After it each recipient that is reached must know what is the case. A fault that began or ended was told; told
//! twice only if the channel changed in that step, or both nodes live and do not hear each other.

use std::collections::BTreeMap;

use spared_sim::{Random, shrink};

use super::world::Got;
use super::*;

/// Longer than the wait after a start, the greatest pause between two tries, and the delay together.
const STEP_NS: u64 = 120 * S;
const THINGS: [&str; 2] = ["disk", "uplink"];
const RECIPIENTS: [&str; 2] = ["mail", "chat"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Fault(usize, &'static str),
    Death(usize),
    Restart(usize),
    Cut,
    Unreached(usize, &'static str),
}

/// Acts of a step: the second one follows after so many ms.
#[derive(Clone, Copy, Debug)]
struct Step {
    first: Act,
    second: Option<(u64, Act)>,
}

fn act(random: &mut Random) -> Act {
    let node = random.below(2) as usize;
    let thing = THINGS[random.below(2) as usize];
    match random.below(10) {
        0..=3 => Act::Fault(node, thing),
        4 | 5 => Act::Death(node),
        6 => Act::Restart(node),
        7 => Act::Cut,
        _ => Act::Unreached(node, RECIPIENTS[random.below(2) as usize]),
    }
}

fn history(seed: u64) -> Vec<Step> {
    let mut random = Random::new(seed);
    let steps = (0..25).map(|_| {
        let first = act(&mut random);
        let second = random.chance(600).then(|| act(&mut random));
        Step {
            first,
            second: second.map(|it| (random.below(9000), it)),
        }
    });
    steps.collect()
}

/// Performs an act. Returns true if the channel may have changed.
fn perform(world: &mut World, act: Act) -> bool {
    match act {
        Act::Fault(node, thing) => {
            if !world.faults[node].remove(thing) {
                world.faults[node].insert(thing);
            }
            false
        }
        Act::Death(node) if world.is_alive(node) => {
            world.kill(node);
            true
        }
        Act::Death(node) => {
            world.start(node);
            true
        }
        Act::Restart(node) => {
            if world.is_alive(node) {
                world.kill(node);
                world.start(node);
            }
            true
        }
        Act::Cut => {
            world.link(!world.is_linked);
            true
        }
        Act::Unreached(node, recipient) => {
            if !world.unreached.remove(&(node, recipient)) {
                world.unreached.insert((node, recipient));
            }
            false
        }
    }
}

/// Plays a history; the error says what was told wrongly.
fn play(steps: &[Step]) -> Result<(), String> {
    let mut world = World::new();
    world.run(STEP_NS);
    let mut judge = Judge::default();
    for (at, step) in steps.iter().enumerate() {
        let from = world.got.len();
        let mut is_cut = perform(&mut world, step.first);
        if let Some((ms, second)) = step.second {
            world.run(ms * 1_000_000);
            is_cut |= perform(&mut world, second);
        }
        // an alarm that was on its way when its recipient got out of reach is tried again for minutes
        world.run(STEP_NS);
        let judged = judge.judge(&world, from, is_cut);
        judged.map_err(|why| format!("step {at}, {step:?}: {why}"))?;
    }
    // in the end all is well, and everybody is reached
    for node in 0..2 {
        if !world.is_alive(node) {
            world.start(node);
        }
    }
    world.link(true);
    world.unreached.clear();
    world.run(400 * S);
    let from = world.got.len();
    judge.judge(&world, from, true)?;
    judge.judge_all(&world)
}

/// Knows which changes were certain: they lasted, and a node that lived saw them.
#[derive(Default)]
struct Judge {
    /// True since both nodes lived and did not hear each other, until they do.
    is_split: bool,
    certain: BTreeMap<Key, Vec<bool>>,
}

impl Judge {
    fn judge(&mut self, world: &World, from: usize, is_cut: bool) -> Result<(), String> {
        if world.is_alive(0) && world.is_alive(1) {
            self.is_split = !world.is_linked;
        }
        for (key, is_there) in certain(world) {
            let certain = self.certain.entry(key.clone()).or_default();
            if certain.last().copied().unwrap_or(false) != is_there {
                certain.push(is_there);
            }
            for recipient in RECIPIENTS {
                let is_reached = (0..2).any(|node| {
                    world.is_alive(node) && !world.unreached.contains(&(node, recipient))
                });
                // nodes that do not hear each other do not help each other
                let is_alone = !world.is_linked && world.is_alive(0) && world.is_alive(1);
                let by_all = (0..2).all(|node| !world.unreached.contains(&(node, recipient)));
                if is_reached && (!is_alone || by_all) {
                    told(world, recipient, &key, is_there, self.is_split)?;
                }
            }
        }
        let is_split = !world.is_linked && world.is_alive(0) && world.is_alive(1);
        if !is_cut && !is_split {
            once(world, from)?;
        }
        Ok(())
    }

    /// Each certain change was told.
    fn judge_all(&self, world: &World) -> Result<(), String> {
        for (key, certain) in &self.certain {
            for recipient in RECIPIENTS {
                let mut events = world.events(recipient, key);
                events.dedup();
                if events.len() < certain.len() {
                    return Err(format!("{recipient}: {key:?}: {events:?}, not {certain:?}"));
                }
            }
        }
        Ok(())
    }
}

/// Findings of which it is certain whether they are there.
fn certain(world: &World) -> Vec<(Key, bool)> {
    let mut certain = Vec::new();
    for node in (0..2).filter(|node| world.is_alive(*node)) {
        let seen = world.sees(node);
        let own = THINGS.map(|thing| key("SP-0401", node, thing));
        let silence = key("SP-0101", 1 - node, "heard");
        let own = own.into_iter().chain([silence]);
        certain.extend(own.map(|key| (key.clone(), seen.contains(&key))));
    }
    certain
}

/// The last event of a finding is what is the case. A node that does not hear the other one may tell an older event that
/// it does not know to be told, after the other one has told a newer one.
fn told(
    world: &World,
    recipient: &str,
    key: &Key,
    is_there: bool,
    is_alone: bool,
) -> Result<(), String> {
    let events = world.events(recipient, key);
    let is_told = |last: Option<Event>| last.is_some_and(|it| it != Event::End) == is_there;
    let got = world.got.iter().rev();
    let mut got = got.filter(|it| it.recipient == recipient && it.key == *key);
    let newest = got.next();
    let other = got.find(|it| newest.is_some_and(|newest| newest.node != it.node));
    let last = |got: Option<&Got>| got.map(|it| it.event);
    if is_told(last(newest)) || is_alone && is_told(last(other)) {
        return Ok(());
    }
    Err(format!(
        "{recipient}: {key:?} is {is_there}, told: {events:?}"
    ))
}

/// No event since `from` repeats the one before it.
fn once(world: &World, from: usize) -> Result<(), String> {
    for (at, got) in world.got.iter().enumerate().skip(from) {
        let before = world.got[..at].iter().rev();
        let mut before = before.filter(|it| it.key == got.key && it.recipient == got.recipient);
        if before.next().is_some_and(|it| it.event == got.event) {
            return Err(format!("told twice: {got:?}"));
        }
    }
    Ok(())
}

#[test]
fn each_change_is_told_and_twice_only_if_the_channel_changed_at_that_moment() {
    for seed in 0..60 {
        let steps = history(seed);
        if let Err(why) = play(&steps) {
            let shortest = shrink(&steps, |steps| play(steps).is_err());
            let shown = play(&shortest).err();
            panic!("seed {seed}: {why}\n{shortest:?}\n{shown:?}");
        }
    }
}
