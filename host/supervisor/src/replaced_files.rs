//! Finds workers that have to be restarted to open files that were replaced.

use std::collections::BTreeSet;
use std::time::Instant;

use spared_message::load::Asks;
use spared_message::plugin_files::Opened;

use super::Supervisor;
use super::file_rights::{Looker, Replaced, of_paths};
use super::plugin::{Plugin, State};

impl Supervisor {
    /// Takes the last look at the files of all workers, and asks for the next. Returns a file that a running worker
    /// cannot open because it was replaced, if the plugin may be restarted for that: with `may_restart`, and after
    /// the pause of its last such restart. The plugin counts as restarted then.
    ///
    /// An elector is not restarted: this node would lose its roles.
    pub fn poll_replaced(&mut self, now: Instant, may_restart: bool) -> Option<Replaced> {
        let state_dir = self.about.state_dir.clone();
        let opened = |plugin: &Plugin| -> Option<(u64, Opened)> {
            let descriptor = plugin.descriptor.as_ref().filter(|_| !plugin.is_root())?;
            let running = plugin.running()?;
            let is_such = matches!(plugin.state, State::Running(_)) && !descriptor.provides_groups;
            let asks = Asks::of(descriptor);
            let opened = || Opened::new(&asks, &plugin.settings.table, state_dir.as_deref());
            is_such.then(|| (running.serial, opened()))
        };
        let looker = match &mut self.looker {
            Some(looker) => looker,
            None => self.looker.insert(Looker::start().ok()?),
        };
        let looks = looker.take();
        let mut found = None;
        let mut paths = BTreeSet::new();
        for (name, plugin) in &mut self.plugins {
            let Some((serial, opened)) = opened(plugin) else {
                continue;
            };
            if let Some(looks) = &looks {
                let looks = of_paths(looks, &opened);
                let wanted = opened.to_read.iter().chain(&opened.to_write);
                // a worker that has started since the request
                if wanted.clone().any(|path| !looks.contains_key(path)) {
                    paths.extend(wanted.cloned());
                    continue;
                }
                let on_trial = plugin.trial_end().is_some();
                let lost = plugin.file_rights.handle_looks(now, serial, &opened, looks);
                if let Some(path) = lost.filter(|_| may_restart && !on_trial && found.is_none()) {
                    found = Some(Replaced {
                        plugin: name.clone(),
                        path,
                        pause: plugin.file_rights.handle_restart(now),
                    });
                }
            }
            paths.extend(opened.to_read);
            paths.extend(opened.to_write);
        }
        looker.ask(paths);
        found
    }
}
