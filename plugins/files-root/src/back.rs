//! Ways back that nobody asks for; one that fails is tried again.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use spared_tree::local::{Answer, ChangeOutcome, Finished, without_output};

use crate::clock::Now;
use crate::job::{Jobs, event};
use crate::store::{Journal, Unconfirmed};

/// Time after a way back that failed, which doubles with each: a tree that fills the disk is written each time.
const REST: Duration = Duration::from_secs(5);
const REST_MAX: Duration = Duration::from_secs(60);

/// Why a tree goes back.
#[derive(Clone, Copy)]
enum Cause {
    Unconfirmed,
    Interrupted,
}

impl Cause {
    fn went_back(self) -> &'static str {
        match self {
            Self::Unconfirmed => "nobody confirmed the change: the old state was put back",
            Self::Interrupted => "an interrupted change was taken back",
        }
    }

    /// The beginning of a sentence.
    fn it(self) -> &'static str {
        match self {
            Self::Unconfirmed => "nobody confirmed the change, but it",
            Self::Interrupted => "an interrupted change",
        }
    }
}

/// Trees whose way back failed and is tried again, by name.
pub type Hindered = HashMap<String, Hindrance>;

pub struct Hindrance {
    why: String,
    rest: Duration,
    until: Instant,
}

impl Jobs<'_> {
    /// Takes back a change that was interrupted; what was done, if there was one.
    pub fn recover(&mut self) -> Option<Answer> {
        let journal = match self.store.journal() {
            Ok(None) => return None,
            Ok(Some(journal)) => journal,
            Err(why) => return Some(event("", &why)),
        };
        let done = self.resume(&journal);
        let text = self.told(&journal.tree, Cause::Interrupted, done, Instant::now())?;
        Some(event(&journal.tree, &text))
    }

    /// Takes back a change that nobody confirmed in time, or one whose way back has failed; what was done, if that is news.
    pub fn go_back(&mut self, now: Now) -> Option<Answer> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        self.forget_hindrances();
        let began = Instant::now();
        // a deadline first: no other tree that fails again and again holds it up
        let (tree, cause, done) = match self.due(now) {
            Some(due) => {
                let cause = match due.is_set_aside() {
                    true => Cause::Interrupted,
                    false => Cause::Unconfirmed,
                };
                let done = self.end_unconfirmed(&due);
                (due.tree, cause, done)
            }
            None => {
                let journal = self.store.journal().ok().flatten();
                let journal = journal.filter(|it| self.rest(&it.tree, now).is_zero())?;
                let done = self.resume(&journal);
                (journal.tree, Cause::Interrupted, done)
            }
        };
        let text = self.told(&tree, cause, done, now.steady + began.elapsed())?;
        Some(event(&tree, &text))
    }

    /// The same before its time.
    pub(crate) fn go_back_now(&mut self, tree: &str) -> Result<Finished, String> {
        let all = self.store.unconfirmed()?;
        let waits = all.iter().find(|it| it.tree == tree);
        let missing = || format!("tree \"{tree}\" does not wait for a confirmation here");
        self.end_unconfirmed(waits.ok_or_else(missing)?)?;
        Ok(ChangeOutcome::Back.with("the old state was put back"))
    }

    /// Time until a change goes back; None: there is none.
    pub fn next_timeout(&mut self, now: Now) -> Option<Duration> {
        let all = self.unconfirmed(now).ok()?;
        let left = |(it, left): &(Unconfirmed, Duration)| (*left).max(self.rest(&it.tree, now));
        all.iter().map(left).min()
    }

    /// What was interrupted goes back before anything else changes.
    pub(crate) fn take_back_interrupted(&mut self) -> Result<(), String> {
        let Some(journal) = self.store.journal()? else {
            return Ok(());
        };
        let of = &journal.tree;
        let shown =
            |why| format!("first an interrupted change of tree \"{of}\" must go back: {why}");
        self.resume(&journal).map_err(shown)
    }

    /// # Errors
    /// The tree is between two states: it is neither sent nor replaced.
    pub(crate) fn is_whole(&self, tree: &str) -> Result<(), String> {
        match self.hindered.get(tree) {
            None => Ok(()),
            Some(it) => Err(format!("the old state cannot be put back yet: {}", it.why)),
        }
    }

    fn due(&mut self, now: Now) -> Option<Unconfirmed> {
        let all = self.unconfirmed(now).ok()?.into_iter();
        let mut due = all.filter(|(_, left)| left.is_zero()).map(|(it, _)| it);
        due.find(|it| self.rest(&it.tree, now).is_zero())
    }

    /// A way back to a change that still waits for its confirmation leaves it its deadline.
    fn resume(&mut self, journal: &Journal) -> Result<(), String> {
        self.forget_unconfirmed(|it| it.is(journal))?;
        self.take_back(journal)
    }

    fn end_unconfirmed(&mut self, change: &Unconfirmed) -> Result<(), String> {
        let tree = &change.tree;
        // once, not at each try
        if !self.hindered.contains_key(tree) {
            if let Err(why) = self.keep_present(tree) {
                log::warn!("tree \"{tree}\": its state before it went back is not kept: {why}");
            }
        }
        self.set_aside(change)?;
        let journal = Journal {
            tree: tree.clone(),
            state: change.state,
        };
        (self.step)("journal");
        // from here on it goes back even if this is interrupted
        self.store.begin(&journal)?;
        (self.step)("end of the deadline");
        self.resume(&journal)
    }

    /// Makes room in the journal: another tree whose way back has failed waits as if its deadline had passed.
    fn set_aside(&self, change: &Unconfirmed) -> Result<(), String> {
        if !change.is_set_aside() {
            // it leads to before any other way back of this tree
            self.forget_unconfirmed(|it| it.tree == change.tree && it.is_set_aside())?;
        }
        let journal = self.store.journal().ok().flatten();
        let Some(other) = journal.filter(|it| it.tree != change.tree) else {
            return Ok(());
        };
        let mut all = self.store.unconfirmed()?;
        all.retain(|it| !it.is(&other));
        all.push(Unconfirmed::set_aside(other));
        self.store.set_unconfirmed(&all)
    }

    /// What is said of a way back, if it is news; one that has failed is tried again.
    fn told(
        &mut self,
        tree: &str,
        cause: Cause,
        done: Result<(), String>,
        now: Instant,
    ) -> Option<String> {
        let it = cause.it();
        match done {
            Err(why) if self.is_left(tree) => {
                let is_news = self.hinder(tree, without_output(&why), now);
                is_news.then(|| format!("{it} cannot be undone yet: {why}"))
            }
            Err(why) => {
                self.hindered.remove(tree);
                Some(format!("{it} cannot be undone: {why}"))
            }
            Ok(()) => Some(match self.hindered.remove(tree) {
                None => cause.went_back().to_owned(),
                Some(_) => "the old state was put back".to_owned(),
            }),
        }
    }

    /// Forgets what hindered trees that somebody put back, or confirmed.
    fn forget_hindrances(&mut self) {
        let mut hindered = std::mem::take(&mut self.hindered);
        hindered.retain(|tree, _| self.is_left(tree));
        self.hindered = hindered;
    }

    /// Remembers a way back that is to be tried again; whether its reason is news.
    fn hinder(&mut self, tree: &str, why: &str, now: Instant) -> bool {
        let known = self.hindered.remove(tree);
        let twice = |it: &Hindrance| it.rest.saturating_mul(2).min(REST_MAX);
        let rest = known.as_ref().map_or(REST, twice);
        let hindrance = Hindrance {
            why: why.to_owned(),
            rest,
            until: now + rest,
        };
        self.hindered.insert(tree.to_owned(), hindrance);
        known.is_none_or(|it| it.why != why)
    }

    /// Time for which a way back is not tried again.
    fn rest(&self, tree: &str, now: Now) -> Duration {
        let until = self.hindered.get(tree).map(|it| it.until);
        until.map_or(Duration::ZERO, |it| {
            it.saturating_duration_since(now.steady)
        })
    }

    /// Whether a tree is still to go back; also if that cannot be read.
    fn is_left(&self, tree: &str) -> bool {
        match (self.store.journal(), self.store.unconfirmed()) {
            (Ok(journal), Ok(all)) => {
                journal.is_some_and(|it| it.tree == tree) || all.iter().any(|it| it.tree == tree)
            }
            _ => true,
        }
    }
}
