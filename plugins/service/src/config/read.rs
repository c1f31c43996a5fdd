//! Reads every key of the file, with its allowed values.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use spared_sdk::config::{Config, Section, node};
use spared_sdk::nanoseconds;

use super::{Item, Kind, Notify, Settings, order};
use crate::job::Manager;

pub(super) const POLL_NS: u64 = 5_000_000_000;
pub(super) const TIMEOUT_NS: u64 = 30_000_000_000;
pub(super) const HOOKS: &str = "/etc/spared/hooks";
/// Maximum number of items: an answer of 64 KiB cannot show more.
const ITEMS_MAX: usize = 256;
const NAME_MAX: usize = 64;

/// Reads the file; None if `config` has noted faults that leave nothing to return.
pub fn read(config: &Config) -> Option<Settings> {
    let root = config.root();
    let managers = [
        ("systemd", Manager::Systemd),
        ("openrc", Manager::OpenRc),
        ("procd", Manager::Procd),
        ("runit", Manager::Runit),
    ];
    let defaults = Settings::default();
    let hour = Duration::from_secs(3600);
    let poll = root.duration("poll_interval", Duration::from_secs(1)..=hour);
    let hooks = path(&root, "hooks");
    let hook_timeout = root.duration("hook_timeout", Duration::from_millis(100)..=hour);
    let hook_user = root.text("hook_user");
    let hook_user = hook_user.filter(|name| fitting_name(&root, "hook_user", name));
    let notify = root.choice(
        "notify",
        &[
            ("spared", Notify::Spared),
            ("keepalived", Notify::Keepalived),
        ],
    );
    let items = items(&root);
    Some(Settings {
        node: config.node().to_owned(),
        manager: root.choice(node("manager"), &managers),
        poll_interval_ns: poll.map_or(defaults.poll_interval_ns, nanoseconds),
        hooks: hooks.unwrap_or(defaults.hooks),
        hook_timeout_ns: hook_timeout.map_or(defaults.hook_timeout_ns, nanoseconds),
        hook_user,
        notify: notify.unwrap_or(defaults.notify),
        items: items?,
    })
}

/// Reads all items, in the order in which a node becomes active.
fn items(root: &Section<'_>) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    let mut names = BTreeSet::new();
    let mut complete = true;
    for (table, reader) in order::READERS {
        for (position, section) in root.sections(*table).iter().enumerate() {
            let found = reader(section, position);
            complete &= found.is_some();
            for item in found.into_iter().flatten() {
                if !names.insert(without_service_suffix(&item.name).to_owned()) {
                    section.fault("", format!("{:?} is named twice", item.name));
                }
                items.push(item);
            }
        }
    }
    root.at_most("", "items", items.len(), ITEMS_MAX);
    read_kept(root, &mut items);
    complete.then_some(items)
}

/// Name without ".service": systemd's "squid" and "squid.service" are the same unit.
pub(crate) fn without_service_suffix(name: &str) -> &str {
    name.strip_suffix(".service").unwrap_or(name)
}

fn read_kept(root: &Section<'_>, items: &mut [Item]) {
    let Some(maintenance) = root.section("maintenance") else {
        return;
    };
    let kept = maintenance.texts("keep").unwrap_or_default();
    for (position, name) in kept.iter().enumerate() {
        let same = |item: &&mut Item| {
            matches!(item.kind, Kind::Service { .. })
                && without_service_suffix(&item.name) == without_service_suffix(name)
        };
        match items.iter_mut().find(same) {
            Some(item) => item.keep = true,
            None => maintenance.fault(
                &format!("keep.{position}"),
                format!("{name:?} is not a unit or name of a [[service]]"),
            ),
        }
    }
}

/// Keys that every table has.
pub(super) struct CommonKeys {
    group: Option<String>,
    timeout_ns: u64,
}

impl CommonKeys {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let hour = Duration::from_secs(3600);
        let timeout = section.duration("timeout", Duration::from_millis(100)..=hour);
        Self {
            group: section.text("group"),
            timeout_ns: timeout.map_or(TIMEOUT_NS, nanoseconds),
        }
    }

    pub(super) fn item(&self, name: String, kind: Kind) -> Item {
        Item {
            name,
            group: self.group.clone(),
            timeout_ns: self.timeout_ns,
            needed: None,
            keep: false,
            test: Vec::new(),
            kind,
        }
    }
}

/// Reads an absolute path, if the key exists.
pub(super) fn path(section: &Section<'_>, key: &str) -> Option<PathBuf> {
    let found = section.text(node(key))?;
    section.fits_path(key, &found).then(|| PathBuf::from(found))
}

/// Reads a command: words, the first of which is an absolute path.
pub(super) fn argv(section: &Section<'_>, key: &str) -> Option<Vec<String>> {
    let words = section.texts(node(key))?;
    match words.first() {
        None => {
            section.fault(key, "is empty, allowed is a command: [\"/path\", \"word\"]");
            None
        }
        Some(program) if words.len() > 64 || words.iter().any(|word| word.contains('\0')) => {
            section.fault(key, format!("{program}: allowed are up to 64 words"));
            None
        }
        Some(program) => section
            .fits_path(&format!("{key}.0"), program)
            .then_some(words),
    }
}

pub(super) fn fitting_name(section: &Section<'_>, key: &str, name: &str) -> bool {
    let fits =
        !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(|c| c.is_ascii_graphic());
    if !fits {
        let why =
            format!("found {name:?}, allowed up to {NAME_MAX} letters, digits and signs, no space");
        section.fault(key, why);
    }
    fits
}
