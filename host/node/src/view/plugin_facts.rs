//! Collects the facts about the plugins of this node.

use std::time::Instant;

use spared_config::OnFailure;
use spared_contract::Descriptor;
use spared_verdict::PluginFacts;

use super::NodeView;

impl NodeView<'_> {
    /// Returns the facts about each enabled plugin.
    pub fn plugin_facts(&self) -> impl Iterator<Item = PluginFacts> + '_ {
        let plugins = self
            .config
            .setup()
            .plugins
            .iter()
            .filter(|plugin| plugin.enabled);
        plugins.map(|plugin| self.facts_of(&plugin.name))
    }

    /// Returns the plugins that have a worker, with its process id.
    pub(super) fn workers(&self) -> impl Iterator<Item = (&str, u32)> {
        let plugins = self.config.setup().plugins.iter();
        plugins.filter_map(|it| Some((it.name.as_str(), self.supervisor.pid(&it.name)?)))
    }

    fn facts_of(&self, name: &str) -> PluginFacts {
        let descriptor = self.supervisor.descriptor(name);
        let (state, why) = self.supervisor.state(name);
        let (in_sync, lack) = self.pair.in_sync(name);
        PluginFacts {
            name: name.to_owned(),
            state,
            is_silent: self.supervisor.is_silent(name, Instant::now()),
            why,
            is_aside: self.supervisor.on_failure(name) == OnFailure::Warn,
            has_channel: descriptor.is_some_and(|descriptor| descriptor.has_peer),
            is_unlinked: descriptor.is_some_and(|it| self.is_unlinked(it)),
            has_peer: self.link.channels_up().contains(name),
            refused: self.link.wire_refusal(name).map(str::to_owned),
            in_sync,
            lack,
            refused_file: self.supervisor.refused_file(name).join("; "),
            failed_roles: self.pair.failed_roles(name, self.groups),
            failing: self.pair.failing_callbacks(name),
            unknown_groups: self.unknown_groups(name),
        }
    }

    // Returns true if a plugin should replicate but has no link. An elector needs no link, and a node without a peer
    // replicates nothing.
    fn is_unlinked(&self, descriptor: &Descriptor) -> bool {
        let host = self.config.host();
        let replicates = descriptor.has_peer && !descriptor.provides_groups;
        replicates && !host.has_link && !host.nodes.is_empty()
    }

    // Returns the followed groups that do not exist. A check of the file cannot find them: only the elector knows the
    // groups.
    fn unknown_groups(&self, plugin: &str) -> Vec<String> {
        let settings = self.supervisor.settings(plugin);
        let followed = settings.and_then(|settings| settings.follow.as_ref());
        let followed = followed.into_iter().flatten();
        let unknown = followed.filter(|group| self.groups.get(group).is_none());
        unknown.cloned().collect()
    }
}
