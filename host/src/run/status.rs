//! The whole state, for `sparectl status`.

use std::collections::BTreeMap;
use std::time::Duration;

use spared_control::{GroupStatus, InterfaceStatus, Status, Value};
use spared_worker::message::{Forced, Role, Row};

use super::core::Core;
use super::requests::value;
use crate::clock;
use crate::group::{Group, name_of};
use crate::kernel::FenceState;

impl Core {
    pub(super) fn status(&self, rows: &BTreeMap<String, Vec<Row>>) -> Status {
        let groups: Vec<GroupStatus> = self
            .groups
            .iter()
            .map(|(name, group)| self.group_status(name, group, rows.get(&group.owner)))
            .collect();
        Status {
            at: clock::now(),
            node: self.setup.host.node.clone(),
            config: self.setup.digest.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            booted: clock::booted(),
            started: self.started.clone(),
            warnings: self.warnings(&groups),
            groups,
            interfaces: self.interface_status(),
            plugins: self.supervisor.status(),
            last_event: self.events.last().cloned(),
            ..Status::default()
        }
    }

    fn group_status(&self, name: &str, group: &Group, rows: Option<&Vec<Row>>) -> GroupStatus {
        let mut details = details_of(name, rows);
        let quality = match details.get("quality") {
            Some(Value::Number(quality)) => u8::try_from(*quality).unwrap_or(100),
            _ => 100,
        };
        GroupStatus {
            name: name.to_owned(),
            role: name_of(group.role).to_owned(),
            since: group.since.clone(),
            why: group.why.clone(),
            forced: forced_word(group.forced).to_owned(),
            quality,
            fence: fence_word(self.kernel.fence_status(name)).to_owned(),
            lease_ms: Duration::from_nanos(group.claims.lease_ns).as_secs_f64() * 1000.0,
            addresses: self.kernel.address_status(name),
            conflict: take_text(&mut details, "conflict"),
            other_active: take_text(&mut details, "other_active"),
            details,
            transitions: group.transitions,
        }
    }

    fn interface_status(&self) -> Vec<InterfaceStatus> {
        let followed = self.seen.iter();
        followed
            .map(|(name, seen)| InterfaceStatus {
                name: name.clone(),
                state: seen.state.to_owned(),
                since: seen.since.clone(),
            })
            .collect()
    }

    /// What is degraded and is not to be seen in the rest of the answer.
    fn warnings(&self, groups: &[GroupStatus]) -> Vec<String> {
        let gone = self.unfenced.as_ref();
        let gone = gone.map(|why| format!("the fence is gone: {why}"));
        let closed = groups
            .iter()
            .filter(|group| group.role == name_of(Role::Active) && group.fence == "closed")
            .map(|group| {
                let name = &group.name;
                format!("{name}: active, and its fence is closed: nobody gets an answer")
            });
        let lost = self.supervisor.names();
        let lost = lost.iter().flat_map(|plugin| self.followed_in_vain(plugin));
        let link = self.link_warnings();
        gone.into_iter()
            .chain(closed)
            .chain(lost)
            .chain(link)
            .collect()
    }

    // Which groups there are, only the plugin that decides about them knows, so no check finds it.
    fn followed_in_vain(&self, plugin: &str) -> Vec<String> {
        let settings = self.supervisor.settings(plugin);
        let followed = settings.and_then(|settings| settings.follow.as_ref());
        let unknown = followed
            .into_iter()
            .flatten()
            .filter(|group| self.groups.get(group).is_none());
        unknown
            .map(|group| format!("{plugin}.toml: follow: there is no group \"{group}\""))
            .collect()
    }

    /// One line, for systemd.
    pub(super) fn summary(&self) -> String {
        let groups: Vec<String> = self
            .groups
            .iter()
            .map(|(name, group)| format!("{name}: {}", name_of(group.role)))
            .collect();
        match groups.is_empty() {
            true if !self.setup.plugins.iter().any(|plugin| plugin.enabled) => {
                "nothing configured".to_owned()
            }
            true => "no group".to_owned(),
            false => groups.join(", "),
        }
    }
}

// The provider's rows about this group, without the group's name.
fn details_of(group: &str, rows: Option<&Vec<Row>>) -> BTreeMap<String, Value> {
    let prefix = format!("{group}.");
    let rows = rows.into_iter().flatten();
    rows.filter_map(|row| {
        let key = row.key.strip_prefix(&prefix)?;
        Some((key.to_owned(), value(row.value.clone())))
    })
    .collect()
}

fn take_text(details: &mut BTreeMap<String, Value>, key: &str) -> Option<String> {
    match details.remove(key)? {
        Value::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn forced_word(forced: Forced) -> &'static str {
    match forced {
        Forced::No => "no",
        Forced::Active => "active",
        Forced::Backup => "backup",
    }
}

fn fence_word(fence: FenceState) -> &'static str {
    match fence {
        FenceState::Held => "held",
        FenceState::Closed => "closed",
        FenceState::Unfenced => "unfenced",
    }
}
