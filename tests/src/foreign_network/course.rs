// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a pair through one sequence, and measures when it is well again.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use spared_message::control::Status;
use spared_verdict::Word;

use super::expected::{self, Circumstances};
use super::fault::Fault;
use super::judge::{self, Answer, Due, Oks, Struck, Wrong};
use super::kind::Kind;
use super::make::RULES;
use super::sequence::Sequence;
use crate::Result;
use crate::clock::Stamp;
use crate::lab::Lab;
use crate::linked::Linked;
use crate::probe::{Control, Stations};

const ASKED_EVERY: Duration = Duration::from_millis(20);
/// Delay of an answer beyond which the machine was late.
const LATE: Duration = Duration::from_millis(60);
/// Time between two looks at both nodes.
const SPACING: Duration = Duration::from_millis(400);
/// Duration of a look that shows that the machine stood still.
const STALL: Duration = Duration::from_millis(2_500);
const STEP: Duration = Duration::from_millis(5);
/// Time in which all questions must be answered, and time until the first answer in it.
const CALM: Duration = Duration::from_millis(300);
const ANSWERED: Duration = Duration::from_millis(100);
const STARTED: Duration = Duration::from_secs(20);
/// Time after the last repair until all is well, in addition to the hold of E9: 500 ms in the plan, doubled with each
/// change.
const WELL: Duration = Duration::from_secs(5);
const HOLD: Duration = Duration::from_millis(500);
const DOUBLED_MAX: u32 = 6;
/// Delay of the machine beyond which a run proves nothing.
const PUNCTUAL: Duration = Duration::from_millis(100);

pub struct Course<'l> {
    pair: Linked<'l>,
    kind: Kind,
    addresses: Vec<IpAddr>,
    control: Control,
    stations: Stations,
}

/// Result of a sequence.
pub struct Outcome {
    pub wrong: Vec<Wrong>,
    /// Faults, and the nodes' reports at that time.
    pub trace: Vec<String>,
    /// Time from the last repair until all was well.
    pub well_after: Option<Duration>,
    /// Delay of the machine, if it was late.
    pub late: Option<Duration>,
}

/// A sequence under way.
struct Run {
    began: Stamp,
    struck: Vec<Struck>,
    looked: Instant,
    oks: Oks,
    said: [String; 2],
    wrong: Vec<Wrong>,
    trace: Vec<String>,
}

impl<'l> Course<'l> {
    /// Starts a pair, and waits until all is well.
    pub fn start(lab: &'l Lab, kind: Kind) -> Result<Self> {
        for site in lab.sites.iter().take(2) {
            site.ns.nft(RULES)?;
        }
        let questions = kind.questions()?;
        let plan = kind.plan();
        let course = Self {
            pair: Linked::begin(lab, [plan.clone(), plan])?,
            kind,
            addresses: questions.iter().map(|it| it.address).collect(),
            control: Control::start(),
            stations: Stations::start(lab, &questions, ASKED_EVERY)?,
        };
        match course.wait_well(Instant::now() + STARTED) {
            Ok(()) => Ok(course),
            Err(why) => Err(format!("not well at the start: {why}").into()),
        }
    }

    pub fn run(&mut self, sequence: &Sequence) -> Result<Outcome> {
        let mut run = Run::new();
        if let Err(error) = self.go_through(&mut run, sequence) {
            return Err(format!("{error}, after\n{}", run.trace.join("\n")).into());
        }
        let well_after = self.recover(&mut run);
        run.wrong.extend(self.answered_twice(&run));
        let late = self.control.worst_since(run.began);
        Ok(Outcome {
            wrong: run.wrong,
            trace: run.trace,
            well_after,
            late: (late > PUNCTUAL).then_some(late),
        })
    }

    // ---- while faults last

    /// Makes each fault and repairs it.
    fn go_through(&mut self, run: &mut Run, sequence: &Sequence) -> Result<()> {
        let mut made = vec![0; sequence.strikes.len()];
        for (at, index, is_begin) in events(sequence) {
            self.look_until(run, at);
            let fault = sequence.strikes[index].fault;
            if is_begin {
                run.note(&format!("{fault}"));
                fault.make(&mut self.pair, self.kind)?;
                made[index] = run.struck.len();
                run.struck.push(Struck {
                    fault,
                    began: Stamp::now(),
                    ended: None,
                });
            } else {
                run.note(&format!("mended: {fault}"));
                fault.mend(&mut self.pair, self.kind)?;
                run.struck[made[index]].ended = Some(Stamp::now());
            }
        }
        Ok(())
    }

    fn look_until(&self, run: &mut Run, at: Duration) {
        let at = run.began.after(at);
        loop {
            if run.looked.elapsed() >= SPACING {
                self.look(run);
            }
            if Stamp::now() >= at {
                return;
            }
            thread::sleep(STEP.min(at.since(Stamp::now())));
        }
    }

    fn look(&self, run: &mut Run) {
        let (began, at) = (Instant::now(), Stamp::now());
        run.looked = began;
        let standing = run.standing();
        let said = [0, 1].map(|site| {
            // a stopped daemon would delay the look
            let is_away = |it: &Fault| it.is_of_daemon() && it.site == site;
            if standing.iter().any(|(_, it)| is_away(it)) {
                None
            } else {
                self.pair.status(site).ok()
            }
        });
        for (site, status) in said.iter().enumerate() {
            run.hear(site, status.as_ref());
        }
        if began.elapsed() > STALL {
            return run.oks.forget();
        }
        let due = self.due(run, &standing, the_active(&said));
        let is_ok = said.map(|status| Some(status?.verdict.word == Word::Ok));
        let wrong = run.oks.look(at, is_ok, &due);
        run.wrong.extend(wrong);
    }

    fn due(&self, run: &Run, standing: &[(usize, Fault)], active: Option<usize>) -> Vec<Due> {
        let faults: Vec<Fault> = standing.iter().map(|(_, fault)| *fault).collect();
        // without the link only heartbeats inform the other node
        let is_told = self.kind.is_linked && !faults.iter().any(Fault::is_of_link);
        let due = standing.iter().filter_map(|(place, fault)| {
            let circumstances = Circumstances {
                kind: self.kind,
                active,
                standing: &faults,
                is_restarted: run.has_restarted_since(*place),
            };
            Some(Due {
                place: *place,
                fault: *fault,
                within: expected::named_within(fault, &circumstances)?,
                by_each: is_told || fault.is_of_link() || expected::is_in_heartbeats(fault),
            })
        });
        due.collect()
    }

    // ---- after their repair

    /// Rule 3: waits until all is well.
    fn recover(&self, run: &mut Run) -> Option<Duration> {
        let mended = Instant::now();
        let takes = run
            .struck
            .iter()
            .map(|it| expected::mend_takes(&it.fault, self.kind));
        let limit = WELL + self.hold(run) + takes.max().unwrap_or_default();
        match self.wait_well(mended + limit) {
            Ok(()) => {
                let after = mended.elapsed();
                run.note(&format!("well after {after:.1?} of {limit:?}"));
                Some(after)
            }
            Err(why) => {
                run.wrong
                    .push(Wrong::Unrecovered(format!("{why} after {limit:?}")));
                None
            }
        }
    }

    /// Hold of E9, from the role changes, of which a restarted daemon has forgotten its own.
    fn hold(&self, run: &Run) -> Duration {
        let ends = run
            .struck
            .iter()
            .filter(|it| it.fault.is_of_daemon())
            .count() as u64;
        let changes = self
            .pair
            .transitions()
            .into_iter()
            .max()
            .unwrap_or_default()
            + ends;
        HOLD * (1 << (changes as u32).min(DOUBLED_MAX))
    }

    fn wait_well(&self, end: Instant) -> std::result::Result<(), String> {
        loop {
            let Err(why) = self.is_well() else {
                return Ok(());
            };
            if Instant::now() >= end {
                let said = |site| self.pair.said(site, &["status"]).unwrap_or_default().1;
                return Err(format!("{why}\n{}\n{}", said(0), said(1)));
            }
            thread::sleep(CALM / 3);
        }
    }

    fn is_well(&self) -> std::result::Result<(), String> {
        for (site, wanted) in [(0, "active"), (1, "backup")] {
            let status = self.pair.status(site).unwrap_or_default();
            let role = status
                .groups
                .first()
                .map_or("", |group| group.role.as_str());
            if role != wanted {
                return Err(format!("r{} is {role:?}, not {wanted}", site + 1));
            }
            if status.verdict.word != Word::Ok {
                return Err(format!("r{} says {}", site + 1, sentence(&status)));
            }
        }
        let from = Stamp::now().before(CALM);
        for address in &self.addresses {
            let runs = self.pair.watch.resolutions(from, *address);
            match runs.as_slice() {
                [run] if run.site == 0 && run.first.since(from) <= ANSWERED => {}
                [] => return Err(format!("nobody answers for {address}")),
                [run] if run.site == 0 => {
                    return Err(format!("nobody has answered for {address}"));
                }
                [_] => return Err(format!("r2 answers for {address}")),
                _ => return Err(format!("r1 and r2 answer for {address}")),
            }
        }
        Ok(())
    }

    /// Rule 1: requests that both nodes answered.
    fn answered_twice(&self, run: &Run) -> Vec<Wrong> {
        let seen = self.pair.watch.since(run.began);
        let mut answers = Vec::new();
        for seen in &seen {
            let Some(asked) = self.stations.asked_at(seen) else {
                continue;
            };
            let of = self.addresses.iter().find(|it| seen.resolves(**it));
            if let Some(address) = of.filter(|_| seen.at.since(asked) <= LATE) {
                answers.push(Answer {
                    asked,
                    site: seen.site,
                    address: *address,
                });
            }
        }
        judge::answered_twice(&answers, &judge::splits(&run.struck, self.kind))
    }
}

impl Run {
    fn new() -> Self {
        Self {
            began: Stamp::now(),
            struck: Vec::new(),
            looked: Instant::now(),
            oks: Oks::default(),
            said: Default::default(),
            wrong: Vec::new(),
            trace: Vec::new(),
        }
    }

    fn note(&mut self, what: &str) {
        let at = Stamp::now().since(self.began).as_secs_f64();
        self.trace.push(format!("{at:5.1} s {what}"));
    }

    /// Returns the faults that last, with their places among those that were made.
    fn standing(&self) -> Vec<(usize, Fault)> {
        let standing = self.struck.iter().enumerate();
        let standing = standing.filter(|(_, it)| it.ended.is_none());
        standing.map(|(place, it)| (place, it.fault)).collect()
    }

    /// Returns true if a daemon is down, or has started, since a fault began.
    fn has_restarted_since(&self, place: usize) -> bool {
        let began = self.struck[place].began;
        let mut daemons = self.struck.iter().filter(|it| it.fault.is_of_daemon());
        daemons.any(|it| it.ended.is_none_or(|ended| ended > began))
    }

    /// Records a node's report, if it is new.
    fn hear(&mut self, site: usize, status: Option<&Status>) {
        let said = status.map_or("-".to_owned(), sentence);
        if self.said[site] != said {
            self.note(&format!("    r{} says {said}", site + 1));
            self.said[site] = said;
        }
    }
}

/// Returns begins and ends in their order: the time, the place among the faults of the sequence, true for a begin.
fn events(sequence: &Sequence) -> Vec<(Duration, usize, bool)> {
    let mut events = Vec::new();
    for (index, strike) in sequence.strikes.iter().enumerate() {
        events.push((strike.begins, index, true));
        events.push((strike.ends, index, false));
    }
    // ends before begins at the same time
    events.sort_by_key(|(at, _, is_begin)| (*at, *is_begin));
    events
}

/// Returns the only node that reports to be active.
fn the_active(said: &[Option<Status>; 2]) -> Option<usize> {
    let is_active = |site: &usize| {
        let status = said[*site].as_ref();
        status.is_some_and(|it| it.groups.iter().any(|group| group.role == "active"))
    };
    let active: Vec<usize> = (0..2).filter(is_active).collect();
    match active.as_slice() {
        [site] => Some(*site),
        _ => None,
    }
}

/// Describes a status: word, role, and the ids of the findings with their nodes.
fn sentence(status: &Status) -> String {
    let role = status
        .groups
        .first()
        .map_or("without a group", |group| group.role.as_str());
    let word = status.verdict.word.word();
    let findings = status.verdict.findings.iter();
    let findings = findings.map(|it| format!(", {} {} {}", it.id, it.node, it.thing));
    format!("{word}, {role}{}", findings.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_ends_before_another_begins_at_the_same_moment() {
        for seed in 0..200 {
            let sequence = Sequence::of_kind(seed, Kind::ALL[0]);
            let mut standing = 0_i32;
            for (_, _, is_begin) in events(&sequence) {
                standing += if is_begin { 1 } else { -1 };
                assert!((0..=2).contains(&standing), "{sequence}");
            }
            assert_eq!(standing, 0);
        }
    }
}
