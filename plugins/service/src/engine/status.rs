//! Rows of `sparectl service`.

use std::time::Duration;

use spared_sdk::Value;
use spared_sdk::config::format_duration;

use super::goal::{Goal, Task};
use super::item::Item;
use super::watch::is_unit;
use super::{Engine, Group};
use crate::job::{Job, Status};

impl Engine {
    /// Summary such as "3 of 3 running": the services by their goals.
    pub fn summary(&self) -> String {
        let count = |goal: &Goal, word: &str| {
            let all = self.items.iter().filter(|item| item.pursuit.is_for(goal));
            let fine = all.clone().filter(|item| item.is_reached()).count();
            let all = all.count();
            (all > 0).then(|| format!("{fine} of {all} {word}"))
        };
        let running = count(&Goal::Running, "running");
        let parts = [running, count(&Goal::Stopped, "stopped")];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let faults = self
            .items
            .iter()
            .filter(|item| item.pursuit.fault().is_some());
        let others = faults.filter(|item| item.service.is_none()).count();
        let mut text = if parts.is_empty() {
            "no service".to_owned()
        } else {
            parts.join(", ")
        };
        let tested = self.items.iter().filter(|it| it.foreseen_fault().is_some());
        let tested = tested.count();
        if tested > 0 {
            text = format!("{text}, {tested} would not start");
        }
        if others > 0 {
            text = format!("{text}, {others} others failed");
        }
        if self.no_signals_reason().is_some() {
            text = format!("{text}; units are polled: no D-Bus signals");
        }
        text
    }

    /// True if some item is not as it should be.
    pub fn wants_attention(&self) -> bool {
        let is_wrong =
            |item: &Item| item.pursuit.fault().is_some() || item.foreseen_fault().is_some();
        self.items.iter().any(is_wrong) || !self.removed.is_empty()
    }

    /// Services that do not exist on this machine, or would not start.
    pub fn unstartable(&self) -> Vec<(String, Value)> {
        let items = self.items.iter();
        let missing = items.filter_map(|item| match item.observation.status() {
            Some(Status::Missing(why)) => Some((item.name().to_owned(), Value::Text(why.clone()))),
            _ => Some((item.name().to_owned(), Value::Text(item.foreseen_fault()?))),
        });
        missing.collect()
    }

    /// Rows of hooks by group, for metrics.
    pub fn metrics(&self) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for (name, group) in &self.groups {
            group.hook_rows(name, &mut rows);
        }
        rows
    }

    /// Rows of every item, in the order in which a node becomes active, then of hooks.
    pub fn rows(&self, now_ns: u64) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for item in &self.items {
            item.rows(now_ns, &mut rows);
            let is_unit = item.service.as_ref().is_some_and(is_unit);
            if let Some(why) = self.no_signals_reason().filter(|_| is_unit) {
                let every = Duration::from_nanos(self.settings.poll_interval_ns);
                let every = format_duration(every);
                let text = format!("every {every}, as no D-Bus signals come: {why}");
                rows.push((format!("{}.polled", item.name()), Value::Text(text)));
            }
        }
        for removed in &self.removed {
            let state = "not in service.toml, and still runs".to_owned();
            rows.push((format!("{}.left", removed.name()), Value::Text(state)));
        }
        for (name, group) in &self.groups {
            group.rows(name, &mut rows);
        }
        rows
    }
}

impl Item {
    fn rows(&self, now_ns: u64, rows: &mut Vec<(String, Value)>) {
        let name = self.name();
        let mut put = |key: &str, value| rows.push((format!("{name}.{key}"), value));
        let has_role = self.membership.role().is_some();
        let wish = match self.role_doubt().filter(|_| !has_role) {
            Some(why) => format!("leave: {why}"),
            None => wish(self.pursuit.goal()),
        };
        put("wish", Value::Text(wish));
        let wished_s = now_ns.saturating_sub(self.pursuit.since_ns()) / 1_000_000_000;
        put("wished_s_ago", Value::Number(wished_s));
        if self.service.is_some() {
            put("status", Value::Text(self.status_word()));
            let since_s = now_ns.saturating_sub(self.observation.changed_ns()) / 1_000_000_000;
            put("changed_s_ago", Value::Number(since_s));
            put(
                "started_by_others",
                Value::Counter(self.history.started_by_others()),
            );
        } else {
            let state = if self.pursuit.fault().is_some() {
                "failed"
            } else {
                "done"
            };
            let is_done = self.is_reached() && !self.is_first_try();
            let state = if is_done || self.pursuit.fault().is_some() {
                state
            } else {
                "to be done"
            };
            put("status", Value::Text(state.to_owned()));
        }
        if let Some(job) = self.work.job() {
            put("job", Value::Text(job.kind.word().to_owned()));
        } else if let Some(retry_ns) = self
            .pursuit
            .retry_ns()
            .filter(|retry_ns| *retry_ns > now_ns)
        {
            let in_s = retry_ns.saturating_sub(now_ns).div_ceil(1_000_000_000);
            put("retry_in_s", Value::Number(in_s));
        }
        put("failures", Value::Counter(self.history.failures()));
        if let Some(fault) = self.pursuit.fault() {
            put("fault", Value::Text(fault.clone()));
        }
        if let Some(fault) = self.foreseen_fault() {
            put("test", Value::Text(fault));
        }
        if let Some(fault) = self.history.last_fault() {
            put("last_fault", Value::Text(fault.to_owned()));
        }
    }

    fn status_word(&self) -> String {
        let Some(status) = self.observation.status() else {
            return "not seen yet".to_owned();
        };
        match status {
            Status::Running | Status::Restarted => "running".to_owned(),
            Status::Stopped => "stopped".to_owned(),
            Status::AwaitsTrigger(by) => format!("waits for {by}"),
            Status::EndsByItself => "ends by itself".to_owned(),
            Status::Starting => "starting".to_owned(),
            Status::Stopping => "stopping".to_owned(),
            Status::Failed(why) => format!("failed: {why}"),
            Status::Missing(why) => format!("missing: {why}"),
            Status::Unknown(why) => format!("unknown: {why}"),
        }
    }
}

impl Group {
    fn rows(&self, name: &str, rows: &mut Vec<(String, Value)>) {
        let mut put = |key: &str, value| rows.push((format!("group.{name}.{key}"), value));
        put("role", Value::Text(self.role.to_string()));
        if let Some(run) = &self.hooks.run {
            put("hook", Value::Text(run.path.clone()));
        }
        if let Some(fault) = &self.hooks.last_fault {
            put("last_hook_fault", Value::Text(fault.clone()));
        }
        self.hook_rows(name, rows);
    }

    fn hook_rows(&self, name: &str, rows: &mut Vec<(String, Value)>) {
        let mut put = |key: &str, value| rows.push((format!("group.{name}.{key}"), value));
        put("hook_runs", Value::Counter(self.hooks.ended.runs));
        put("hook_time", Value::TimeCounter(self.hooks.ended.time));
        put("hook_failures", Value::Counter(self.hooks.failures));
    }
}

fn wish(goal: &Goal) -> String {
    match goal {
        Goal::Leave => "leave".to_owned(),
        Goal::Running => "running".to_owned(),
        Goal::Stopped => "stopped".to_owned(),
        Goal::Once(Task::Reload) => "reload".to_owned(),
        Goal::Once(Task::Command(argv)) => argv.join(" "),
        Goal::Once(Task::Job(job)) | Goal::Kept(job) => wanted_state(job),
    }
}

fn wanted_state(job: &Job) -> String {
    match job {
        Job::Link { up: true, .. } => "up".to_owned(),
        Job::Link { up: false, .. } => "down".to_owned(),
        Job::Setting { value, .. } => value.clone(),
        Job::Rules { file } | Job::CheckRules { file } => file.display().to_string(),
        Job::Copy { from, .. } => format!("as {}", from.display()),
        Job::Route { present: true, .. } => "present".to_owned(),
        Job::Route { present: false, .. } => "absent".to_owned(),
        _ => String::new(),
    }
}
