//! Plans the steps that a checked configuration needs for each plugin.

use std::collections::BTreeSet;

use crate::{Plugin, Setup};

use crate::reload::Step;
use crate::reload::changes::{at_once, later};
use crate::reload::{InForce, KnownPlugin};

/// Steps from the configuration in force to a new one, and the plugins that the reload waits for.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub steps: Vec<Step>,
    /// Plugins whose `configure` or `stop` has to return first.
    pub waiting: BTreeSet<String>,
    /// Plugins that are started and should run at the end, each with the text of the answer for it.
    pub started: Vec<(String, &'static str)>,
    /// Lines of the answer.
    pub lines: Vec<String>,
}

impl Plan {
    pub fn new(in_force: &InForce<'_>, new: &Setup) -> Self {
        let old = in_force.setup;
        let mut plan = Self {
            lines: [at_once(&old.host, &new.host), later(old, new)].concat(),
            ..Self::default()
        };
        for (name, known) in &in_force.plugins {
            if new.plugin(name).is_none_or(|plugin| !plugin.enabled) {
                plan.end(name, known);
            }
        }
        plan.steps.push(Step::ConfigureLink);
        let renamed = old.host.surroundings() != new.host.surroundings();
        for plugin in &new.plugins {
            let known = in_force.plugins.get(&plugin.name);
            if plugin.enabled {
                plan.run(plugin, known, renamed)
            } else {
                plan.list(plugin, known)
            }
        }
        plan
    }

    /// Ends a plugin that must not run any longer.
    fn end(&mut self, name: &str, known: &KnownPlugin<'_>) {
        if known.has_worker {
            self.stop(name)
        } else {
            self.steps.push(Step::Remove(name.to_owned()))
        }
    }

    // Lists a disabled plugin. If it still has a worker, it is listed when the worker has stopped.
    fn list(&mut self, plugin: &Plugin, known: Option<&KnownPlugin<'_>>) {
        if known.is_none_or(|it| !it.has_worker) {
            self.steps.push(Step::Add(Box::new(plugin.clone())));
        }
    }

    fn run(&mut self, plugin: &Plugin, known: Option<&KnownPlugin<'_>>, renamed: bool) {
        let name = &plugin.name;
        match known {
            Some(known) if known.is_running => {
                if renamed || !known.runs_with(plugin) {
                    self.change(known.settings, plugin);
                }
            }
            // The worker is still starting, or will start once it has stopped: with this file.
            Some(known) if known.has_worker && !renamed && known.runs_with(plugin) => {}
            Some(known) if known.has_worker => {
                let said = if known.runs_with(plugin) {
                    "started again"
                } else {
                    "started again with its new file"
                };
                self.started.push((name.clone(), said));
                self.steps.push(Step::Set(Box::new(plugin.clone())));
                self.steps.push(Step::Restart(name.clone()));
            }
            _ => {
                self.started.push((name.clone(), "started"));
                self.steps.push(Step::Add(Box::new(plugin.clone())));
            }
        }
    }

    fn change(&mut self, old: &Plugin, new: &Plugin) {
        let name = &new.name;
        self.steps.push(Step::Set(Box::new(new.clone())));
        match needs_restart(old, new) {
            Some(other) => {
                self.lines.push(format!("{name}: restarted with {other}"));
                self.stop(name);
            }
            None => {
                self.waiting.insert(name.clone());
                self.steps.push(Step::Reconfigure(name.clone()));
            }
        }
    }

    fn stop(&mut self, name: &str) {
        self.waiting.insert(name.to_owned());
        self.steps.push(Step::Stop(name.to_owned()));
    }
}

/// Change of the file that needs a restart of the plugin: its process gets these settings when it starts.
pub(crate) fn needs_restart(old: &Plugin, new: &Plugin) -> Option<&'static str> {
    if new.allow == old.allow {
        (new.memory_mib != old.memory_mib).then_some("a changed memory limit")
    } else {
        Some("changed capabilities")
    }
}
