//! Hooks, and files that an item needs in roles other than its present one: if they are missing or refused, it is
//! reported before the role comes.

use std::path::PathBuf;

use spared_sdk::Role;

use super::item::Item;
use super::{Action, Engine};
use crate::config::{ByRole, Kind};

/// Name of the check of hooks.
const HOOKS: &str = "service.hooks";

impl Engine {
    /// Handles the reasons why files cannot be used, for each item by its name; None: they can.
    pub fn handle_sources(&mut self, now_ns: u64, found: &[(String, Option<String>)]) {
        for (name, why) in found {
            if let Some(item) = self.items.iter_mut().find(|it| it.name() == name) {
                item.test.source_fault.clone_from(why);
            }
        }
        self.step(now_ns);
    }

    /// Handles sentences about hooks that would be refused, of all roles.
    pub fn handle_refused_hooks(&mut self, refused: Vec<String>) {
        if refused == self.refused_hooks {
            return;
        }
        let name = HOOKS.to_owned();
        self.refused_hooks = refused;
        self.actions.push_back(match self.refused_hooks.as_slice() {
            [] => Action::Forget(name),
            [first, more @ ..] => {
                let more = match more.len() {
                    0 => String::new(),
                    more => format!(", and {more} more"),
                };
                let why = format!("would not run in its role: {first}{more}");
                Action::Report {
                    name,
                    weight: 0,
                    state: Some(0),
                    why,
                }
            }
        });
    }

    /// Asks which hooks would be refused.
    pub(super) fn look_at_hooks(&mut self) {
        let roles = [Role::Active, Role::Backup, Role::Fault];
        let folders = roles.map(|role| self.folder(role)).to_vec();
        self.actions.push_back(Action::CheckHooks(folders));
    }

    /// Asks if the files can be used.
    pub(super) fn look_at_sources(&mut self) {
        let items = self.items.iter().map(|item| {
            let files = item.sources();
            (item.name().to_owned(), files)
        });
        let items: Vec<_> = items.filter(|(_, files)| !files.is_empty()).collect();
        if !items.is_empty() {
            self.actions.push_back(Action::CheckSources(items));
        }
    }
}

impl Item {
    // The file of the item's present role is left out: a fault of it shows in the item itself.
    fn sources(&self) -> Vec<PathBuf> {
        let (Kind::Rules { files } | Kind::File { sources: files, .. }) = &self.spec.kind else {
            return Vec::new();
        };
        let ByRole {
            active,
            backup,
            fault,
        } = files;
        let own = self
            .membership
            .role()
            .and_then(|role| files.of(role).as_ref());
        let all = [active, backup, fault].into_iter().flatten();
        all.filter(|file| Some(*file) != own).cloned().collect()
    }

    /// Reason why the item would fail if its role changed, or if it were started again.
    pub(super) fn foreseen_fault(&self) -> Option<String> {
        let of_file = || {
            let why = self.test.source_fault.as_ref()?;
            Some(format!("would fail in another role: {why}"))
        };
        of_file().or_else(|| self.test_fault())
    }
}
