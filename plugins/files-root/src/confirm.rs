//! Changes that are reverted unless somebody confirms them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use spared_tree::builtin;
use spared_tree::local::{Answer, ChangeOutcome, Finished};

use crate::clock::Now;
use crate::job::Jobs;
use crate::store::{Journal, Unconfirmed};

/// Deadlines by the steady clock, by tree and state.
pub type Ends = HashMap<(String, u64), Instant>;

impl Jobs<'_> {
    pub(crate) fn waits_already(&self, name: &str) -> String {
        if name == builtin::NAME {
            return format!("tree \"{name}\" {}", builtin::WAITS);
        }
        match self.is_whole(name) {
            Ok(()) => format!(
                "tree \"{name}\" waits for a confirmation: run `sparectl files confirm` or `sparectl files back`"
            ),
            Err(why) => format!("tree \"{name}\": {why}"),
        }
    }

    pub(crate) fn waits(&mut self, tree: &str) -> Answer {
        if tree == builtin::NAME {
            return Answer::Waits {
                tree: tree.to_owned(),
                left_s: self.daemon_waits_s(),
            };
        }
        let all = self.unconfirmed(Now::read()).unwrap_or_default();
        let waits = |it: &Unconfirmed| it.tree == tree && !it.is_set_aside();
        let waits = all.iter().find(|(it, _)| waits(it));
        Answer::Waits {
            tree: tree.to_owned(),
            left_s: waits.map(|(_, left)| rounded_up_s(*left)),
        }
    }

    /// Confirms waiting changes, so that they stay: of one tree, or of all.
    pub(crate) fn confirm(&mut self, tree: Option<&str>) -> Result<Finished, String> {
        let journal = self.store.journal()?;
        let goes_back = |it: &Unconfirmed| {
            it.is_set_aside() || journal.as_ref().is_some_and(|of| of.tree == it.tree)
        };
        let is_meant = |it: &Unconfirmed| tree.is_none_or(|name| name == it.tree);
        let all = self.store.unconfirmed()?;
        let (confirmed, left): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|it| is_meant(it) && !goes_back(it));
        if confirmed.is_empty() {
            return Err("nothing waits for a confirmation".to_owned());
        }
        self.store.set_unconfirmed(&left)?;
        let names: Vec<&str> = confirmed.iter().map(|it| it.tree.as_str()).collect();
        let names = names.join(", ");
        Ok(ChangeOutcome::Confirmed.with(format!("confirmed: {names}")))
    }

    pub(crate) fn wait_for_confirmation(
        &self,
        journal: &Journal,
        span_s: u32,
    ) -> Result<(), String> {
        // the daemon waits for a confirmation of its own configuration
        if span_s == 0 || journal.tree == builtin::NAME {
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

    pub(crate) fn forget_unconfirmed(
        &self,
        which: impl Fn(&Unconfirmed) -> bool,
    ) -> Result<(), String> {
        let mut all = self.store.unconfirmed()?;
        let count = all.len();
        all.retain(|it| !which(it));
        if all.len() == count {
            Ok(())
        } else {
            self.store.set_unconfirmed(&all)
        }
    }

    pub(crate) fn keep_present(&mut self, name: &str) -> Result<(), String> {
        let tree = self.tree(name)?;
        let present = self.present(&tree)?;
        self.take_present(&tree, &present)?;
        let why = "before the state that nobody confirmed went back";
        let own = self.scanner.own(&tree);
        self.store.keep(&tree, why, present, own).map(drop)
    }

    /// Waiting changes, with the time until each is reverted: by the wall clock, or by the steady clock since the
    /// change was first seen, so that a clock that is set back does not extend it.
    pub(crate) fn unconfirmed(&mut self, now: Now) -> Result<Vec<(Unconfirmed, Duration)>, String> {
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
