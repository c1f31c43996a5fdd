//! Executes standing orders of the administrator: force, maintenance, freeze, and to arm the node. Files keep them over
//! restarts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use spared_contract::Forced;
use spared_group::Groups;
use spared_journal::overrides::{self, Ended, FREEZE_MAX, MAINTENANCE_MAX, Overrides, Store, Term};
use spared_journal::unarmed::UnarmedMark;
use spared_message::control::{Answer, ErrorCode, Force, refusal};
use spared_message::notice::{Kind, Notice};
use spared_message::word::Word;
use spared_process::clock;
use spared_requests::ForcePlan;
use spared_verdict::{Maintenance, OrderFacts};

/// Overrides in force, and their file.
#[derive(Debug)]
pub struct Orders {
    overrides: Overrides,
    store: Store,
    unarmed: UnarmedMark,
    /// Time for which the configuration in force waits for its confirmation.
    unconfirmed: Option<Term>,
}

impl Orders {
    /// Reads the overrides of earlier runs.
    pub fn new(store: Store, unarmed: UnarmedMark) -> Self {
        Self {
            overrides: store.read(clock_now()),
            store,
            unarmed,
            unconfirmed: None,
        }
    }

    pub fn facts(&self) -> OrderFacts {
        OrderFacts {
            maintenance: self.maintenance(),
            frozen_until: self.frozen_until(),
            unarmed: self.is_unarmed(),
            unconfirmed_until: self
                .unconfirmed
                .map(|term| clock::at(term.wall_ms(clock_now()))),
        }
    }

    // ---- confirmation of a reload

    pub fn is_unconfirmed(&self) -> bool {
        self.unconfirmed.is_some()
    }

    /// Sets the time for which the configuration in force still waits for its confirmation; None if it does not.
    pub fn set_unconfirmed(&mut self, left: Option<Duration>) {
        self.unconfirmed = left.map(|left| Term::new(clock_now(), left));
    }

    // ---- arm

    /// Returns true if this node is paired but not armed.
    pub fn is_unarmed(&self) -> bool {
        self.unarmed.is_set()
    }

    /// Reads the mark of a node that is not armed again. Returns an event if it has changed.
    pub fn read_unarmed(&mut self, node: &str) -> Option<Notice> {
        let has_changed = self.unarmed.read();
        has_changed.then(|| {
            if self.is_unarmed() {
                unarmed(node).because("off")
            } else {
                let text = format!("{node} is armed: its mark was removed");
                Notice::new(Kind::Arm, text).because("on")
            }
        })
    }

    /// Arms this node. Returns the event, whose text is the first line of the answer.
    ///
    /// # Errors
    /// The answer, if the node is armed already, or stays unarmed because the mark cannot be removed.
    pub fn arm(&mut self, node: &str, by: &str) -> Result<Notice, Answer> {
        match self.unarmed.remove() {
            Ok(true) => {
                let text = format!("{node} is armed, by {by}");
                Ok(Notice::new(Kind::Arm, text).because("on"))
            }
            Ok(false) => {
                let lines = vec![format!("{node} was armed already")];
                Err(Answer::Done { lines })
            }
            Err(why) => {
                let why = format!("{node} is still not armed: {why}");
                Err(refusal(ErrorCode::Failed, why))
            }
        }
    }

    // ---- force

    /// Returns the groups that are forced on this node.
    pub fn forced(&self) -> &BTreeMap<String, overrides::Forced> {
        self.overrides.forced()
    }

    /// Forces one group or all, as planned, or ends the force. Returns the answer.
    pub fn force(&mut self, groups: &mut Groups, plan: ForcePlan, to: Force, by: &str) -> Answer {
        let names = match plan {
            ForcePlan::Groups(names) => names,
            ForcePlan::Forget(name) => {
                self.overrides.force(&name, None);
                let line = format!("{name}: no longer forced if it is configured again");
                return self.done(vec![line]);
            }
        };
        let (role, active) = match to {
            Force::Active => (Forced::Active, Some(true)),
            Force::Backup => (Forced::Backup, Some(false)),
            Force::Reset => (Forced::No, None),
        };
        let at = clock::now();
        let mut lines = Vec::new();
        for name in &names {
            let forced = active.map(|active| overrides::Forced {
                active,
                by: by.to_owned(),
                since: at.clone(),
            });
            self.overrides.force(name, forced);
            match groups.handle_force(Some(name), role, by, &clock::brief(&at)) {
                Ok(said) => lines.extend(said),
                Err(why) => return refusal(ErrorCode::Usage, why),
            }
        }
        if active.is_some() {
            lines.push("this holds across restarts".to_owned());
        }
        self.done(lines)
    }

    // ---- maintenance

    pub fn is_in_maintenance(&self) -> bool {
        self.overrides.maintenance().is_some()
    }

    /// Begins maintenance of this node. Returns the event, whose text is the first line of the answer.
    pub fn begin_maintenance(&mut self, lasts: Option<Duration>, node: &str, by: &str) -> Notice {
        self.overrides
            .begin_maintenance(clock_now(), lasts, by, clock::now());
        let until = match lasts {
            Some(lasts) => format!("until {}", clock::brief(&clock::after(lasts))),
            None => "until `sparectl maintenance off`, across restarts".to_owned(),
        };
        let text = format!("{node} is in maintenance {until}, by {by}");
        Notice::warn(Kind::Maintenance, text).because("on")
    }

    /// Ends maintenance. Returns the event, whose text is the first line of the answer.
    ///
    /// # Errors
    /// The answer, if this node was not in maintenance.
    pub fn end_maintenance(&mut self, node: &str, by: &str) -> Result<Notice, Answer> {
        if !self.overrides.end_maintenance() {
            let lines = vec![format!("{node} is not in maintenance")];
            return Err(Answer::Done { lines });
        }
        let text = format!("{node} is no longer in maintenance: ended by {by}");
        Ok(Notice::new(Kind::Maintenance, text).because("off"))
    }

    pub fn maintenance(&self) -> Option<Maintenance> {
        let it = self.overrides.maintenance()?;
        Some(Maintenance {
            since: it.since.clone(),
            until: it.term.map(|term| clock::at(term.wall_ms(clock_now()))),
            by: it.by.clone(),
        })
    }

    // ---- freeze

    /// Freezes the pair, or ends the freeze with a duration of zero. `age` is the time since the order was given.
    /// Returns the event, whose text is the answer.
    pub fn freeze(&mut self, lasts: Duration, by: &str, age: Duration) -> Notice {
        self.overrides.begin_freeze(clock_now(), lasts, by, age);
        let (text, reason) = if lasts.is_zero() {
            (format!("no longer frozen: ended by {by}"), "off")
        } else {
            let until = clock::brief(&clock::after(lasts));
            let text = format!(
                "frozen until {until}, by {by}: no change of role for quality or preference"
            );
            (text, "on")
        };
        Notice::new(Kind::Freeze, text).because(reason)
    }

    /// Returns the last order about freezing, for the other node.
    pub fn freeze_word(&self) -> Option<Word> {
        let order = self.overrides.freeze_order(clock_now())?;
        Some(Word::Freeze {
            for_ms: milliseconds(order.left),
            by: order.by.to_owned(),
            age_ms: milliseconds(order.age),
        })
    }

    /// Freezes as ordered on the peer. None if a newer order was given here.
    pub fn handle_freeze(&mut self, lasts: Duration, by: &str, age: Duration) -> Option<Notice> {
        let lasts = lasts.min(FREEZE_MAX);
        let is_newer_order = self.overrides.is_newer_order(clock_now(), lasts, age);
        is_newer_order.then(|| self.freeze(lasts, by, age))
    }

    pub fn frozen_until(&self) -> Option<String> {
        let freeze = self.overrides.freeze()?;
        Some(clock::at(freeze.term.wall_ms(clock_now())))
    }

    // ---- consequences

    /// Passes the orders to the groups. A group that was claimed just now is forced from the start.
    pub fn apply(&self, groups: &mut Groups) {
        for (group, forced) in self.overrides.forced() {
            let to = if forced.active {
                Forced::Active
            } else {
                Forced::Backup
            };
            if groups.get(group).is_some_and(|it| it.forced() != to) {
                let (by, at) = (&forced.by, clock::brief(&forced.since));
                if let Err(why) = groups.handle_force(Some(group), to, by, &at) {
                    log::warn!("{group}: {why}");
                }
            }
        }
        groups.set_unarmed(self.is_unarmed());
        groups.set_frozen(self.overrides.freeze().is_some());
        groups.set_maintenance(clock::monotonic_ns(), self.is_in_maintenance());
    }

    // ---- over restarts

    /// Returns warnings about orders of an earlier run.
    pub fn restored(&self, node: &str) -> Vec<Notice> {
        let mut notices = Vec::new();
        if let Some(it) = self.overrides.maintenance() {
            let (since, by) = (clock::brief(&it.since), &it.by);
            let text = format!("{node} has been in maintenance since {since}, by {by}");
            notices.push(Notice::warn(Kind::Maintenance, text));
        }
        if let Some(freeze) = self.overrides.freeze() {
            let until = clock::brief(&clock::at(freeze.term.wall_ms(clock_now())));
            let text = format!("frozen until {until}, by {}", freeze.by);
            notices.push(Notice::warn(Kind::Freeze, text));
        }
        for (group, forced) in self.overrides.forced() {
            let role = if forced.active { "active" } else { "backup" };
            let (since, by) = (clock::brief(&forced.since), &forced.by);
            let text = format!("forced {role} since {since}, by {by}");
            notices.push(Notice::warn(Kind::Force, text).of_group(group));
        }
        notices.extend(self.is_unarmed().then(|| unarmed(node)));
        let notices = notices.into_iter();
        notices.map(|it| it.because("restored")).collect()
    }

    /// Ends the orders whose time has expired. Returns the events.
    pub fn handle_timeout(&mut self, node: &str) -> Vec<Notice> {
        let ended = self.overrides.handle_timeout(clock::monotonic_ns());
        if let Some(line) = (!ended.is_empty()).then(|| self.keep()).flatten() {
            log::warn!("{line}");
        }
        let notices = ended.into_iter().map(|ended| match ended {
            Ended::Maintenance => {
                let text = format!("{node} is no longer in maintenance: the time has expired");
                Notice::new(Kind::Maintenance, text)
            }
            Ended::Freeze => Notice::new(Kind::Freeze, "no longer frozen: the time has expired"),
        });
        notices.map(|it| it.because("over")).collect()
    }

    /// Returns the time at which the next order ends by itself.
    pub fn next_timeout(&self) -> Option<Instant> {
        let until_ns = self.overrides.next_timeout()?;
        let left_ns = until_ns.saturating_sub(clock::monotonic_ns());
        Some(Instant::now() + Duration::from_nanos(left_ns))
    }

    /// Writes the orders. Returns an answer with these lines.
    pub fn done(&mut self, mut lines: Vec<String>) -> Answer {
        lines.extend(self.keep());
        Answer::Done { lines }
    }

    /// Writes the orders. Returns a line for the client if that failed.
    pub fn keep(&mut self) -> Option<String> {
        let why = self.store.write(&self.overrides).err()?;
        Some(format!("in force, but lost at a restart: {why}"))
    }

    /// Returns the reason why a restart would lose the orders.
    pub fn fault(&self) -> Option<String> {
        self.store.fault()
    }
}

/// Returns the duration of a maintenance; None if it lasts until somebody ends it.
///
/// # Errors
/// The duration is too short or too long.
pub fn maintenance_time(for_s: Option<u64>) -> Result<Option<Duration>, Answer> {
    let lasts = for_s.map(Duration::from_secs);
    if lasts.is_some_and(|lasts| lasts.is_zero() || lasts > MAINTENANCE_MAX) {
        let why = "allowed times: 1 second to 366 days";
        Err(refusal(ErrorCode::Usage, why))
    } else {
        Ok(lasts)
    }
}

/// Returns the duration of a freeze. Zero ends it.
///
/// # Errors
/// The duration is too long.
pub fn freeze_time(for_ms: u64) -> Result<Duration, Answer> {
    let lasts = Duration::from_millis(for_ms);
    if lasts > FREEZE_MAX {
        Err(refusal(ErrorCode::Usage, "allowed: up to 1 hour, or off"))
    } else {
        Ok(lasts)
    }
}

fn unarmed(node: &str) -> Notice {
    let text = format!("{node} is not armed: it is never active until `sparectl arm`");
    Notice::warn(Kind::Arm, text)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn clock_now() -> overrides::Now {
    overrides::Now {
        monotonic_ns: clock::monotonic_ns(),
        wall_ms: clock::wall_ms(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maintenance_lasts_a_second_to_a_leap_year_or_until_it_is_ended() {
        assert_eq!(maintenance_time(None), Ok(None));
        for (for_s, is_allowed) in [
            (0, false),
            (1, true),
            (31_622_400, true),
            (31_622_401, false),
        ] {
            assert_eq!(maintenance_time(Some(for_s)).is_ok(), is_allowed, "{for_s}");
        }
    }

    #[test]
    fn a_freeze_lasts_an_hour_at_most_and_zero_ends_it() {
        for (for_ms, is_allowed) in [(0, true), (3_600_000, true), (3_600_001, false)] {
            assert_eq!(freeze_time(for_ms).is_ok(), is_allowed, "{for_ms}");
        }
    }
}
