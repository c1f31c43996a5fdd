//! Reload: everything is checked before anything changes, and only differences are applied.
//!
//! Checks run in short-lived workers while the loop continues, so no advert waits for a reload. Requests
//! that arrive meanwhile are served by one more reload, which reads the newest files.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use spared_config::{Fault, Host, Link, Plugin, Setup};
use spared_control::{Answer, ErrorCode};
use spared_message::notice::{Kind, Notice};
use spared_process::clock;
use spared_requests::lost;
use spared_supervisor::Returned;
use spared_worker::message::Role;

use super::r#loop::{Loop, nanoseconds};

const APPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// The reload in progress, and the request for the next one.
#[derive(Debug, Default)]
pub struct Reload {
    stage: Stage,
    wish: Wish,
    /// Requests that came after the files were read.
    next: Option<Wish>,
}

/// Clients that wait for a reload.
#[derive(Debug, Default)]
struct Wish {
    clients: Vec<u64>,
    /// One of them wants the reload even if an active group loses addresses.
    anyway: bool,
}

impl Wish {
    fn join(&mut self, client: Option<u64>, anyway: bool) {
        self.clients.extend(client);
        self.anyway |= anyway;
    }
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    Checking {
        setup: Box<Setup>,
        waiting: BTreeSet<String>,
        faults: Vec<Fault>,
    },
    Applying {
        /// Plugins whose `configure` or `stop` has not returned.
        waiting: BTreeSet<String>,
        /// Plugins that were started, and should run at the end.
        started: Vec<String>,
        lines: Vec<String>,
        faults: Vec<String>,
        until: Instant,
    },
}

impl Loop {
    /// Requests a reload, for SIGHUP or for a client that waits for the result.
    pub(super) fn request_reload(&mut self, now: Instant, client: Option<u64>, anyway: bool) {
        if self.stop.is_some() {
            let answer = spared_control::refusal(ErrorCode::Refused, "spared is stopping");
            return client.map_or((), |client| self.answer(now, client, &answer));
        }
        if !matches!(self.reload.stage, Stage::Idle) {
            let next = self.reload.next.get_or_insert_default();
            return next.join(client, anyway);
        }
        self.reload.wish.join(client, anyway);
        self.begin_reload(now);
    }

    pub(super) fn reload_timeout(&self) -> Option<Instant> {
        match self.reload.stage {
            Stage::Applying { until, .. } => Some(until),
            _ => None,
        }
    }

    fn begin_reload(&mut self, now: Instant) {
        self.service.reloading();
        let setup = match Setup::read(&self.here.options().config()) {
            Ok(setup) => setup,
            Err(faults) => return self.refuse_reload(now, faults),
        };
        let faults = setup.faults();
        let checked: Vec<Plugin> = setup
            .plugins
            .iter()
            .filter(|plugin| self.needs_check(plugin, &setup))
            .cloned()
            .collect();
        let waiting = checked.iter().map(|plugin| plugin.name.clone()).collect();
        let host = setup.host.clone();
        self.reload.stage = Stage::Checking {
            setup: Box::new(setup),
            waiting,
            faults,
        };
        for plugin in checked {
            self.supervisor.validate(&self.poller, now, plugin, &host);
        }
        self.end_checking(now);
    }

    fn needs_check(&self, plugin: &Plugin, setup: &Setup) -> bool {
        plugin.enabled && plugin.faults.is_empty() && self.is_changed(plugin, setup)
    }

    fn is_changed(&self, plugin: &Plugin, setup: &Setup) -> bool {
        setup.host.surroundings() != self.here.host().surroundings()
            || !self.supervisor.is_running(&plugin.name)
            || self.supervisor.settings(&plugin.name) != Some(plugin)
    }

    pub(super) fn handle_validated(&mut self, now: Instant, plugin: &str, found: Vec<Fault>) {
        if let Stage::Checking {
            waiting, faults, ..
        } = &mut self.reload.stage
        {
            waiting.remove(plugin);
            faults.extend(found);
            self.end_checking(now);
        }
    }

    fn end_checking(&mut self, now: Instant) {
        if !matches!(&self.reload.stage, Stage::Checking { waiting, .. } if waiting.is_empty()) {
            return;
        }
        match std::mem::take(&mut self.reload.stage) {
            Stage::Checking { setup, faults, .. } if faults.is_empty() => {
                let lost = self.lost_addresses(&setup);
                match lost.is_empty() || self.reload.wish.anyway {
                    true => self.apply(now, *setup),
                    false => self.refuse_to_take(now, lost),
                }
            }
            Stage::Checking { faults, .. } => self.refuse_reload(now, faults),
            other => self.reload.stage = other,
        }
    }

    /// A sentence for each active group with addresses that are in the old file and not in the new one.
    fn lost_addresses(&self, setup: &Setup) -> Vec<String> {
        let active = self.groups.iter().filter(|it| it.1.role == Role::Active);
        let lost = active.filter_map(|(name, group)| {
            let old = &self.supervisor.settings(&group.owner)?.text;
            let new = setup.plugin(&group.owner).filter(|it| it.enabled);
            let held = group.claims.addresses.iter().map(|it| it.address);
            let lost = lost(held, old, new.map_or("", |plugin| &plugin.text));
            (!lost.is_empty()).then(|| {
                let (node, lost) = (self.here.node(), lost.join(", "));
                format!("{name}: {node} is active, and would lose {lost} at once")
            })
        });
        lost.collect()
    }

    fn refuse_reload(&mut self, now: Instant, faults: Vec<Fault>) {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        for line in &lines {
            log::error!("{line}");
        }
        let count = match lines.len() {
            1 => "1 fault".to_owned(),
            count => format!("{count} faults"),
        };
        self.tell_refused(&count, &lines);
        let code = ErrorCode::Config;
        self.end_reload(now, &Answer::Error { code, lines });
    }

    fn refuse_to_take(&mut self, now: Instant, mut lines: Vec<String>) {
        self.tell_refused("an active group would lose addresses", &lines);
        lines.push("use --anyway to override".to_owned());
        let code = ErrorCode::Refused;
        self.end_reload(now, &Answer::Error { code, lines });
    }

    fn tell_refused(&mut self, why: &str, lines: &[String]) {
        let lines = lines.join("; ");
        let text = format!("reload refused, {why}: nothing changed. {lines}");
        self.notices
            .record(Notice::warn(Kind::Reload, text).because("refused"));
    }

    fn apply(&mut self, now: Instant, setup: Setup) {
        let old = self.here.replace(setup);
        let setup = self.here.setup().clone();
        log::set_max_level(setup.host.log_level);
        self.groups.set_settle(nanoseconds(setup.host.settle));
        self.supervisor.set_terms(self.here.terms());
        if let Err(why) = self.starter.borrow_mut().configure(&setup.digest) {
            log::warn!("processes start with the rights of before: {why}");
        }
        self.reload.stage = Stage::Applying {
            waiting: BTreeSet::new(),
            started: Vec::new(),
            lines: [at_once(&old.host, &setup.host), later(&old, &setup)].concat(),
            faults: Vec::new(),
            until: now + APPLY_TIMEOUT,
        };
        for name in self.supervisor.names() {
            if setup.plugin(&name).is_none_or(|plugin| !plugin.enabled) {
                self.apply_absence(now, &name);
            }
        }
        self.configure_link(now);
        self.pair.compare_files(&self.here);
        let renamed = old.host.surroundings() != setup.host.surroundings();
        for plugin in setup.plugins {
            self.apply_plugin(now, plugin, renamed);
        }
    }

    fn apply_absence(&mut self, now: Instant, name: &str) {
        if !self.supervisor.has_worker(name) {
            return self.supervisor.remove(now, name);
        }
        self.wait_for(name);
        self.supervisor.stop(now, name);
    }

    fn apply_plugin(&mut self, now: Instant, plugin: Plugin, renamed: bool) {
        let name = plugin.name.clone();
        if !plugin.enabled {
            if self.supervisor.settings(&name).is_none() {
                self.supervisor.add(&self.poller, now, plugin);
            }
            return;
        }
        if !self.supervisor.is_running(&name) {
            if self.supervisor.has_worker(&name) {
                // Its worker is still starting: it starts again with the new file.
                self.supervisor.set_settings(&name, plugin);
                return self.supervisor.restart(&self.poller, now, &name);
            }
            if let Stage::Applying { started, .. } = &mut self.reload.stage {
                started.push(name);
            }
            return self.supervisor.add(&self.poller, now, plugin);
        }
        let Some(old) = self.supervisor.settings(&name).cloned() else {
            return;
        };
        if old == plugin && !renamed {
            return;
        }
        let other = match plugin.allow == old.allow {
            false => Some("changed capabilities"),
            true => (plugin.memory_mib != old.memory_mib).then_some("a changed memory limit"),
        };
        self.supervisor.set_settings(&name, plugin);
        let Some(other) = other else {
            self.wait_for(&name);
            return self.supervisor.reconfigure(now, &name);
        };
        self.note(format!("{name}: restarted with {other}"));
        self.wait_for(&name);
        self.supervisor.stop(now, &name);
    }

    pub(super) fn handle_reconfigured(
        &mut self,
        now: Instant,
        name: &str,
        result: Result<Returned, Vec<String>>,
    ) {
        match result {
            Ok(Returned::Live) => {
                let follower = self.follower(name);
                self.groups
                    .handle_follower_changed(clock::monotonic_ns(), name, follower);
                self.note(format!("{name}: new configuration in force"));
            }
            Ok(Returned::Restart) => {
                // Stopped first, so that an elector resigns instead of falling silent.
                self.note(format!("{name}: restarted for its new configuration"));
                return self.supervisor.stop(now, name);
            }
            Err(found) => {
                for line in &found {
                    log::error!("{line}");
                }
                if let Stage::Applying { faults, .. } = &mut self.reload.stage {
                    faults.extend(found);
                }
            }
        }
        self.no_longer_wait_for(name);
    }

    /// Handles a plugin that has stopped, to be removed or to be restarted with its new configuration.
    pub(super) fn handle_stopped(&mut self, now: Instant, name: &str) {
        if self.stop.is_some() {
            return self.handle_plugin_stopped(now, name);
        }
        match self.here.setup().plugin(name).cloned() {
            Some(plugin) if plugin.enabled => self.supervisor.restart(&self.poller, now, name),
            left => {
                self.note(format!("{name}: stopped"));
                self.supervisor.remove(now, name);
                if let Some(disabled) = left {
                    self.supervisor.add(&self.poller, now, disabled);
                }
            }
        }
        self.no_longer_wait_for(name);
    }

    /// Ends a reload when all plugins have answered and started, or after `APPLY_TIMEOUT`.
    pub(super) fn go_on_reloading(&mut self, now: Instant) {
        let Stage::Applying { waiting, until, .. } = &self.reload.stage else {
            return;
        };
        if now < *until && !(waiting.is_empty() && self.supervisor.is_settled()) {
            return;
        }
        let Stage::Applying {
            waiting,
            started,
            mut lines,
            mut faults,
            ..
        } = std::mem::take(&mut self.reload.stage)
        else {
            return;
        };
        faults.extend(
            waiting
                .iter()
                .map(|name| format!("{name}: does not answer")),
        );
        for name in started {
            match self.supervisor.is_running(&name) {
                true => lines.push(format!("{name}: started")),
                false => faults.push(self.supervisor.why(&name)),
            }
        }
        let text = format!("reloaded, configuration {}", self.here.setup().digest);
        self.notices
            .record(Notice::new(Kind::Reload, text.clone()).because("reloaded"));
        if lines.is_empty() {
            lines.push("nothing changed".to_owned());
        }
        lines.push(text);
        let answer = if faults.is_empty() {
            Answer::Done { lines }
        } else {
            Answer::Error {
                code: ErrorCode::Failed,
                lines: faults,
            }
        };
        self.end_reload(now, &answer);
    }

    fn end_reload(&mut self, now: Instant, answer: &Answer) {
        self.service.ready(&self.view().summary());
        self.reload.stage = Stage::Idle;
        for client in std::mem::take(&mut self.reload.wish).clients {
            self.answer(now, client, answer);
        }
        if let Some(next) = self.reload.next.take() {
            self.reload.wish = next;
            self.begin_reload(now);
        }
    }

    fn note(&mut self, line: String) {
        if let Stage::Applying { lines, .. } = &mut self.reload.stage {
            lines.push(line);
        }
    }

    fn wait_for(&mut self, name: &str) {
        if let Stage::Applying { waiting, .. } = &mut self.reload.stage {
            waiting.insert(name.to_owned());
        }
    }

    fn no_longer_wait_for(&mut self, name: &str) {
        if let Stage::Applying { waiting, .. } = &mut self.reload.stage {
            waiting.remove(name);
        }
    }
}

// Changes outside the plugins' files that are in force at once.
fn at_once(old: &Host, new: &Host) -> Vec<String> {
    let mut lines = Vec::new();
    if old.log_level != new.log_level {
        lines.push(format!("log.level: {}", new.log_level).to_lowercase());
    }
    if old.settle != new.settle {
        lines.push(format!("settle_ms: {}", new.settle.as_millis()));
    }
    let link = match (&old.link, &new.link) {
        (Some(old), Some(new)) => changes(old, new),
        (None, Some(link)) => vec![format!("nodes: {} is the peer from now on", link.peer)],
        (Some(link), None) => vec![format!("nodes: {} is no longer the peer", link.peer)],
        (None, None) => Vec::new(),
    };
    lines.extend(link);
    lines
}

fn changes(old: &Link, new: &Link) -> Vec<String> {
    let peer = &new.peer;
    let lines = [
        (
            old.peer != new.peer,
            format!("nodes: {peer} is the peer from now on"),
        ),
        (
            old.keys != new.keys,
            format!("nodes: new keys between this node and {peer}"),
        ),
        (
            old.paths != new.paths || old.port != new.port,
            format!("link: new paths to {peer}"),
        ),
        (old.chain != new.chain, "firewall.chain: changed".to_owned()),
    ];
    let lines = lines.into_iter().filter(|(is_other, _)| *is_other);
    lines.map(|(_, line)| line).collect()
}

// Changes that need a restart.
fn later(old: &Setup, new: &Setup) -> Vec<String> {
    let mut lines = Vec::new();
    if old.host.realtime != new.host.realtime {
        lines.push("realtime: takes effect for the host when spared is restarted".to_owned());
    }
    if old.host.fenced != new.host.fenced {
        lines.push("fence: takes effect when spared is restarted".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests;
