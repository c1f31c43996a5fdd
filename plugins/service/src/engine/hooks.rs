//! Hooks: the administrator's programs, which run when all items of a group are as its role wants them.

use std::path::PathBuf;
use std::time::Duration;

use spared_sdk::Role;

use super::group::HookRun;
use super::{Action, Engine};
use crate::config::Notify;
use crate::job::Job;

impl Engine {
    /// Handles the contents of the folder read for [`Action::ReadHooks`]. `refused` has a sentence for each refused hook.
    pub fn handle_hooks(
        &mut self,
        now_ns: u64,
        group: &str,
        role: Role,
        found: (Vec<String>, Vec<String>),
    ) {
        let (hooks, refused) = found;
        let Some(known) = self.groups.get_mut(group) else {
            return;
        };
        known.hooks.is_reading = false;
        if known.role != role || known.hooks.last_role != Some(role) {
            // the hooks of the newer role waited for this
            return self.step(now_ns);
        }
        for why in &refused {
            known.hooks.failures = known.hooks.failures.saturating_add(1);
            known.hooks.last_fault = Some(why.clone());
            let text = format!("{group}: hook refused: {why}");
            self.actions.push_back(Action::Event(text));
        }
        known.hooks.queue = hooks.into();
        self.step(now_ns);
    }

    /// Continues with the hooks of a group all of whose items have had their first try.
    pub(super) fn advance_hooks(&mut self, now_ns: u64, name: &str) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        if group.hooks.run.is_some() || group.hooks.is_reading {
            return;
        }
        if std::mem::take(&mut group.hooks.is_due) {
            let role = group.role;
            let is_known = group.hooks.last_role == Some(role);
            // A role that went before its hooks began was not announced, nor is its end. A role that returns before all
            // of them ran has them run from the first on, and so has one whose worker ended.
            let is_incomplete = std::mem::take(&mut group.hooks.is_incomplete);
            let is_conflict_won = std::mem::take(&mut group.hooks.is_conflict_won);
            if is_known && !(is_incomplete || is_conflict_won) {
                return;
            }
            group.hooks.is_reading = true;
            group.hooks.queue.clear();
            if !is_known || is_conflict_won {
                group.hooks.previous = group.hooks.last_role.replace(role);
                group.hooks.is_repetition = false;
            }
            self.actions.push_back(Action::ReadHooks {
                group: name.to_owned(),
                role,
                folder: self.folder(role),
            });
            return;
        }
        if let Some(path) = group.hooks.queue.pop_front() {
            self.begin_hook(now_ns, name, path);
        }
    }

    /// Records the hooks: before the first one of a role begins, and when the last one has ended.
    pub(super) fn remember_hooks(&mut self) {
        for (name, group) in &self.groups {
            if let Some(record) = group.hooks.to_record() {
                self.carry_over.set(&record_key(name), record);
            }
        }
    }

    /// Name of the user who runs hooks; None: root.
    pub fn hook_user(&self) -> Option<&str> {
        self.settings.hook_user.as_deref()
    }

    pub(super) fn folder(&self, role: Role) -> PathBuf {
        self.settings.hooks.join(format!("{role}.d"))
    }

    fn begin_hook(&mut self, now_ns: u64, name: &str, path: String) {
        let number = self.next_number();
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        group.hooks.run = Some(HookRun {
            number,
            path: path.clone(),
            began_ns: now_ns,
            until_ns: now_ns.saturating_add(self.settings.hook_timeout_ns),
        });
        let (role, previous) = (group.role, group.hooks.previous);
        let mut argv = vec![path];
        argv.extend(match self.settings.notify {
            Notify::Spared => [name.to_owned(), role.to_string(), role_or_none(previous)].to_vec(),
            // keepalived also passes 0 as the priority of a group
            Notify::Keepalived => ["GROUP", name, keepalived_state(role), "0"]
                .map(str::to_owned)
                .to_vec(),
        });
        let environment = self.environment(Some(name), role, previous);
        let job = Job::Run {
            argv,
            environment,
            user: self.settings.hook_user.clone(),
        };
        self.actions.push_back(Action::Begin { number, job });
    }

    /// True if the number was that of a hook.
    pub(super) fn end_hook(
        &mut self,
        now_ns: u64,
        number: u64,
        result: &Result<(), String>,
    ) -> bool {
        let ended = self.groups.iter_mut().find_map(|(name, group)| {
            let run = group.hooks.run.take_if(|run| run.number == number)?;
            Some((name, group, run))
        });
        let Some((name, group, run)) = ended else {
            return false;
        };
        group.hooks.ended.runs += 1;
        group.hooks.ended.time += Duration::from_nanos(now_ns.saturating_sub(run.began_ns));
        if let Err(why) = result {
            let text = format!("{name}: hook {}: {why}", run.path);
            group.hooks.failures = group.hooks.failures.saturating_add(1);
            group.hooks.last_fault = Some(format!("{}: {why}", run.path));
            self.actions.push_back(Action::Event(text));
        }
        true
    }

    pub(super) fn environment(
        &self,
        group: Option<&str>,
        role: Role,
        previous: Option<Role>,
    ) -> Vec<(String, String)> {
        // for an item of all groups: the first group that has this role
        let decides = || {
            let same = self.groups.iter().filter(|(_, group)| group.role == role);
            let first = same.min_by_key(|(_, group)| group.is_withdrawn);
            first.map_or("", |(name, _)| name.as_str())
        };
        let group = group.unwrap_or_else(decides);
        let why = self.groups.get(group).map_or("", |group| &group.why);
        let maintenance = if self.maintenance { "yes" } else { "no" };
        let pairs = [
            ("SPARED_GROUP", group),
            ("SPARED_ROLE", &role.to_string()),
            ("SPARED_PREVIOUS", &role_or_none(previous)),
            ("SPARED_WHY", why),
            ("SPARED_NODE", &self.node),
            ("SPARED_MAINTENANCE", maintenance),
        ];
        pairs
            .map(|(key, value)| (key.to_owned(), value.replace('\0', "")))
            .to_vec()
    }
}

pub(super) fn record_key(group: &str) -> String {
    format!("hooks {group:?}")
}

fn role_or_none(role: Option<Role>) -> String {
    role.map_or_else(|| "none".to_owned(), |role| role.to_string())
}

fn keepalived_state(role: Role) -> &'static str {
    match role {
        Role::Active => "MASTER",
        Role::Fault => "FAULT",
        _ => "BACKUP",
    }
}
