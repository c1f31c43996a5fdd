//! Reverts of changes without a request; a revert that fails is retried.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use spared_tree::local::{Answer, ChangeOutcome, Finished, without_output};

use crate::clock::Now;
use crate::job::{Jobs, event};
use crate::store::{Journal, Unconfirmed};

/// Pause after a failed revert, doubled each time, because each retry writes to the disk.
const PAUSE: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Reason why a tree is reverted.
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

    /// Beginning of a sentence about the revert.
    fn sentence_start(self) -> &'static str {
        match self {
            Self::Unconfirmed => "nobody confirmed the change, but it",
            Self::Interrupted => "an interrupted change",
        }
    }
}

/// Trees whose revert failed and is retried, by name.
pub type FailedReverts = HashMap<String, FailedRevert>;

pub struct FailedRevert {
    why: String,
    pause: Duration,
    retry_at: Instant,
}

impl Jobs<'_> {
    /// Reverts a change that was interrupted; returns an event, if there was one.
    pub fn recover(&mut self) -> Option<Answer> {
        let journal = match self.store.journal() {
            Ok(None) => return None,
            Ok(Some(journal)) => journal,
            Err(why) => return Some(event("", &why)),
        };
        let done = self.resume(&journal);
        let text = self.revert_event(&journal.tree, Cause::Interrupted, done, Instant::now())?;
        Some(event(&journal.tree, &text))
    }

    /// Reverts a change that nobody confirmed in time, or retries a failed revert; returns an event if it is new.
    pub fn go_back(&mut self, now: Now) -> Option<Answer> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        self.forget_failed_reverts();
        let began = Instant::now();
        // a deadline first, so that a tree that fails again and again delays no other
        let (tree, cause, done) = match self.due(now) {
            Some(due) => {
                let cause = if due.is_set_aside() {
                    Cause::Interrupted
                } else {
                    Cause::Unconfirmed
                };
                let done = self.end_unconfirmed(&due);
                (due.tree, cause, done)
            }
            None => {
                let journal = self.store.journal().ok().flatten();
                let journal = journal.filter(|it| self.pause_left(&it.tree, now).is_zero())?;
                let done = self.resume(&journal);
                (journal.tree, Cause::Interrupted, done)
            }
        };
        let text = self.revert_event(&tree, cause, done, now.steady + began.elapsed())?;
        Some(event(&tree, &text))
    }

    /// Reverts an unconfirmed change before its deadline.
    pub(crate) fn go_back_now(&mut self, tree: &str) -> Result<Finished, String> {
        let all = self.store.unconfirmed()?;
        let waits = all.iter().find(|it| it.tree == tree);
        let missing = || format!("tree \"{tree}\" does not wait for a confirmation here");
        self.end_unconfirmed(waits.ok_or_else(missing)?)?;
        Ok(ChangeOutcome::Back.with("the old state was put back"))
    }

    /// Time until a change is reverted; None: no change waits.
    pub fn next_timeout(&mut self, now: Now) -> Option<Duration> {
        let all = self.unconfirmed(now).ok()?;
        let left =
            |(it, left): &(Unconfirmed, Duration)| (*left).max(self.pause_left(&it.tree, now));
        all.iter().map(left).min()
    }

    /// Reverts an interrupted change before anything else changes.
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
        match self.failed_reverts.get(tree) {
            None => Ok(()),
            Some(it) => Err(format!("the old state cannot be put back yet: {}", it.why)),
        }
    }

    fn due(&mut self, now: Now) -> Option<Unconfirmed> {
        let all = self.unconfirmed(now).ok()?.into_iter();
        let mut due = all.filter(|(_, left)| left.is_zero()).map(|(it, _)| it);
        due.find(|it| self.pause_left(&it.tree, now).is_zero())
    }

    /// Reverts a change. A revert to a change that itself waits for its confirmation leaves that one its deadline.
    fn resume(&mut self, journal: &Journal) -> Result<(), String> {
        self.forget_unconfirmed(|it| it.is(journal))?;
        self.take_back(journal, true)
    }

    fn end_unconfirmed(&mut self, change: &Unconfirmed) -> Result<(), String> {
        let tree = &change.tree;
        // once, not at each retry
        if !self.failed_reverts.contains_key(tree) {
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
        // from here on the revert is completed even if it is interrupted
        self.store.begin(&journal)?;
        (self.step)("end of the deadline");
        self.resume(&journal)
    }

    /// Makes room in the journal: a failed revert of another tree is kept in the list of deadlines, as already due.
    fn set_aside(&self, change: &Unconfirmed) -> Result<(), String> {
        if !change.is_set_aside() {
            // it restores an older state than any other revert of this tree
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

    /// Text about a revert, if it is new; notes a failed revert for a retry.
    fn revert_event(
        &mut self,
        tree: &str,
        cause: Cause,
        done: Result<(), String>,
        now: Instant,
    ) -> Option<String> {
        let start = cause.sentence_start();
        match done {
            Err(why) if self.is_left(tree) => {
                let is_news = self.note_failed_revert(tree, without_output(&why), now);
                is_news.then(|| format!("{start} cannot be undone yet: {why}"))
            }
            Err(why) => {
                self.failed_reverts.remove(tree);
                Some(format!("{start} cannot be undone: {why}"))
            }
            Ok(()) => Some(match self.failed_reverts.remove(tree) {
                None => cause.went_back().to_owned(),
                Some(_) => "the old state was put back".to_owned(),
            }),
        }
    }

    /// Forgets failed reverts of trees that were restored or confirmed meanwhile.
    fn forget_failed_reverts(&mut self) {
        let mut failed_reverts = std::mem::take(&mut self.failed_reverts);
        failed_reverts.retain(|tree, _| self.is_left(tree));
        self.failed_reverts = failed_reverts;
    }

    /// Notes a failed revert for a retry; true if its reason is new.
    fn note_failed_revert(&mut self, tree: &str, why: &str, now: Instant) -> bool {
        let known = self.failed_reverts.remove(tree);
        let twice = |it: &FailedRevert| it.pause.saturating_mul(2).min(PAUSE_MAX);
        let pause = known.as_ref().map_or(PAUSE, twice);
        let failed = FailedRevert {
            why: why.to_owned(),
            pause,
            retry_at: now + pause,
        };
        self.failed_reverts.insert(tree.to_owned(), failed);
        known.is_none_or(|it| it.why != why)
    }

    /// Time until a failed revert is retried.
    fn pause_left(&self, tree: &str, now: Now) -> Duration {
        let until = self.failed_reverts.get(tree).map(|it| it.retry_at);
        until.map_or(Duration::ZERO, |it| {
            it.saturating_duration_since(now.steady)
        })
    }

    /// True if a tree is still to be reverted, or if this cannot be read.
    fn is_left(&self, tree: &str) -> bool {
        match (self.store.journal(), self.store.unconfirmed()) {
            (Ok(journal), Ok(all)) => {
                journal.is_some_and(|it| it.tree == tree) || all.iter().any(|it| it.tree == tree)
            }
            _ => true,
        }
    }
}
