//! State of the host at the moment when a reload decides.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::{Plugin, Setup};

use crate::reload::lost::{has_other_version, is_renamed, lost};
use crate::reload::plan::needs_restart;

/// The configuration in force, the plugins that run with it, and the groups that are active here.
#[derive(Clone, Debug)]
pub struct InForce<'f> {
    pub setup: &'f Setup,
    /// All plugins that the host knows, by name.
    pub plugins: BTreeMap<String, KnownPlugin<'f>>,
    pub active: Vec<ActiveGroup<'f>>,
}

/// A plugin as the host knows it.
#[derive(Clone, Debug)]
pub struct KnownPlugin<'f> {
    /// File that the plugin was given last.
    pub settings: &'f Plugin,
    pub is_running: bool,
    /// True if the plugin refused that file and runs with the one before.
    pub has_refused: bool,
    /// True if the plugin has a worker, in any state.
    pub has_worker: bool,
    /// Reason why the plugin does not run.
    pub why: String,
}

/// A group that is active on this node.
#[derive(Clone, Debug)]
pub struct ActiveGroup<'f> {
    pub name: &'f str,
    /// Plugin that elects for the group.
    pub owner: &'f str,
    pub addresses: Vec<IpAddr>,
}

impl KnownPlugin<'_> {
    /// Returns true if the plugin's worker runs, or starts, with this file.
    pub(crate) fn runs_with(&self, file: &Plugin) -> bool {
        self.settings == file && !self.has_refused
    }
}

impl InForce<'_> {
    /// Returns true if the plugin runs with this file.
    fn runs_with(&self, plugin: &Plugin) -> bool {
        let known = self.plugins.get(&plugin.name);
        known.is_some_and(|it| it.is_running && it.runs_with(plugin))
    }

    fn settings(&self, name: &str) -> Option<&Plugin> {
        Some(self.plugins.get(name)?.settings)
    }

    /// Plugins of the new configuration that have to be checked: they would run with something new.
    pub(crate) fn to_check(&self, new: &Setup) -> Vec<Plugin> {
        let is_other = new.host.surroundings() != self.setup.host.surroundings();
        let is_changed = |plugin: &Plugin| is_other || !self.runs_with(plugin);
        let plugins = new.plugins.iter();
        plugins
            .filter(|it| it.enabled && it.faults.is_empty() && is_changed(it))
            .cloned()
            .collect()
    }

    /// Sentences about active groups that would be interrupted. A group is in the list if the new file lacks some of
    /// its addresses or its name, has another version for it, or needs a restart of its elector.
    pub(crate) fn lost_addresses(&self, new: &Setup) -> Vec<String> {
        let node = &self.setup.host.node;
        let new_node = &new.host.node;
        let is_other_node = node != new_node;
        let lost = self.active.iter().filter_map(|group| {
            let (name, owner) = (group.name, group.owner);
            let old = self.settings(owner)?;
            let new = new.plugin(owner).filter(|it| it.enabled);
            let held = group.addresses.iter().copied();
            let text = new.map_or("", |plugin| &plugin.text);
            let lost = lost(held, &old.text, text);
            if !lost.is_empty() {
                let lost = lost.join(", ");
                return Some(format!(
                    "{name}: {node} is active, and would lose {lost} at once"
                ));
            }
            let why = if is_renamed(name, &old.text, text) {
                "the new file has no group of that name".to_owned()
            } else if has_other_version(name, &old.text, text) {
                "its `version` changes, so it starts again".to_owned()
            } else if is_other_node {
                format!("{owner} is restarted with another name of the node, {new_node}")
            } else {
                let other = new.and_then(|it| needs_restart(old, it))?;
                format!("{owner} is restarted with {other}")
            };
            Some(format!(
                "{name}: {node} is active, and would leave it without service until it is elected again: {why}"
            ))
        });
        lost.collect()
    }
}
