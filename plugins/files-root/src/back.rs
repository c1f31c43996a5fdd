//! Ways back that nobody asks for; one that fails is tried again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use spared_tree::local::{Answer, ChangeOutcome, Finished};

use crate::clock::Now;
use crate::job::{Jobs, event};
use crate::store::{Journal, Unconfirmed};

/// Time after a way back that failed, which doubles with each: a tree that fills the disk is written each time.
const REST: Duration = Duration::from_secs(5);
const REST_MAX: Duration = Duration::from_secs(60);

/// Trees whose way back failed and is tried again, by name.
pub type Hindered = HashMap<String, Hindrance>;

pub struct Hindrance {
    why: String,
    rest: Duration,
    until: Instant,
}

impl Jobs<'_> {
    /// Takes back a change that nobody confirmed in time; what was done, if that is news.
    pub fn go_back(&mut self, now: Now) -> Option<Answer> {
        let all = self.unconfirmed(now).ok()?;
        let is_due =
            |it: &Unconfirmed, left: Duration| left.max(self.rest(&it.tree, now)).is_zero();
        let (due, _) = all.iter().find(|(it, left)| is_due(it, *left))?;
        let began = Instant::now();
        let text = match self.end_unconfirmed(due) {
            Ok(()) => "nobody confirmed the change: the old state was put back".to_owned(),
            Err(why) if self.is_left(&due.tree) => {
                let ended = now.steady + began.elapsed();
                let is_news = self.hinder(&due.tree, &why, ended);
                is_news.then(|| {
                    format!("nobody confirmed the change, but it does not go back yet: {why}")
                })?
            }
            Err(why) => {
                self.hindered.remove(&due.tree);
                format!("nobody confirmed the change, but it does not go back: {why}")
            }
        };
        Some(event(&due.tree, &text))
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

    fn end_unconfirmed(&mut self, change: &Unconfirmed) -> Result<(), String> {
        let tree = &change.tree;
        // once, not at each try
        if !self.hindered.contains_key(tree)
            && let Err(why) = self.keep_present(tree)
        {
            log::warn!("tree \"{tree}\": its state before it went back is not kept: {why}");
        }
        let journal = Journal {
            tree: tree.clone(),
            state: change.state,
        };
        (self.step)("journal");
        // from here on it goes back even if this is interrupted
        self.store.begin(&journal)?;
        (self.step)("end of the deadline");
        self.forget_unconfirmed(tree)?;
        self.take_back(&journal)?;
        self.hindered.remove(tree);
        Ok(())
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

    /// Whether a tree is still to go back.
    fn is_left(&self, tree: &str) -> bool {
        let all = self.store.unconfirmed();
        all.map_or(true, |all| all.iter().any(|it| it.tree == tree))
    }
}
