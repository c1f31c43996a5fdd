//! The plugin's file in the form that the engine uses; *spared-sets*(5) is the manual of the keys.

use std::collections::BTreeSet;
use std::time::Duration;

use spared_sdk::config::{Config, Section};
use spared_sdk::nanoseconds;

use crate::SECOND;
use crate::element::{Family, SetName};

/// The kernel's maximum length of a name, without NUL.
const NAME_MAX: usize = 255;
/// Maximum number of sets: more would give more rows than `sparectl` accepts.
pub const SETS_MAX: usize = 64;

/// Treatment of the elements of a set when a ruleset creates the set again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reload {
    /// The elements are added again.
    #[default]
    Refill,
    /// The elements count as deleted, except those that the ruleset names.
    Flush,
}

impl Reload {
    const ALL: [(&'static str, Self); 2] = [("refill", Self::Refill), ("flush", Self::Flush)];
}

/// Settings of one `[[set]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetSettings {
    pub name: SetName,
    pub reload: Reload,
}

/// Contents of the whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub sets: Vec<SetSettings>,
    pub poll_ns: u64,
    pub resync_ns: u64,
}

impl Settings {
    pub fn names(&self) -> Vec<SetName> {
        self.sets.iter().map(|set| set.name.clone()).collect()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sets: Vec::new(),
            poll_ns: SECOND,
            resync_ns: 60 * SECOND,
        }
    }
}

/// Reads the file; None if `config` has noted faults that leave nothing to return.
pub fn read(config: &Config) -> Option<Settings> {
    let root = config.root();
    let hour = Duration::from_secs(3600);
    let defaults = Settings::default();
    let poll = root.duration("poll_interval", Duration::from_millis(100)..=hour);
    let resync = root.duration("resync_interval", Duration::from_secs(1)..=24 * hour);
    let sections = root.sections("set");
    if sections.is_empty() && !root.has("set") {
        root.fault("set", "missing: name at least one [[set]]");
        return None;
    }
    root.at_most("set", "sets", sections.len(), SETS_MAX);
    let sets: Vec<Option<SetSettings>> = sections.iter().map(set).collect();
    refuse_repeats(&sections, &sets);
    Some(Settings {
        sets: sets.into_iter().collect::<Option<_>>()?,
        poll_ns: poll.map_or(defaults.poll_ns, nanoseconds),
        resync_ns: resync.map_or(defaults.resync_ns, nanoseconds),
    })
}

fn set(section: &Section<'_>) -> Option<SetSettings> {
    let family = section.required("family", section.choice("family", &Family::ALL));
    let table = name(section, "table");
    let name = name(section, "name");
    let reload = section.choice("reload", &Reload::ALL).unwrap_or_default();
    let name = SetName {
        family: family?,
        table: table?,
        name: name?,
    };
    Some(SetSettings { name, reload })
}

/// Reads a name: any name that nft accepts without quotes, or more.
fn name(section: &Section<'_>, key: &str) -> Option<String> {
    let name = section.required(key, section.text(key))?;
    let printable = name.chars().all(|c| c.is_ascii_graphic());
    if name.is_empty() || name.len() > NAME_MAX || !printable {
        let why =
            format!("found {name:?}, allowed up to {NAME_MAX} letters, digits and signs, no space");
        section.fault(key, why);
        return None;
    }
    Some(name)
}

fn refuse_repeats(sections: &[Section<'_>], sets: &[Option<SetSettings>]) {
    let mut seen = BTreeSet::new();
    for (section, set) in sections.iter().zip(sets) {
        let name = set.as_ref().map(|set| &set.name);
        if let Some(name) = name.filter(|name| !seen.insert(*name)) {
            section.fault("name", format!("the set {name} is named twice"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let config = Config::parse(text, "r1", &[]).expect("TOML");
        let _ = read(&config);
        let faults = config.finish().expect_err("something is wrong");
        let lines = faults.iter().map(|it| format!("{}: {}", it.key, it.why));
        lines.collect()
    }

    const SET: &str = "[[set]]\nfamily = \"inet\"\ntable = \"filter\"\nname = \"bans\"\n";

    #[test]
    fn a_file_is_read_and_has_defaults() {
        let config = Config::parse(SET, "r1", &[]).expect("TOML");
        let settings = read(&config).expect("no fault");
        assert_eq!(config.finish(), Ok(()));
        assert_eq!(settings.poll_ns, SECOND);
        assert_eq!(settings.resync_ns, 60 * SECOND);
        assert_eq!(settings.sets[0].name.to_string(), "inet filter bans");
        assert_eq!(settings.sets[0].reload, Reload::Refill);
    }

    #[test]
    fn no_set_at_all_is_a_fault() {
        assert_eq!(faults(""), ["set: missing: name at least one [[set]]"]);
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let text = format!(
            "poll_interval = \"1ms\"\n{SET}{SET}[[set]]\nfamily = \"arp\"\ntable = \"a b\"\n\
             size = 1\n"
        );
        let faults = faults(&text);
        for part in [
            "poll_interval: found \"1ms\", allowed \"100ms\" to \"1h\"",
            "set.1.name: the set inet filter bans is named twice",
            "set.2.family: found \"arp\", allowed \"inet\"",
            "set.2.table: found \"a b\"",
            "set.2.name: missing",
            "set.2.size: unknown key",
        ] {
            assert!(
                faults.iter().any(|fault| fault.starts_with(part)),
                "{part}: {faults:?}"
            );
        }
        assert_eq!(faults.len(), 6);
    }
}
