//! Queries of the host about its plugins.

use std::collections::BTreeSet;
use std::time::Instant;

use spared_config::{self as config, OnFailure};
use spared_contract::Descriptor;
use spared_group::Follower;

use super::Supervisor;
use super::plugin::{Plugin, State};

impl Supervisor {
    pub fn descriptor(&self, name: &str) -> Option<&Descriptor> {
        self.plugins.get(name)?.descriptor.as_ref()
    }

    /// Process id of the plugin's worker.
    pub fn pid(&self, name: &str) -> Option<u32> {
        Some(self.running_worker(name)?.worker.pid())
    }

    pub fn settings(&self, name: &str) -> Option<&config::Plugin> {
        Some(&self.plugins.get(name)?.settings)
    }

    /// Consequence of giving up the plugin.
    pub fn on_failure(&self, name: &str) -> OnFailure {
        let said = self.settings(name).and_then(|it| it.on_failure);
        OnFailure::of(said, self.descriptor(name).map_or(0, |it| it.flags))
    }

    pub fn is_running(&self, name: &str) -> bool {
        self.plugins
            .get(name)
            .is_some_and(|plugin| plugin.state.is_running())
    }

    /// Returns true if the plugin runs again after it was given up, and its trial is not over.
    pub fn is_on_trial(&self, name: &str) -> bool {
        let plugin = self.plugins.get(name);
        plugin.is_some_and(|plugin| plugin.trial_end().is_some())
    }

    /// Reason why the plugin does not run.
    pub fn why(&self, name: &str) -> String {
        let why = self.plugins.get(name).map(|plugin| plugin.why.clone());
        why.filter(|why| !why.is_empty())
            .unwrap_or_else(|| format!("{name} is not running yet"))
    }

    /// Returns true if the plugin has a worker, in any state.
    pub fn has_worker(&self, name: &str) -> bool {
        self.running_worker(name).is_some()
    }

    /// Returns true if the plugin's worker runs and does not answer: its earlier reports may no longer be true.
    pub fn is_silent(&self, name: &str, now: Instant) -> bool {
        self.running_worker(name)
            .is_some_and(|running| running.pings.is_silent(now))
    }

    /// Facts about the plugin that the groups need: which roles it gets, and in which steps it takes part.
    pub fn follower(&self, name: &str) -> Follower {
        let (settings, descriptor) = (self.settings(name), self.descriptor(name));
        Follower {
            after: settings.map(|it| it.after.clone()).unwrap_or_default(),
            follow: settings.and_then(|it| it.follow.clone()),
            has_role: descriptor.is_some_and(|it| it.has_role),
            has_drain: descriptor.is_some_and(|it| it.has_drain),
            has_settle: descriptor.is_some_and(|it| it.has_settle),
        }
    }

    /// Running plugins that have a verb of these words.
    pub fn with_verb(&self, argv: &[String]) -> BTreeSet<String> {
        let has = |it: &Descriptor| it.verb(argv).is_some();
        let names = self
            .plugins
            .keys()
            .filter(|name| self.is_running(name) && self.descriptor(name).is_some_and(has));
        names.cloned().collect()
    }

    pub fn provides_groups(&self, name: &str) -> bool {
        self.descriptor(name)
            .is_some_and(|descriptor| descriptor.provides_groups)
    }

    /// Returns true if the plugin may change addresses and routes by itself.
    pub fn has_net_admin(&self, name: &str) -> bool {
        const NET_ADMIN: u64 = 1 << 12;
        let plugin = self.plugins.get(name);
        plugin.is_some_and(|plugin| plugin.is_root() || plugin.capabilities() & NET_ADMIN != 0)
    }

    pub fn names(&self) -> Vec<String> {
        self.plugins.keys().cloned().collect()
    }

    /// Returns true if no start is in progress, except one that the plugin has declared pending.
    pub fn is_settled(&self) -> bool {
        let starting = |plugin: &Plugin| plugin.state == State::Starting && !plugin.is_pending();
        let moving = |plugin: &Plugin| plugin.is_preparing() || starting(plugin);
        !self
            .plugins
            .values()
            .any(|plugin| moving(plugin) || plugin.state == State::Configured)
    }

    /// Returns true if the worker belongs to an elector, which is served first.
    pub fn is_elector(&self, serial: u64) -> bool {
        let descriptor = self.plugin_of(serial).and_then(|it| it.descriptor.as_ref());
        descriptor.is_some_and(|it| it.provides_groups)
    }

    pub(super) fn name_of(&self, serial: u64) -> Option<String> {
        self.plugin_of(serial).map(|it| it.name().to_owned())
    }

    fn plugin_of(&self, serial: u64) -> Option<&Plugin> {
        let is = |plugin: &&Plugin| plugin.running().is_some_and(|it| it.serial == serial);
        self.plugins.values().find(is)
    }
}
