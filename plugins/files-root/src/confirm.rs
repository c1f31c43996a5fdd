//! Changes that go back unless somebody confirms them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use spared_tree::local::{Answer, ChangeOutcome, Finished};

use crate::clock::Now;
use crate::job::{Jobs, event};
use crate::store::{Journal, Unconfirmed};

/// When changes go back by the steady clock, by tree and state.
pub type Ends = HashMap<(String, u64), Instant>;

impl Jobs<'_> {
    /// Takes back a change that nobody confirmed in time; what was done, if there was one.
    pub fn go_back(&mut self, now: Now) -> Option<Answer> {
        let all = self.unconfirmed(now).ok()?;
        let (due, _) = all.iter().find(|(_, left)| left.is_zero())?;
        let text = match self.end_unconfirmed(due) {
            Ok(()) => "nobody confirmed the change: the old state was put back".to_owned(),
            Err(why) => format!("nobody confirmed the change, but it does not go back: {why}"),
        };
        Some(event(&due.tree, &text))
    }

    /// Time until a change goes back; None: there is none.
    pub fn next_timeout(&mut self, now: Now) -> Option<Duration> {
        let all = self.unconfirmed(now).ok()?;
        all.iter().map(|(_, left)| *left).min()
    }

    /// The same before its time.
    pub(crate) fn go_back_now(&mut self, tree: &str) -> Result<Finished, String> {
        let all = self.store.unconfirmed()?;
        let waits = all.iter().find(|it| it.tree == tree);
        let missing = || format!("tree \"{tree}\" does not wait for a confirmation here");
        self.end_unconfirmed(waits.ok_or_else(missing)?)?;
        Ok(ChangeOutcome::Back.with("the old state was put back"))
    }

    fn end_unconfirmed(&mut self, change: &Unconfirmed) -> Result<(), String> {
        let tree = &change.tree;
        if let Err(why) = self.keep_present(tree) {
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
        self.take_back(&journal)
    }

    pub(crate) fn waits_already(&self, name: &str) -> String {
        format!("tree \"{name}\" waits for a confirmation: `sparectl files confirm`, or `back`")
    }

    pub(crate) fn waits(&mut self, tree: &str) -> Answer {
        let all = self.unconfirmed(Now::read()).unwrap_or_default();
        let waits = all.iter().find(|(it, _)| it.tree == tree);
        Answer::Waits {
            tree: tree.to_owned(),
            left_s: waits.map(|(_, left)| rounded_up_s(*left)),
        }
    }

    pub(crate) fn confirm(&mut self) -> Result<Finished, String> {
        let all = self.store.unconfirmed()?;
        if all.is_empty() {
            return Err("nothing waits for a confirmation".to_owned());
        }
        self.store.set_unconfirmed(&[])?;
        let names: Vec<&str> = all.iter().map(|it| it.tree.as_str()).collect();
        let names = names.join(", ");
        Ok(ChangeOutcome::Confirmed.with(format!("confirmed: {names}")))
    }

    pub(crate) fn wait_for_confirmation(
        &self,
        journal: &Journal,
        span_s: u32,
    ) -> Result<(), String> {
        if span_s == 0 {
            return Ok(());
        }
        let mut all = self.store.unconfirmed()?;
        all.push(Unconfirmed {
            tree: journal.tree.clone(),
            state: journal.state,
            until_s: Now::read().wall_s.saturating_add(span_s.into()),
            span_s,
        });
        (self.step)("deadline");
        self.store.set_unconfirmed(&all)
    }

    pub(crate) fn forget_unconfirmed(&self, tree: &str) -> Result<(), String> {
        let mut all = self.store.unconfirmed()?;
        let count = all.len();
        all.retain(|it| it.tree != tree);
        match all.len() == count {
            true => Ok(()),
            false => self.store.set_unconfirmed(&all),
        }
    }

    pub(crate) fn keep_present(&mut self, name: &str) -> Result<(), String> {
        let tree = self.tree(name)?;
        let present = self.present(&tree)?;
        self.take_present(&tree, &present)?;
        let why = "before the state that nobody confirmed went back";
        let own = self.scanner.own(&tree);
        self.store.keep(name, why, present, own).map(drop)
    }

    /// What waits, and the time until it goes back: by the wall clock, or by the steady one since it was seen first,
    /// which no clock that is set back makes longer.
    fn unconfirmed(&mut self, now: Now) -> Result<Vec<(Unconfirmed, Duration)>, String> {
        let waiting = self.store.unconfirmed()?;
        let known = std::mem::take(&mut self.ends);
        let mut all = Vec::new();
        for it in waiting {
            let by_wall = Duration::from_secs(it.left_s(now.wall_s).into());
            let key = (it.tree.clone(), it.state);
            let end = known.get(&key).copied();
            let end = end.unwrap_or_else(|| now.steady + by_wall);
            self.ends.insert(key, end);
            let by_steady = end.saturating_duration_since(now.steady);
            all.push((it, by_wall.min(by_steady)));
        }
        Ok(all)
    }
}

fn rounded_up_s(time: Duration) -> u32 {
    let whole_s = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    whole_s.saturating_add(u32::from(time.subsec_nanos() > 0))
}
