//! Overrides by an administrator, kept over restarts: forced roles, maintenance, a freeze.
//!
//! Terms are measured by the monotonic clock as long as the machine runs, and stored as wall time,
//! too, which is all that survives a reboot. Whatever the wall clock does, no restored term exceeds
//! its original length. No input or output here: [`Store`] has the file.

mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use store::Store;

/// Longest freeze.
pub const FREEZE_MAX: Duration = Duration::from_secs(3600);
/// Longest maintenance with an end, a year. A longer one lasts until it is switched off.
pub const MAINTENANCE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Maximum number of forced groups, more than any router has.
const FORCED_MAX: usize = 1024;
const TEXT_MAX: usize = 256;

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub monotonic_ns: u64,
    /// Milliseconds since 1970.
    pub wall_ms: u64,
}

/// All overrides of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// By group.
    forced: BTreeMap<String, Forced>,
    maintenance: Option<Maintenance>,
    freeze: Option<Freeze>,
    /// The last freeze was ended by hand. Remembered for as long as the other node, which may not have heard
    /// it, may be frozen.
    thaw: Option<Freeze>,
}

/// `sparectl force active|backup`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forced {
    pub active: bool,
    /// Who forced it, such as "root".
    pub by: String,
    /// Local time.
    pub since: String,
}

/// `sparectl maintenance on`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    pub by: String,
    /// Local time.
    pub since: String,
    /// None if it lasts until it is switched off.
    pub term: Option<Term>,
}

/// `sparectl freeze 30s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    pub by: String,
    pub term: Term,
}

/// What an administrator said last about freezing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreezeOrder<'o> {
    /// Rest of the freeze; zero: it was ended.
    pub left: Duration,
    pub by: &'o str,
    /// Time since it was said.
    pub age: Duration,
}

/// End of an override that ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    pub until_ns: u64,
    /// By the clock as it was set when the term began.
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

    /// Time since it began.
    pub fn age(&self, now: Now) -> Duration {
        self.lasts.saturating_sub(self.left(now))
    }

    pub fn left(&self, now: Now) -> Duration {
        Duration::from_nanos(self.until_ns.saturating_sub(now.monotonic_ns))
    }

    /// Its end by the clock as it is set now, to the second if the clock has been set since it began.
    pub fn wall_ms(&self, now: Now) -> u64 {
        const SECOND_MS: u64 = 1_000;
        let left_ms = u64::try_from(self.left(now).as_millis()).unwrap_or(u64::MAX);
        let end_ms = now.wall_ms.saturating_add(left_ms);
        match end_ms.abs_diff(self.until_wall_ms) < 2 * SECOND_MS {
            true => self.until_wall_ms,
            false => end_ms - end_ms % SECOND_MS,
        }
    }

    fn of(now: Now, left: Duration, lasts: Duration) -> Option<Self> {
        // the clock may have been set back, or not be set yet
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

    /// The last order about freezing, if it may still matter to the other node.
    pub fn freeze_order(&self, now: Now) -> Option<FreezeOrder<'_>> {
        let (freeze, thaw) = (self.freeze.as_ref(), self.thaw.as_ref());
        let last = freeze.or(thaw)?;
        Some(FreezeOrder {
            left: freeze.map_or(Duration::ZERO, |freeze| freeze.term.left(now)),
            by: &last.by,
            age: last.term.age(now),
        })
    }

    /// Whether an order of the other node counts: it is given just now, or newer than the last one here. Both nodes
    /// have the same one from the node that was asked, each with its own time.
    pub fn is_news(&self, now: Now, left: Duration, age: Duration) -> bool {
        const SAME: Duration = Duration::from_secs(1);
        match self.freeze_order(now) {
            _ if age.is_zero() => true,
            Some(own) if own.left.is_zero() == left.is_zero() => own.age > age.saturating_add(SAME),
            Some(own) => own.age > age,
            None => !left.is_zero(),
        }
    }

    /// Without `forced` the election decides again.
    pub fn force(&mut self, group: &str, forced: Option<Forced>) {
        match forced {
            Some(forced) if self.forced.len() < FORCED_MAX && !is_odd(group) => {
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

    /// Whether there was one.
    pub fn end_maintenance(&mut self) -> bool {
        self.maintenance.take().is_some()
    }

    /// Freezes for [`FREEZE_MAX`] at most; a duration of zero ends the freeze. `age` is the time since somebody
    /// said so.
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
        self.thaw = match self.freeze {
            Some(_) => None,
            None => order(FREEZE_MAX.saturating_sub(age)),
        };
    }

    pub fn next_timeout(&self) -> Option<u64> {
        let maintenance = self.maintenance.as_ref().and_then(|it| it.term);
        let freeze = self.freeze.as_ref().map(|freeze| freeze.term);
        let thaw = self.thaw.as_ref().map(|thaw| thaw.term);
        let terms = maintenance.into_iter().chain(freeze).chain(thaw);
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
        self.thaw.take_if(|it| over(&it.term));
        ended
    }

    /// Contents of the file; `boot` is the kernel's id of this boot.
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
            thaw: self.thaw.as_ref().map(order),
        };
        serde_json::to_string_pretty(&written).unwrap_or_default()
    }

    /// Reads the contents of the file, without terms that are over.
    ///
    /// # Errors
    /// A sentence, if another program wrote the file or it is truncated.
    pub fn from_text(text: &str, now: Now, boot: &str) -> Result<Self, String> {
        let written: Written =
            serde_json::from_str(text).map_err(|error| format!("is not valid: {error}"))?;
        written.check()?;
        Ok(written.restore(now, boot))
    }
}

/// Format of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
    /// Boot in which it was written, and its end by that boot's monotonic clock, which nobody sets.
    /// Older versions write neither, and skip both.
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

    /// None if the term is over.
    fn restore(self, now: Now, boot: &str, at_most: Duration) -> Option<Term> {
        let lasts = Duration::from_millis(self.lasts_ms).min(at_most);
        let left = match !boot.is_empty() && self.boot == boot {
            true => Duration::from_nanos(self.until_monotonic_ns.saturating_sub(now.monotonic_ns)),
            false => Duration::from_millis(self.until_ms.saturating_sub(now.wall_ms)),
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
        let odd = |text: &String| is_odd(text);
        match texts.any(odd) || others.any(odd) || self.forced.len() > FORCED_MAX {
            true => Err("contains invalid names".to_owned()),
            false => Ok(()),
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
            thaw: self.thaw.and_then(order),
        }
    }
}

// Whether the reader would refuse this text, so that it must not be written.
fn is_odd(text: &str) -> bool {
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
