//! Plugins as `sparectl plugins` shows them.

use caps::Capability;
use spared_abi::PLUGIN_REALTIME;
use spared_control::PluginStatus;
use spared_pair::PluginState;

use super::Supervisor;
use super::plugin::{Plugin, State};

impl Supervisor {
    pub fn status(&self) -> Vec<PluginStatus> {
        self.plugins
            .values()
            .map(|plugin| self.status_of(plugin))
            .collect()
    }

    /// Where an enabled plugin is on the way to running, and why it does not run.
    pub fn state(&self, name: &str) -> (PluginState, String) {
        let Some(plugin) = self.plugins.get(name) else {
            return (PluginState::Starting, String::new());
        };
        let state = match plugin.state {
            State::Running => PluginState::Running,
            State::Stopping | State::Disabled => PluginState::Stopping,
            State::Pausing { .. } => PluginState::Restarting,
            State::Failed => PluginState::Failed,
            State::Refused => PluginState::Refused,
            State::Checking
            | State::Loading
            | State::Configuring
            | State::Configured
            | State::Starting => PluginState::Starting,
        };
        (state, plugin.why.clone())
    }

    fn status_of(&self, plugin: &Plugin) -> PluginStatus {
        let descriptor = plugin.descriptor.as_ref();
        let capabilities = if plugin.is_root() {
            vec!["root".to_owned()]
        } else {
            capability_names(plugin.capabilities())
        };
        let pid = plugin.running.as_ref().map(|running| running.worker.pid());
        PluginStatus {
            name: plugin.name().to_owned(),
            version: descriptor.map(|d| d.version.clone()).unwrap_or_default(),
            summary: descriptor.map(|d| d.summary.clone()).unwrap_or_default(),
            state: state_word(plugin.state).to_owned(),
            why: plugin.why.clone(),
            pid,
            restarts: plugin.restarts,
            capabilities,
            scheduling: self.scheduling(plugin, pid),
        }
    }

    fn scheduling(&self, plugin: &Plugin, pid: Option<u32>) -> String {
        let wants = plugin
            .descriptor
            .as_ref()
            .is_some_and(|d| d.flags & PLUGIN_REALTIME != 0)
            && !plugin.is_root();
        let Some(pid) = pid else { return String::new() };
        match (wants, self.terms.realtime, is_realtime(pid)) {
            (_, _, true) => "real-time",
            (false, ..) => "normal",
            (true, false, _) => "normal: spared.toml says realtime = false",
            (true, true, false) => "normal: real-time priority is not permitted here",
        }
        .to_owned()
    }
}

fn state_word(state: State) -> &'static str {
    match state {
        State::Disabled => "disabled",
        State::Checking
        | State::Loading
        | State::Configuring
        | State::Configured
        | State::Starting => "starting",
        State::Running => "running",
        State::Stopping => "stopping",
        State::Pausing { .. } => "restarting",
        State::Failed => "failed",
        State::Refused => "refused",
    }
}

fn capability_names(set: u64) -> Vec<String> {
    caps::all()
        .into_iter()
        .filter(|capability: &Capability| set & capability.bitmask() != 0)
        .map(|capability| {
            capability
                .to_string()
                .to_lowercase()
                .replacen("cap_", "", 1)
        })
        .collect()
}

// Field 41 of /proc/PID/stat is the policy; the command in parentheses may hold anything.
fn is_realtime(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let policy = after_name.split_ascii_whitespace().nth(38);
    matches!(policy, Some("1" | "2"))
}
