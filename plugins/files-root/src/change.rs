//! Change of a tree, from the staged files to the end of `apply`, or its revert.
//!
//! | step | after a crash in it |
//! |---|---|
//! | the staged files are copied and hashed | nothing has changed |
//! | the present state is kept | nothing has changed |
//! | `check` | nothing has changed |
//! | journal, files, `apply` | the next start restores the kept state and applies it |
//! | a deadline, if it is to be confirmed | as above: the next start restores the kept state |
//! | journal removed | the new state is in place; if nobody confirms it, it is reverted at its deadline |

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering;

use rustix::fs::StatVfsMountFlags;
use spared_tree::config::Tree;
use spared_tree::local::{ChangeOutcome, Finished, and_on_the_way_back};
use spared_tree::own::Own;
use spared_tree::{Hash, Manifest, validate};

use crate::command::{self, Failed};
use crate::contents::with_earlier;
use crate::job::Jobs;
use crate::link_switch;
use crate::put::{Before, Extent, NotPut, Put};
use crate::staged_check;
use crate::store::Journal;

/// Options of a change.
#[derive(Clone, Copy)]
pub(crate) struct Change<'c> {
    pub(crate) ticket: u64,
    /// Digest that the tree must have.
    pub(crate) expected: Option<Hash>,
    pub(crate) why: &'c str,
    /// Seconds after which the change is reverted unless it is confirmed; 0: it stays.
    pub(crate) confirm_s: u32,
    pub(crate) only_check: bool,
    pub(crate) insists: bool,
}

impl Change<'_> {
    fn outcome(&self) -> ChangeOutcome {
        match self.expected {
            Some(_) => ChangeOutcome::Changed,
            None => ChangeOutcome::Back,
        }
    }
}

impl Jobs<'_> {
    pub(crate) fn change(
        &mut self,
        name: &str,
        change: Change<'_>,
        find: impl FnOnce(&mut Self, &Tree) -> Result<(Manifest, Own), String>,
    ) -> Result<Finished, String> {
        let tree = self.tree(name)?;
        // before any command runs: the peer that sends this tree receives its output
        if change.expected.is_some() {
            self.may_take(&tree)?;
        }
        self.take_back_interrupted()?;
        let is_unconfirmed = self.store.unconfirmed()?.iter().any(|it| it.tree == name);
        // the daemon alone takes its configuration back
        let waits_for_daemon = tree.is_builtin() && self.daemon_waits_s().is_some();
        if is_unconfirmed && change.expected.is_some() || waits_for_daemon {
            return Err(self.waits_already(name));
        }
        let changed = self.change_tree(&tree, change, find);
        // a state that is already in place decides nothing about the waiting change
        let is_another = |it: &Finished| it.outcome != ChangeOutcome::Same;
        if is_unconfirmed && changed.as_ref().is_ok_and(is_another) {
            self.forget_unconfirmed(|it| it.tree == name)?;
        }
        // also contents of a refused change: a peer may offer without end
        self.store.prune(name, tree.keep);
        changed
    }

    fn change_tree(
        &mut self,
        tree: &Tree,
        change: Change<'_>,
        find: impl FnOnce(&mut Self, &Tree) -> Result<(Manifest, Own), String>,
    ) -> Result<Finished, String> {
        let name = tree.name.as_str();
        let present = self.present(tree)?;
        if change.expected.is_some_and(|it| it != present.digest()) {
            return Err(format!(
                "tree \"{name}\" has changed on this node meanwhile"
            ));
        }
        let (new, was_own) = find(self, tree)?;
        if new.digest() == present.digest() {
            return Ok(ChangeOutcome::Same.with("nothing to change"));
        }
        validate(&new, tree).map_err(|refused| refused.to_string())?;
        Put::accounts_exist(&new)?;
        self.writable(tree)?;
        self.take_present(tree, &present)?;
        let taken = self.take_staged(&new)?;
        let present_own = self.scanner.own(tree);
        let own = with_earlier(present_own.clone(), was_own);
        self.own_is_complete(&present, &new, &own)?;
        if tree.is_builtin() && change.expected.is_some() {
            self.local_keys_stay(&new, &own)?;
        }
        let root = self.files_of(tree)?;
        let checked = staged_check::check(&root, &self.store, tree, &new, &own, self.stop);
        checked.map_err(|failed| match failed {
            Failed::Why(why) => format!("the check refused it, nothing was changed: {why}"),
            Failed::Stopped => "spared is stopping: nothing was changed".to_owned(),
        })?;
        if change.only_check {
            return Ok(ChangeOutcome::Checked.with("the check accepts the files"));
        }
        let (before, before_own) = (present.digest(), present_own.clone());
        let kept = self.keep_before(tree, change.why, (present, present_own), (&new, &own))?;
        let journal = Journal {
            tree: name.to_owned(),
            state: kept.number,
        };
        (self.step)("journal");
        if self.withdrawn.load(Ordering::Relaxed) == change.ticket {
            return Err("stopped: nothing was changed".to_owned());
        }
        self.store.begin(&journal)?;
        let before = Before {
            digest: before,
            own: &before_own,
        };
        let count = match self.put(tree, &new, &own, &taken, Some(before)) {
            Ok(count) => count,
            Err(failed) if failed.extent == Extent::Nothing => {
                self.store.end()?;
                return Err(failed.why);
            }
            Err(NotPut { why, extent }) => {
                return Err(self.went_back(&journal, &why, extent == Extent::Files));
            }
        };
        let applied = self.apply(tree, change.insists, change.confirm_s);
        let applied = applied.and_then(|()| {
            let waits = self.wait_for_confirmation(&journal, change.confirm_s);
            waits.map_err(Failed::Why)
        });
        match applied {
            Ok(()) => {
                (self.step)("end of the journal");
                self.store.end()?;
                if tree.is_builtin() && change.confirm_s > 0 && self.daemon_waits_s().is_none() {
                    let text =
                        "the files are in place, and the configuration in force stays the same";
                    return Ok(ChangeOutcome::Same.with(text));
                }
                Ok(change.outcome().with(match count {
                    1 => "1 change is in place".to_owned(),
                    count => format!("{count} changes are in place"),
                }))
            }
            // the next start reverts the change
            Err(Failed::Stopped) => {
                Err("spared is stopping: the change is undone when it starts again".to_owned())
            }
            Err(Failed::Why(why)) => Err(self.went_back(&journal, &why, true)),
        }
    }

    /// Takes a failed change back; returns the reason why it failed, with how that ended.
    fn went_back(&mut self, journal: &Journal, why: &str, applies: bool) -> String {
        match self.take_back(journal, applies) {
            Ok(()) => format!("the old state was put back: {why}"),
            Err(again) => and_on_the_way_back(why, &again),
        }
    }

    /// Checks that this process may write the tree: spared's unit has a read-only view of most folders.
    fn writable(&self, tree: &Tree) -> Result<(), String> {
        // for a link, the folder that contains it
        let folder = |top: &str| {
            if tree.by_link {
                Err(io::ErrorKind::NotADirectory.into())
            } else {
                self.root.folder(top)
            }
        };
        for top in &tree.paths {
            let parent = top.rsplit_once('/').map_or("", |(parent, _)| parent);
            let own = folder(top);
            let (path, folder) = match own {
                Ok(folder) => (top.as_str(), Ok(folder)),
                Err(_) => (parent, self.root.folder(parent)),
            };
            let about = folder.and_then(|it| Ok(rustix::fs::fstatvfs(&it)?));
            let about = about.map_err(|error| format!("{path}: {error}"))?;
            if about.f_flag.contains(StatVfsMountFlags::RDONLY) {
                return Err(format!(
                    "{path} is read-only for spared: run `systemctl edit spared-starter`, add the lines [Service] and \
                     ReadWritePaths={path}, then restart spared"
                ));
            }
        }
        Ok(())
    }

    /// Makes a tree equal to the manifest; `taken` are contents that were hashed in this change.
    fn put(
        &mut self,
        tree: &Tree,
        new: &Manifest,
        own: &Own,
        taken: &BTreeSet<Hash>,
        before: Option<Before<'_>>,
    ) -> Result<usize, NotPut> {
        let movable = if tree.by_link {
            BTreeSet::new()
        } else {
            self.store.movable(taken, new)
        };
        let put = Put {
            root: &self.root,
            store: &self.store,
            tree,
            before,
            own,
            movable,
            step: self.step,
            extent: Cell::default(),
        };
        if tree.by_link {
            return link_switch::put(&put, &mut self.scanner, new);
        }
        put.run(&mut self.scanner, new)
    }

    pub(crate) fn apply(&self, tree: &Tree, insists: bool, confirm_s: u32) -> Result<(), Failed> {
        (self.step)("apply");
        match tree.apply_words(insists, confirm_s).as_slice() {
            [] => Ok(()),
            argv => command::run(argv, self.stop),
        }
    }

    /// Restores the state before a change. `applies` is false if no program can have read files of the change.
    pub(crate) fn take_back(&mut self, journal: &Journal, applies: bool) -> Result<(), String> {
        if self.settings()?.tree(&journal.tree).is_none() {
            // nobody has configured its paths any more, so they are not touched
            self.store.end()?;
            return Err("it is not configured any more".to_owned());
        }
        let tree = self.tree(&journal.tree)?;
        let state = self.store.state(&journal.tree, journal.state)?;
        if !state.is_of(&tree) {
            let name = &tree.name;
            log::warn!(
                "tree \"{name}\" has other paths or another exclude than before the change: only what is and was part \
                 of it is put back"
            );
        }
        let (part, manifest) = state.of(&tree)?;
        self.present(&tree)?;
        let own = with_earlier(self.scanner.own(&tree), state.own);
        if !part.paths.is_empty() {
            let put = self.put(&part, &manifest, &own, &BTreeSet::new(), None);
            put.map_err(|failed| failed.why)?;
        }
        let applied = if applies {
            self.apply_back(&tree)
        } else {
            Ok(())
        };
        match applied {
            Ok(()) => {}
            Err(Failed::Stopped) => return Err("spared is stopping".to_owned()),
            Err(Failed::Why(why)) => {
                // the old files are back: a retry would change nothing
                self.store.end()?;
                return Err(format!("its files are back, but {why}"));
            }
        }
        (self.step)("end of the journal");
        self.store.end()
    }
}
