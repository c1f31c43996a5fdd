//! How fit this node is: every plugin's checks, weighed into one number.
//!
//! Stormshield's formula: the states of all checks, weighed, rounded down; 100 where nothing
//! weighs. No input or output; times are the caller's.
//!
//! A plugin's checks stay as they are while its worker is started again: a crash says nothing
//! about the uplink. What the new worker has not reported again [`GRACE`] after it runs is
//! forgotten; what it has stays until it withdraws it, also what it reported before it ran. A plugin
//! that is given up or refused loses its checks, since nobody measures any more, and is a failed
//! check itself.

mod check;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use spared_control::CheckStatus;

pub use check::{Check, CheckReport, Kind};

/// Checks of one plugin; more are passed over.
pub const CHECKS_MAX: usize = 1024;
pub const WEIGHT_MAX: u32 = 9999;
/// How long a plugin that was started again may leave a check unreported.
pub const GRACE: Duration = Duration::from_secs(30);
/// What a plugin that does not run weighs: as much as an interface by default.
const PLUGIN_WEIGHT: u32 = 100;
/// Checks that are not good, as far as anybody reads them.
const UNFIT_MAX: usize = 128;

/// Every check there is.
#[derive(Debug)]
pub struct Quality {
    /// By plugin and name.
    checks: BTreeMap<(String, String), Check>,
    /// Plugins that do not run, and why.
    failed: BTreeMap<String, Check>,
    /// Plugins that were started again, and until when they may repeat themselves.
    grace: BTreeMap<String, Instant>,
    number: u8,
}

/// The number has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub from: u8,
    pub to: u8,
    /// The sentence of the check that changed it.
    pub why: String,
}

/// Why a report is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Empty, too long, or not to be printed.
    Name,
    TooMany,
}

impl Default for Quality {
    fn default() -> Self {
        Self {
            checks: BTreeMap::new(),
            failed: BTreeMap::new(),
            grace: BTreeMap::new(),
            number: 100,
        }
    }
}

impl Quality {
    /// 0 to 100.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// A plugin reports a check, anew or again.
    ///
    /// # Errors
    /// Its name is none, or it reports too many.
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
        let sentence = check.sentence();
        self.checks.insert(key, check);
        Ok(self.weigh(sentence))
    }

    pub fn handle_forgotten(&mut self, plugin: &str, name: &str) -> Option<Change> {
        let key = (plugin.to_owned(), name.to_owned());
        self.checks.remove(&key)?;
        self.weigh(format!("{name} is checked no more"))
    }

    /// Its worker has ended: the next one repeats what is still so.
    pub fn handle_down(&mut self, plugin: &str) {
        for check in self.of(plugin) {
            check.stale = true;
        }
        // While nobody can repeat anything, nothing runs out.
        self.grace.remove(plugin);
    }

    /// Its worker has started: what an earlier one reported and this one does not soon is no longer
    /// a check of its. What this one reported already, while it was configured or started, stays.
    pub fn handle_up(&mut self, now: Instant, plugin: &str) {
        self.grace.insert(plugin.to_owned(), now + GRACE);
    }

    /// It runs, and what it was given up for is over.
    pub fn handle_recovered(&mut self, plugin: &str) -> Option<Change> {
        self.failed.remove(plugin)?;
        self.weigh(format!("plugin {plugin} runs again"))
    }

    /// It is given up, or cannot run as it is.
    pub fn handle_failed(&mut self, plugin: &str, why: &str, at: String) -> Option<Change> {
        self.drop_checks(plugin);
        let name = format!("plugin {plugin}");
        let said = CheckReport {
            name: &name,
            weight: PLUGIN_WEIGHT,
            state: 0,
            why,
        };
        let check = Check::new(Kind::Plugin, said, at);
        self.failed.insert(plugin.to_owned(), check);
        self.weigh(format!("{name} does not run"))
    }

    /// It is no longer configured.
    pub fn handle_removed(&mut self, plugin: &str) -> Option<Change> {
        self.drop_checks(plugin);
        self.failed.remove(plugin);
        self.weigh(format!("plugin {plugin} is gone, with its checks"))
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.grace.values().min().copied()
    }

    /// Forgets what plugins that were started again did not repeat.
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
        self.weigh(format!("{names}: checked no more"))
    }

    /// Worst first: what costs most at the top.
    pub fn status(&self) -> Vec<CheckStatus> {
        let own = self
            .checks
            .iter()
            .map(|((plugin, _), check)| (plugin, check));
        let mut all: Vec<(&String, &Check)> = own.chain(&self.failed).collect();
        all.sort_by_key(|(_, check)| std::cmp::Reverse(check.cost()));
        all.into_iter()
            .map(|(plugin, check)| check.status(plugin))
            .collect()
    }

    /// Plugins' own checks that are not good, whatever they weigh, worst first.
    pub fn unfit(&self) -> Vec<CheckStatus> {
        let checks = self.checks.iter().filter(|(_, check)| check.state != 100);
        let mut unfit: Vec<_> = checks.collect();
        unfit.sort_by_key(|(_, check)| std::cmp::Reverse(check.cost()));
        let unfit = unfit.into_iter().take(UNFIT_MAX);
        unfit
            .map(|((plugin, _), check)| check.status(plugin))
            .collect()
    }

    /// A sentence for each check that costs something, worst first.
    pub fn failing(&self) -> Vec<String> {
        let mut all: Vec<&Check> = self.checks.values().chain(self.failed.values()).collect();
        all.retain(|check| check.cost() > 0);
        all.sort_by_key(|check| std::cmp::Reverse(check.cost()));
        all.into_iter().map(Check::sentence).collect()
    }

    fn weigh(&mut self, why: String) -> Option<Change> {
        let from = self.number;
        self.number = weighed(self.checks.values().chain(self.failed.values()));
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

// At most 256 checks of a few dozen plugins, each 9999 x 100: far from the end of 64 bits.
fn weighed<'c>(checks: impl Iterator<Item = &'c Check>) -> u8 {
    let (mut sum, mut weights) = (0_u64, 0_u64);
    for check in checks {
        sum += u64::from(check.weight) * u64::from(check.counted());
        weights += u64::from(check.weight);
    }
    sum.checked_div(weights)
        .map_or(100, |number| u8::try_from(number).unwrap_or(100))
}
