//! Status of plugins, as `sparectl plugins` shows it.

use spared_message::control::{Confinement, PluginStatus};
use spared_message::starter::CONTROLLERS;
use spared_process::proc::real_time_priority;
use spared_process::worker::capabilities;
use spared_verdict::PluginState;

use super::Supervisor;
use super::memory_limit::used_mib;
use super::plugin::{Plugin, State};

impl Supervisor {
    pub fn status(&self) -> Vec<PluginStatus> {
        self.plugins
            .values()
            .map(|plugin| self.status_of(plugin))
            .collect()
    }

    /// State of an enabled plugin, and the reason why it does not run.
    pub fn state(&self, name: &str) -> (PluginState, String) {
        let Some(plugin) = self.plugins.get(name) else {
            return (PluginState::Starting, String::new());
        };
        let state = match plugin.state {
            State::Running(_) if plugin.trial_end().is_some() => PluginState::Recovering,
            State::Running(_) => PluginState::Running,
            State::Stopping | State::Disabled => PluginState::Stopping,
            State::Pausing(_) => PluginState::Restarting,
            State::Failed(_) => PluginState::Failed,
            State::Refused => PluginState::Refused,
            State::Checking
            | State::Loading
            | State::Configuring
            | State::Configured
            | State::Starting => PluginState::Starting,
        };
        (state, plugin.why.clone())
    }

    /// Faults of a running plugin's file, which the plugin refused at the last reload: it runs with the previous file.
    pub fn refused_file(&self, name: &str) -> &[String] {
        self.running_worker(name)
            .map_or(&[], |it| it.refused.as_slice())
    }

    fn status_of(&self, plugin: &Plugin) -> PluginStatus {
        let descriptor = plugin.descriptor.as_ref();
        let slow_calls = plugin.running().map_or(0, |it| it.slow_calls);
        let pauses = plugin.running().map_or(0, |it| it.share.pauses);
        let pid = plugin.running().map(|running| running.worker.pid());
        PluginStatus {
            name: plugin.name().to_owned(),
            version: descriptor.map(|d| d.version.clone()).unwrap_or_default(),
            summary: descriptor.map(|d| d.summary.clone()).unwrap_or_default(),
            state: state_word(plugin.state).to_owned(),
            why: plugin.why.clone(),
            pid,
            restarts: plugin.restarts,
            slow_calls,
            pauses,
            confinement: self.confinement(plugin, pid),
            verbs: descriptor.map(|d| d.verbs.clone()).unwrap_or_default(),
        }
    }

    fn confinement(&self, plugin: &Plugin, pid: Option<u32>) -> Confinement {
        let (capabilities, rights) = if plugin.is_root() {
            (
                vec!["root".to_owned()],
                vec!["does whatever root may".to_owned()],
            )
        } else {
            (
                capabilities::names(plugin.capabilities()),
                capabilities::words(plugin.capabilities()),
            )
        };
        Confinement {
            memory_mib: pid.map_or(0, used_mib),
            memory_max_mib: plugin.running().and_then(|it| it.memory.max_mib()),
            control_group: pid.map_or_else(String::new, |_| self.control_group(plugin)),
            system_calls: plugin.call_groups(),
            capabilities,
            rights,
            scheduling: self.scheduling(plugin, pid),
        }
    }

    fn control_group(&self, plugin: &Plugin) -> String {
        match &self.about.groups {
            _ if plugin.is_root() => "none: it runs as root".to_owned(),
            Err(why) => format!("none: {why}"),
            Ok(groups) if groups.missing.is_empty() => CONTROLLERS.join(", "),
            Ok(groups) => format!("without {}: not delegated", groups.missing.join(", ")),
        }
    }

    fn scheduling(&self, plugin: &Plugin, pid: Option<u32>) -> String {
        let wants = plugin.rights().realtime;
        let Some(pid) = pid else { return String::new() };
        match (
            wants,
            self.worker_settings.realtime,
            real_time_priority(pid).is_some_and(|it| it > 0),
        ) {
            (_, _, true) => "real-time",
            (false, ..) => "normal",
            (true, false, _) => "normal: realtime = false in spared.toml",
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
        State::Running(_) => "running",
        State::Stopping => "stopping",
        State::Pausing(_) => "restarting",
        State::Failed(_) => "failed",
        State::Refused => "refused",
    }
}
