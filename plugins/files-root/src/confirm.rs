//! Changes that go back unless somebody confirms them.

use std::time::Duration;

use spared_tree::local::{Answer, ChangeOutcome, Finished};

use crate::job::{Jobs, event};
use crate::store::{Journal, Unconfirmed, now_s};

impl Jobs<'_> {
    /// Takes back a change that nobody confirmed in time; what was done, if there was one.
    pub fn go_back(&mut self) -> Option<Answer> {
        let now_s = now_s();
        let all = self.store.unconfirmed().ok()?;
        let due = all.iter().find(|it| it.left_s(now_s) == 0)?;
        let text = match self.end_unconfirmed(due) {
            Ok(()) => "nobody confirmed the change: the old state was put back".to_owned(),
            Err(why) => format!("nobody confirmed the change, but it does not go back: {why}"),
        };
        Some(event(&due.tree, &text))
    }

    /// Time until a change goes back; None: there is none.
    pub fn next_timeout(&self) -> Option<Duration> {
        let now_s = now_s();
        let all = self.store.unconfirmed().ok()?;
        let left = all.iter().map(|it| it.left_s(now_s)).min()?;
        Some(Duration::from_secs(left.into()))
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

    pub(crate) fn waits(&self, tree: &str) -> Answer {
        let now_s = now_s();
        let all = self.store.unconfirmed().unwrap_or_default();
        let waits = all.iter().find(|it| it.tree == tree);
        Answer::Waits {
            tree: tree.to_owned(),
            left_s: waits.map(|it| it.left_s(now_s)),
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
            until_s: now_s().saturating_add(span_s.into()),
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
}
