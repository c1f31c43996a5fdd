// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares the reports of both nodes with the truth.
//!
//! OK is false if a fault lasts that must be named, or if a flaw has been measured. Anything but OK is a false alarm if
//! there is no fault and no flaw is measured. Each may last for [`NOTICE`], the time in which a node notices a fault,
//! or recovers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use spared_verdict::Word;

use super::Outcome;
use super::faults::{Fault, Must, Place};
use super::outside::{self, serving};
use super::world::World;
use crate::Result;
use crate::clock::poll;
use crate::router::Spared;

/// Time within which a false report is tolerated.
const NOTICE: Duration = Duration::from_secs(3);
/// Silence of the transfer after which it counts as lost: TCP waits up to twice as long as an outage was.
const LOST: Duration = Duration::from_secs(30);
/// Time between two looks.
const SPACING: Duration = Duration::from_millis(500);
/// Delay of a look that shows that the machine stood still: nothing is judged for a while.
const STALL: Duration = Duration::from_millis(2_500);
const WRONG_MAX: usize = 10;

/// Report of a node.
struct Said {
    word: Word,
    /// Exit code of `status`.
    code: i32,
    /// Findings, such as "SP-0401 r1".
    found: Vec<String>,
    headline: String,
}

pub struct Judge {
    looked: Instant,
    /// Begin of each fault that must be named, and of each flaw.
    since: BTreeMap<String, Instant>,
    /// Last time at which something was wrong.
    troubled: Instant,
    /// Begin of a false report of each node, and whether it was recorded.
    false_since: [Option<(Instant, bool)>; 2],
    silent_since: [Option<Instant>; 2],
    /// Report of each node, true for OK, and the time since which it holds.
    word_since: [Option<(bool, Instant)>; 2],
    /// Both nodes reported OK when the latest fault was made.
    promised: bool,
    was_ok: bool,
    /// Bytes of the transfer, and the time of their last change.
    moved: ([u64; 2], Instant),
    last: String,
    /// End of the latest fault, and begin of the latest one that was alone.
    ended: Option<Instant>,
    began_alone: Option<Instant>,
    /// Last time at which the edited file was not replicated: from outside it is unknown whether it will be.
    open: Instant,
    /// Number of looks at the findings of a single fault.
    judged: usize,
    looks: usize,
    oks: usize,
    /// Longest duration of false reports: of OK, and of anything else.
    longest: [Duration; 2],
    stalls: usize,
    /// Total time for which the machine stood still.
    stood: Duration,
    wrong: Vec<String>,
    began: Instant,
}

impl Judge {
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            looked: now,
            since: BTreeMap::new(),
            troubled: now,
            false_since: [None; 2],
            silent_since: [None; 2],
            word_since: [None; 2],
            promised: false,
            was_ok: false,
            moved: ([0; 2], now),
            last: "the start".to_owned(),
            ended: None,
            began_alone: None,
            open: now,
            judged: 0,
            looks: 0,
            oks: 0,
            longest: [Duration::ZERO; 2],
            stalls: 0,
            stood: Duration::ZERO,
            wrong: Vec::new(),
            began: now,
        }
    }

    /// Takes note that a fault is about to be made.
    pub fn strikes(&mut self, fault: &Fault, others: &[Fault]) {
        let name = fault.name();
        self.promised = self.was_ok;
        self.last = name;
        self.troubled = Instant::now();
        self.began_alone = others.is_empty().then_some(fault.began);
    }

    /// Takes note that a fault is about to be undone.
    pub fn ends(&mut self, name: &str) {
        self.last = format!("the end of {name}");
        self.troubled = Instant::now();
        self.ended = Some(self.troubled);
    }

    /// Looks at everything, unless it did so a moment ago.
    pub fn look(&mut self, world: &mut World<'_>, faults: &[Fault]) -> Result<()> {
        let spacing = self.looked.elapsed();
        if spacing < SPACING {
            return Ok(());
        }
        self.looked = Instant::now();
        let office = serving(world, 0);
        world.live(office)?;
        let flaws = outside::flaws(world)?;
        let now = Instant::now();
        self.note(now, faults, &flaws);
        if world.pages_differ().is_some() {
            (self.open, self.troubled) = (now, now);
        }
        // a stopped daemon would delay the look
        let is_mute = |site: usize| {
            faults
                .iter()
                .any(|it| it.kind.place == Place::Daemon && it.site == site)
        };
        let said = [0, 1].map(|site| {
            if is_mute(site) {
                None
            } else {
                Some(ask(world, site))
            }
        });
        if spacing > STALL || now.elapsed() > STALL {
            self.stalls += 1;
            self.stood += spacing.max(now.elapsed());
            self.troubled = Instant::now();
            self.false_since = [None; 2];
            self.word_since = [None; 2];
            return Ok(());
        }
        for (site, said) in said.iter().enumerate() {
            match said {
                None => (self.false_since[site], self.word_since[site]) = (None, None),
                Some(said) => self.judge(now, site, said.as_ref().ok(), &flaws, faults),
            }
        }
        let is_ok = |said: &Option<Result<Said>>| {
            said.as_ref()
                .is_some_and(|said| said.as_ref().is_ok_and(|said| said.word == Word::Ok))
        };
        self.was_ok = said.iter().all(is_ok);
        self.looks += 1;
        self.oks += usize::from(self.was_ok);
        self.watch_transfer(world, office)
    }

    // Keeps the begin of everything that is wrong now.
    fn note(&mut self, now: Instant, faults: &[Fault], flaws: &outside::Flaws) {
        let named = faults.iter().filter(|it| it.kind.must == Must::Warn);
        let wrong: Vec<String> = named
            .map(Fault::name)
            .chain(flaws.iter().cloned())
            .collect();
        self.since.retain(|name, _| wrong.contains(name));
        for name in wrong {
            self.since.entry(name).or_insert(now);
        }
        if !flaws.is_empty() || faults.iter().any(lasts) {
            self.troubled = now;
        }
    }

    fn judge(
        &mut self,
        now: Instant,
        site: usize,
        said: Option<&Said>,
        flaws: &outside::Flaws,
        faults: &[Fault],
    ) {
        let Some(said) = said else {
            let since = *self.silent_since[site].get_or_insert(now);
            if now.duration_since(since) > NOTICE * 2 {
                self.silent_since[site] = None;
                self.record(format!("r{} does not answer", site + 1));
            }
            return;
        };
        self.silent_since[site] = None;
        if said.code != i32::from(said.word.exit_code()) {
            self.record(format!(
                "r{}: exit code {} of {:?}",
                site + 1,
                said.code,
                said.word
            ));
        }
        self.judge_ids(now, site, said, faults);
        let oldest = self.since.iter().min_by_key(|(_, since)| **since);
        let oldest = oldest.map(|(name, since)| (name.clone(), *since));
        let is_ok = said.word == Word::Ok;
        let word = self.word_since[site].filter(|(was_ok, _)| *was_ok == is_ok);
        let (_, said_since) = *self.word_since[site].insert(word.unwrap_or((is_ok, now)));
        let false_since = match &oldest {
            Some((_, since)) if is_ok => said_since.max(*since),
            None if !is_ok && !faults.iter().any(lasts) => said_since.max(self.troubled),
            _ => return self.false_since[site] = None,
        };
        let lasts = now.duration_since(false_since);
        let longest = &mut self.longest[usize::from(!is_ok)];
        if lasts <= NOTICE {
            *longest = lasts.max(*longest);
            return;
        }
        let is_recorded = self.false_since[site].is_some_and(|(_, recorded)| recorded);
        self.false_since[site] = Some((false_since, true));
        if is_recorded {
            return;
        }
        let (node, last) = (site + 1, &self.last);
        let what = match (is_ok, oldest) {
            (true, Some((name, _))) => format!("r{node} says OK for {lasts:.1?}, but {name}"),
            _ => format!(
                "r{node} says \"{}\" {:?} for {lasts:.1?}, and nothing is wrong",
                said.headline, said.found
            ),
        };
        let lasting: Vec<String> = faults.iter().map(Fault::name).collect();
        self.record(format!("{what} (after {last}; {lasting:?}, {flaws:?})"));
    }

    // Checks the findings while there is a single fault, and has been no other for a while.
    fn judge_ids(&mut self, now: Instant, site: usize, said: &Said, faults: &[Fault]) {
        let [fault] = faults else { return };
        let is_old = |at: Instant| now.duration_since(at) > NOTICE;
        let is_alone = is_old(fault.began)
            && is_old(self.open)
            && self.ended.is_none_or(|at| is_old(at + NOTICE));
        let other = self.since.keys().any(|name| *name != fault.name());
        if !lasts(fault) || !is_alone || self.began_alone != Some(fault.began) {
            return;
        }
        self.judged += 1;
        let mut codes = said.found.iter().filter_map(|it| it.split(' ').next());
        let stranger = codes.find(|code| !fault.kind.ids.contains(code));
        let (node, name, found) = (site + 1, fault.name(), &said.found);
        let is_unnamed = found.is_empty() && fault.kind.must == Must::Warn;
        if is_unnamed || (stranger.is_some() && !other) {
            self.began_alone = None;
            self.record(format!("r{node} finds {found:?} of {name}"));
        }
    }

    // A broken connection is a false report if both nodes reported that a failover would lose nothing.
    fn watch_transfer(&mut self, world: &mut World<'_>, office: Option<usize>) -> Result<()> {
        let bytes = world.transfer.bytes();
        if bytes != self.moved.0 || office.is_none() {
            self.moved = (bytes, Instant::now());
        }
        let broken = world.transfer.fault();
        if broken.is_none() && self.moved.1.elapsed() < LOST {
            return Ok(());
        }
        let why = broken.unwrap_or_else(|| "it stands still".to_owned());
        crate::say!("    the transfer is lost: {why}");
        if self.promised {
            let last = self.last.clone();
            self.record(format!(
                "OK was said before {last}, and the transfer is lost: {why}"
            ));
        }
        world.connect_again()?;
        self.moved.1 = Instant::now();
        Ok(())
    }

    fn record(&mut self, what: String) {
        let what = format!("{:.1} s: {what}", self.began.elapsed().as_secs_f64());
        crate::say!("    WRONG: {what}");
        self.wrong.push(what);
    }

    pub fn is_enough(&self) -> bool {
        self.wrong.len() >= WRONG_MAX
    }

    /// Waits after the last fault until all is well again, and stays so.
    pub fn wait_well(&mut self, world: &mut World<'_>, limit: Duration) -> Result<()> {
        let mut since = None;
        let well = poll(limit, Duration::from_millis(100), || {
            let _ = self.look(world, &[]);
            let is_well = self.was_ok && self.since.is_empty();
            since = since.filter(|_| is_well).or(is_well.then(Instant::now));
            since.is_some_and(|since: Instant| since.elapsed() > NOTICE)
        });
        if !well {
            let said = [0, 1].map(|site| ask(world, site).map(|said| said.found));
            let flaws: Vec<String> = self.since.keys().cloned().collect();
            self.record(format!("not well after {limit:?}: {said:?}, {flaws:?}"));
        }
        Ok(())
    }

    pub fn outcome(self, faults: usize) -> Outcome {
        let [ok, alarm] = self.longest;
        let share = self.oks * 100 / self.looks.max(1);
        Outcome {
            faults,
            figures: vec![
                format!(
                    "{faults} faults, {} looks at both nodes, {share} % of them OK",
                    self.looks
                ),
                format!("OK was false for at most {ok:.1?}, an alarm for at most {alarm:.1?}"),
                format!(
                    "the findings of one fault alone were compared {} times",
                    self.judged
                ),
                format!(
                    "the machine stood still {} times, {:.0?} in all",
                    self.stalls, self.stood
                ),
            ],
            wrong: self.wrong,
            stalls: self.stalls,
            stood: self.stood,
        }
    }
}

/// Returns true if a fault lasts until it is undone.
fn lasts(fault: &Fault) -> bool {
    matches!(fault.kind.must, Must::Warn | Must::Truth)
}

fn ask(world: &World<'_>, site: usize) -> Result<Said> {
    let output = Spared(&world.bed.pair.routers[site]).sparectl(&["status", "--json"])?;
    let status: spared_message::control::Status = serde_json::from_slice(&output.stdout)?;
    let found = status.verdict.findings.iter();
    let found = found.map(|it| format!("{} {}", it.id, it.text)).collect();
    let headlines = status.verdict.headlines.iter();
    let headline: Vec<&str> = headlines.map(|it| it.text.as_str()).collect();
    Ok(Said {
        word: status.verdict.word,
        code: output.status.code().unwrap_or(-1),
        found,
        headline: headline.join(" "),
    })
}
