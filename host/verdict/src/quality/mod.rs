//! Computes the quality of this node, 0 to 100, from the checks of all plugins.
//!
//! By Stormshield's formula the quality is the weighted mean of the states of all checks, rounded down, and 100 if no
//! check has a weight. Points of checks are taken off that. No input or output; times are arguments.
//!
//! A plugin's checks stay as they are while its worker is restarted: a crash says nothing about the uplink. A check is
//! removed if the new worker has not reported it again within [`GRACE`] after it runs. Reported checks stay until the
//! worker withdraws them, also those that it reported before it ran. A plugin that is given up or refused loses its
//! checks, since nothing measures them any longer, and counts as a failed check itself.

mod check;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use spared_contract::check::POINTS_MAX;

use crate::CheckStatus;

pub use check::{Check, CheckReport, Kind};
pub use spared_contract::check::WEIGHT_MAX;

/// Maximum number of checks of one plugin; further ones are ignored.
pub const CHECKS_MAX: usize = 1024;
/// Time in which a restarted plugin must report its checks again.
pub const GRACE: Duration = Duration::from_secs(30);
/// Weight of a plugin that does not run: the default weight of an interface.
const PLUGIN_WEIGHT: u32 = 100;
/// Maximum length of the list of checks that are not good.
const UNFIT_MAX: usize = 128;

/// All checks of this node.
#[derive(Debug)]
pub struct Quality {
    /// Reported checks, by plugin and name.
    checks: BTreeMap<(String, String), Check>,
    /// Plugins that do not run, each as a failed check with the reason.
    failed: BTreeMap<String, Check>,
    /// Restarted plugins, with the end of their grace time.
    grace: BTreeMap<String, Instant>,
    number: u8,
    points: u8,
}

/// A change of the quality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Quality before.
    pub from: u8,
    /// Quality now.
    pub to: u8,
    /// Sentence of the check that caused the change.
    pub why: String,
}

/// Reason why a report is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The name is empty, too long, or has control characters.
    Name,
    /// The plugin has [`CHECKS_MAX`] checks already.
    TooMany,
}

impl Default for Quality {
    fn default() -> Self {
        Self {
            checks: BTreeMap::new(),
            failed: BTreeMap::new(),
            grace: BTreeMap::new(),
            number: 100,
            points: 0,
        }
    }
}

impl Quality {
    /// Returns the quality, 0 to 100.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Returns the points that checks take off the quality and a priority, 0 to 253.
    pub fn points(&self) -> u8 {
        self.points
    }

    /// Handles a plugin's report of a check.
    ///
    /// # Errors
    /// The name is not valid, or the plugin has too many checks.
    pub fn handle_report(
        &mut self,
        plugin: &str,
        kind: Kind,
        said: CheckReport<'_>,
        at: String,
    ) -> Result<Option<Change>, Refused> {
        let name = said.name;
        if !check::is_name(name) {
            return Err(Refused::Name);
        }
        let key = (plugin.to_owned(), name.to_owned());
        if !self.checks.contains_key(&key) && self.count(plugin) >= CHECKS_MAX {
            return Err(Refused::TooMany);
        }
        let mut check = Check::new(kind, said, at);
        if let Some(known) = self.checks.get(&key) {
            check.keep_since(known);
        }
        let is_shared = self.is_shared(plugin, name);
        let sentence = check.sentence(is_shared.then_some(plugin));
        self.checks.insert(key, check);
        Ok(self.weigh(sentence))
    }

    /// Handles the withdrawal of a check by its plugin.
    pub fn handle_forgotten(&mut self, plugin: &str, name: &str) -> Option<Change> {
        let key = (plugin.to_owned(), name.to_owned());
        self.checks.remove(&key)?;
        let by = if self.is_shared(plugin, name) {
            format!(" by {plugin}")
        } else {
            String::new()
        };
        self.weigh(format!("{name} is no longer checked{by}"))
    }

    /// Handles the end of a worker: its checks become stale until the next one reports them again.
    pub fn handle_down(&mut self, plugin: &str) {
        for check in self.of(plugin) {
            check.stale = true;
        }
        // The grace time does not run while there is no worker.
        self.grace.remove(plugin);
    }

    /// Handles the start of a worker: stale checks that it does not report within [`GRACE`] are removed.
    pub fn handle_up(&mut self, now: Instant, plugin: &str) {
        self.grace.insert(plugin.to_owned(), now + GRACE);
    }

    /// Ends the failure of a plugin that runs again.
    pub fn handle_recovered(&mut self, plugin: &str) -> Option<Change> {
        self.failed.remove(plugin)?;
        self.weigh(format!("plugin {plugin} runs again"))
    }

    /// Handles a plugin that is given up or refused its configuration: it counts as a failed check. The check has no
    /// weight if `is_aside`: no traffic depends on the plugin.
    pub fn handle_failed(
        &mut self,
        plugin: &str,
        why: &str,
        at: String,
        is_aside: bool,
    ) -> Option<Change> {
        self.drop_checks(plugin);
        let name = format!("plugin {plugin}");
        let said = CheckReport {
            name: &name,
            weight: if is_aside { 0 } else { PLUGIN_WEIGHT },
            state: 0,
            why,
            points: 0,
        };
        let check = Check::new(Kind::Plugin, said, at);
        self.failed.insert(plugin.to_owned(), check);
        self.weigh(format!("{name} does not run"))
    }

    /// Handles a plugin that is no longer configured.
    pub fn handle_removed(&mut self, plugin: &str) -> Option<Change> {
        self.drop_checks(plugin);
        self.failed.remove(plugin);
        self.weigh(format!("plugin {plugin} was removed, with its checks"))
    }

    /// Returns the end of the next grace time.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.grace.values().min().copied()
    }

    /// Removes checks that restarted plugins have not reported again in time.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Change> {
        let due = |(plugin, until): (&String, &Instant)| (now >= *until).then(|| plugin.clone());
        let due: Vec<String> = self.grace.iter().filter_map(due).collect();
        if due.is_empty() {
            return None;
        }
        let mut dropped = Vec::new();
        for plugin in due {
            self.grace.remove(&plugin);
            self.checks.retain(|(owner, name), check| {
                let goes = *owner == plugin && check.stale;
                if goes {
                    dropped.push(name.clone());
                }
                !goes
            });
        }
        let names = dropped.join(", ");
        self.weigh(format!("{names}: no longer checked"))
    }

    /// Returns the status of all checks, the most costly one first.
    pub fn status(&self) -> Vec<CheckStatus> {
        let own = self
            .checks
            .iter()
            .map(|((plugin, _), check)| (plugin, check));
        let mut all: Vec<(&String, &Check)> = own.chain(&self.failed).collect();
        all.sort_by_key(|(_, check)| std::cmp::Reverse(check.cost()));
        let shared = self.shared();
        all.into_iter()
            .map(|(plugin, check)| check.status(plugin, shared.contains(check.name())))
            .collect()
    }

    /// Returns the checks of plugins that are not good, of any weight, worst first.
    pub fn not_good(&self) -> Vec<CheckStatus> {
        let checks = self.checks.iter().filter(|(_, check)| check.state != 100);
        let mut not_good: Vec<_> = checks.collect();
        not_good.sort_by_key(|(_, check)| std::cmp::Reverse(check.cost()));
        let not_good = not_good.into_iter().take(UNFIT_MAX);
        let shared = self.shared();
        not_good
            .map(|((plugin, name), check)| check.status(plugin, shared.contains(name.as_str())))
            .collect()
    }

    /// Returns sentences of the checks that lower the quality, worst first.
    pub fn failing(&self) -> Vec<String> {
        let own = self.checks.iter();
        let own = own.map(|((plugin, _), check)| (plugin, check));
        let mut all: Vec<(&String, &Check)> = own.chain(&self.failed).collect();
        all.retain(|(_, check)| check.cost() > 0);
        all.sort_by_key(|(_, check)| std::cmp::Reverse(check.cost()));
        let shared = self.shared();
        let sentence = |(plugin, check): (&String, &Check)| {
            let is_shared = shared.contains(check.name());
            check.sentence(is_shared.then_some(plugin.as_str()))
        };
        all.into_iter().map(sentence).collect()
    }

    /// Names that checks of several plugins have.
    fn shared(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        let all = self.checks.keys().map(|(_, name)| name.as_str());
        all.filter(|name| !names.insert(*name)).collect()
    }

    /// Returns true if another plugin has a check of this name.
    fn is_shared(&self, plugin: &str, name: &str) -> bool {
        let mut all = self.checks.keys();
        all.any(|(owner, other)| other == name && owner != plugin)
    }

    fn weigh(&mut self, why: String) -> Option<Change> {
        let from = self.number;
        let points = self.checks.values().map(|check| check.points).sum::<u32>();
        self.points = u8::try_from(points.min(POINTS_MAX)).unwrap_or(u8::MAX);
        let share = weighed(self.checks.values().chain(self.failed.values()));
        self.number = share.saturating_sub(self.points);
        (from != self.number).then_some(Change {
            from,
            to: self.number,
            why,
        })
    }

    fn count(&self, plugin: &str) -> usize {
        self.checks
            .keys()
            .filter(|(owner, _)| owner == plugin)
            .count()
    }

    fn of(&mut self, plugin: &str) -> impl Iterator<Item = &mut Check> {
        self.checks
            .iter_mut()
            .filter(move |((owner, _), _)| owner == plugin)
            .map(|(_, check)| check)
    }

    fn drop_checks(&mut self, plugin: &str) {
        self.checks.retain(|(owner, _), _| owner != plugin);
        self.grace.remove(plugin);
    }
}

// Computes the weighted mean. The sum fits: at most `CHECKS_MAX` checks of each plugin, each at most 9999 x 100.
fn weighed<'c>(checks: impl Iterator<Item = &'c Check>) -> u8 {
    let (mut sum, mut weights) = (0_u64, 0_u64);
    for check in checks {
        sum += u64::from(check.weight) * u64::from(check.counted());
        weights += u64::from(check.weight);
    }
    sum.checked_div(weights)
        .map_or(100, |number| u8::try_from(number).unwrap_or(100))
}
