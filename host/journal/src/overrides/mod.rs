//! Keeps overrides by an administrator over restarts: forced roles, maintenance, a freeze.
//!
//! A term is measured by the monotonic clock as long as the machine runs. It is also stored as wall time, which alone
//! is valid after a reboot. However the wall clock is set, no restored term exceeds its original length. There is no
//! input or output here: [`Store`] has the file.

mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use store::Store;

/// Maximum duration of a freeze.
pub const FREEZE_MAX: Duration = Duration::from_secs(3600);
/// Maximum duration of maintenance with an end: one year. A longer one lasts until it is switched off.
pub const MAINTENANCE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Maximum number of forced groups: more than any router has groups.
const FORCED_MAX: usize = 1024;
const TEXT_MAX: usize = 256;

/// Present time by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub monotonic_ns: u64,
    /// Wall time in ms since 1970.
    pub wall_ms: u64,
}

/// All overrides of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Forced roles, by group.
    forced: BTreeMap<String, Forced>,
    maintenance: Option<Maintenance>,
    freeze: Option<Freeze>,
    /// Last end of a freeze by an administrator. It is kept as long as the other node may be frozen, as that node may
    /// not have heard of the end.
    ended_freeze: Option<Freeze>,
}

/// Forced role, from `sparectl force active|backup`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forced {
    pub active: bool,
    /// User who forced the role, such as "root".
    pub by: String,
    /// Local time at which the role was forced.
    pub since: String,
}

/// Maintenance, from `sparectl maintenance on`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    pub by: String,
    /// Local time at which the maintenance began.
    pub since: String,
    /// End of the maintenance; None if it lasts until it is switched off.
    pub term: Option<Term>,
}

/// Freeze, from `sparectl freeze 30s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    pub by: String,
    pub term: Term,
}

/// Last order of an administrator about freezing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreezeOrder<'o> {
    /// Remaining time of the freeze; zero if it was ended.
    pub left: Duration,
    pub by: &'o str,
    /// Time since the order was given.
    pub age: Duration,
}

/// End of an override that ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    pub until_ns: u64,
    /// End by the wall clock as it was set when the term began, in ms since 1970.
    until_wall_ms: u64,
    lasts: Duration,
}

/// Override that ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Maintenance,
    Freeze,
}

impl Term {
    pub fn new(now: Now, lasts: Duration) -> Self {
        let lasts_ns = u64::try_from(lasts.as_nanos()).unwrap_or(u64::MAX);
        let lasts_ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        Self {
            until_ns: now.monotonic_ns.saturating_add(lasts_ns),
            until_wall_ms: now.wall_ms.saturating_add(lasts_ms),
            lasts,
        }
    }

    /// Returns the time since the term began.
    pub fn age(&self, now: Now) -> Duration {
        self.lasts.saturating_sub(self.left(now))
    }

    pub fn left(&self, now: Now) -> Duration {
        Duration::from_nanos(self.until_ns.saturating_sub(now.monotonic_ns))
    }

    /// Returns the end of the term by the wall clock as it is set now. It is exact to the second if the clock was set
    /// since the term began.
    pub fn wall_ms(&self, now: Now) -> u64 {
        const SECOND_MS: u64 = 1_000;
        let left_ms = u64::try_from(self.left(now).as_millis()).unwrap_or(u64::MAX);
        let end_ms = now.wall_ms.saturating_add(left_ms);
        if end_ms.abs_diff(self.until_wall_ms) < 2 * SECOND_MS {
            self.until_wall_ms
        } else {
            end_ms - end_ms % SECOND_MS
        }
    }

    fn of(now: Now, left: Duration, lasts: Duration) -> Option<Self> {
        // the wall clock may have been set back, or may not be set yet
        let left = left.min(lasts);
        (left > Duration::ZERO).then(|| Self {
            lasts,
            ..Self::new(now, left)
        })
    }
}

impl Overrides {
    pub fn forced(&self) -> &BTreeMap<String, Forced> {
        &self.forced
    }

    pub fn maintenance(&self) -> Option<&Maintenance> {
        self.maintenance.as_ref()
    }

    pub fn freeze(&self) -> Option<&Freeze> {
        self.freeze.as_ref()
    }

    /// Returns the last order about freezing, if the other node may still need it.
    pub fn freeze_order(&self, now: Now) -> Option<FreezeOrder<'_>> {
        let (freeze, ended) = (self.freeze.as_ref(), self.ended_freeze.as_ref());
        let last = freeze.or(ended)?;
        Some(FreezeOrder {
            left: freeze.map_or(Duration::ZERO, |freeze| freeze.term.left(now)),
            by: &last.by,
            age: last.term.age(now),
        })
    }

    /// Returns true if an order of the other node counts: it was given just now, or is newer than the last one here.
    /// Both nodes have the same order from the node that was asked, but with slightly different times.
    pub fn is_newer_order(&self, now: Now, left: Duration, age: Duration) -> bool {
        const SAME: Duration = Duration::from_secs(1);
        match self.freeze_order(now) {
            _ if age.is_zero() => true,
            Some(own) if own.left.is_zero() == left.is_zero() => own.age > age.saturating_add(SAME),
            Some(own) => own.age > age,
            None => !left.is_zero(),
        }
    }

    /// Sets or ends (None) the force of a group.
    pub fn force(&mut self, group: &str, forced: Option<Forced>) {
        match forced {
            Some(forced) if self.forced.len() < FORCED_MAX && !is_invalid_text(group) => {
                let by = short(&forced.by);
                self.forced
                    .insert(group.to_owned(), Forced { by, ..forced });
            }
            Some(_) => {}
            None => {
                self.forced.remove(group);
            }
        }
    }

    pub fn begin_maintenance(&mut self, now: Now, lasts: Option<Duration>, by: &str, at: String) {
        let since = self.maintenance.take().map_or(at, |before| before.since);
        let lasts = lasts.filter(|lasts| *lasts <= MAINTENANCE_MAX);
        self.maintenance = Some(Maintenance {
            by: short(by),
            since,
            term: lasts.map(|lasts| Term::new(now, lasts)),
        });
    }

    /// Ends maintenance. Returns true if there was any.
    pub fn end_maintenance(&mut self) -> bool {
        self.maintenance.take().is_some()
    }

    /// Freezes roles, for [`FREEZE_MAX`] at most. A duration of zero ends the freeze. `age` is the time since the order
    /// was given.
    pub fn begin_freeze(&mut self, now: Now, lasts: Duration, by: &str, age: Duration) {
        let order = |left: Duration| {
            let left = left.min(FREEZE_MAX);
            let term = Term::of(now, left, left.saturating_add(age).min(FREEZE_MAX));
            term.map(|term| Freeze {
                by: short(by),
                term,
            })
        };
        self.freeze = order(lasts);
        self.ended_freeze = match self.freeze {
            Some(_) => None,
            None => order(FREEZE_MAX.saturating_sub(age)),
        };
    }

    pub fn next_timeout(&self) -> Option<u64> {
        let maintenance = self.maintenance.as_ref().and_then(|it| it.term);
        let freeze = self.freeze.as_ref().map(|freeze| freeze.term);
        let ended = self.ended_freeze.as_ref().map(|ended| ended.term);
        let terms = maintenance.into_iter().chain(freeze).chain(ended);
        terms.map(|term| term.until_ns).min()
    }

    pub fn handle_timeout(&mut self, now_ns: u64) -> Vec<Ended> {
        let over = |term: &Term| now_ns >= term.until_ns;
        let mut ended = Vec::new();
        let maintenance = self.maintenance.as_ref().and_then(|it| it.term);
        if maintenance.is_some_and(|term| over(&term)) {
            self.maintenance = None;
            ended.push(Ended::Maintenance);
        }
        if self.freeze.as_ref().is_some_and(|it| over(&it.term)) {
            self.freeze = None;
            ended.push(Ended::Freeze);
        }
        self.ended_freeze.take_if(|it| over(&it.term));
        ended
    }

    /// Returns the content of the file. `boot` is the kernel's id of this boot.
    pub fn to_text(&self, boot: &str) -> String {
        let write = |term: Term| WrittenTerm::new(term, boot);
        let order = |it: &Freeze| WrittenFreeze {
            by: it.by.clone(),
            term: write(it.term),
        };
        let written = Written {
            forced: self.forced.clone(),
            maintenance: self.maintenance.as_ref().map(|it| WrittenMaintenance {
                by: it.by.clone(),
                since: it.since.clone(),
                term: it.term.map(write),
            }),
            freeze: self.freeze.as_ref().map(order),
            thaw: self.ended_freeze.as_ref().map(order),
        };
        serde_json::to_string_pretty(&written).unwrap_or_default()
    }

    /// Parses the content of the file, without terms that are over.
    ///
    /// # Errors
    /// A sentence, if the content is invalid: another program wrote it, or it is truncated.
    pub fn from_text(text: &str, now: Now, boot: &str) -> Result<Self, String> {
        let written: Written =
            serde_json::from_str(text).map_err(|error| format!("is not valid: {error}"))?;
        written.check()?;
        Ok(written.restore(now, boot))
    }
}

/// Format of the file. Keys of a later version, from which somebody has gone back, are ignored.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Written {
    forced: BTreeMap<String, Forced>,
    maintenance: Option<WrittenMaintenance>,
    freeze: Option<WrittenFreeze>,
    thaw: Option<WrittenFreeze>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenMaintenance {
    by: String,
    since: String,
    term: Option<WrittenTerm>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenFreeze {
    by: String,
    term: WrittenTerm,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenTerm {
    until_ms: u64,
    lasts_ms: u64,
    /// Kernel's id of the boot in which the term was written. `until_monotonic_ns` is the end by that boot's monotonic
    /// clock, which nobody sets. Older versions do not write these two fields.
    #[serde(default)]
    boot: String,
    #[serde(default)]
    until_monotonic_ns: u64,
}

impl WrittenTerm {
    fn new(term: Term, boot: &str) -> Self {
        Self {
            until_ms: term.until_wall_ms,
            lasts_ms: u64::try_from(term.lasts.as_millis()).unwrap_or(u64::MAX),
            boot: boot.to_owned(),
            until_monotonic_ns: term.until_ns,
        }
    }

    /// Returns the term; None if it is over.
    fn restore(self, now: Now, boot: &str, at_most: Duration) -> Option<Term> {
        let lasts = Duration::from_millis(self.lasts_ms).min(at_most);
        let left = if !boot.is_empty() && self.boot == boot {
            Duration::from_nanos(self.until_monotonic_ns.saturating_sub(now.monotonic_ns))
        } else {
            Duration::from_millis(self.until_ms.saturating_sub(now.wall_ms))
        };
        Term::of(now, left, lasts)
    }
}

impl Written {
    fn check(&self) -> Result<(), String> {
        let forced = self.forced.iter();
        let mut texts = forced.flat_map(|(group, forced)| [group, &forced.by, &forced.since]);
        let maintenance = self.maintenance.iter();
        let mut others = maintenance
            .flat_map(|it| [&it.by, &it.since])
            .chain(self.freeze.iter().map(|freeze| &freeze.by))
            .chain(self.thaw.iter().map(|thaw| &thaw.by));
        let is_invalid = |text: &String| is_invalid_text(text);
        if texts.any(is_invalid) || others.any(is_invalid) || self.forced.len() > FORCED_MAX {
            Err("contains invalid names".to_owned())
        } else {
            Ok(())
        }
    }

    fn restore(self, now: Now, boot: &str) -> Overrides {
        let maintenance = self.maintenance.and_then(|it| {
            let term = match it.term {
                Some(term) => Some(term.restore(now, boot, MAINTENANCE_MAX)?),
                None => None,
            };
            Some(Maintenance {
                by: it.by,
                since: it.since,
                term,
            })
        });
        let order = |it: WrittenFreeze| {
            Some(Freeze {
                term: it.term.restore(now, boot, FREEZE_MAX)?,
                by: it.by,
            })
        };
        Overrides {
            forced: self.forced,
            maintenance,
            freeze: self.freeze.and_then(order),
            ended_freeze: self.thaw.and_then(order),
        }
    }
}

// Returns true if the reader would refuse this text, so that it must not be written.
fn is_invalid_text(text: &str) -> bool {
    text.len() > TEXT_MAX || text.chars().any(char::is_control)
}

fn short(text: &str) -> String {
    let mut short = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if short.len() + c.len_utf8() > TEXT_MAX {
            break;
        }
        short.push(c);
    }
    short
}
