//! Verbs of the administrator: force, maintenance, freeze. Each answers what it did, or why it refused.

use std::time::{Duration, Instant};

use spared_control::{Answer, ErrorCode, Force};
use spared_link::word::Word;
use spared_process::clock;
use spared_state::overrides::{self, Ended, FREEZE_MAX, MAINTENANCE_MAX};
use spared_worker::message::{Forced, Role};

use super::core::Core;
use crate::control::refusal;
use crate::events::{Kind, Notice};

impl Core {
    // ---- force

    pub(super) fn force(
        &mut self,
        group: Option<&str>,
        to: Force,
        anyway: bool,
        by: &str,
    ) -> Answer {
        let names = match self.view().groups_named(group) {
            Ok(names) => names,
            Err(answer) => return self.forget_forced(group, to).unwrap_or(answer),
        };
        let lines = self.view().against_force(&names, to, anyway);
        if !lines.is_empty() {
            let code = ErrorCode::Refused;
            return Answer::Error { code, lines };
        }
        let (forced, active) = match to {
            Force::Active => (Forced::Active, Some(true)),
            Force::Backup => (Forced::Backup, Some(false)),
            Force::Reset => (Forced::No, None),
        };
        let at = clock::now();
        for name in &names {
            let forced = active.map(|active| overrides::Forced {
                active,
                by: by.to_owned(),
                since: at.clone(),
            });
            self.overrides.force(name, forced);
        }
        let mut lines = match self
            .groups
            .handle_force(group, forced, by, &clock::brief(&at))
        {
            Ok(lines) => lines,
            Err(why) => return refusal(ErrorCode::Usage, why),
        };
        if active.is_some() {
            lines.push("this holds across restarts".to_owned());
        }
        lines.extend(self.keep_overrides());
        Answer::Done { lines }
    }

    // Overrides may contain a group that is no longer configured.
    fn forget_forced(&mut self, group: Option<&str>, to: Force) -> Option<Answer> {
        let name = group
            .filter(|name| to == Force::Reset && self.overrides.forced().contains_key(*name))?;
        self.overrides.force(name, None);
        let mut lines = vec![format!(
            "{name}: no longer forced if it is configured again"
        )];
        lines.extend(self.keep_overrides());
        Some(Answer::Done { lines })
    }

    // ---- maintenance

    pub(super) fn maintain(
        &mut self,
        on: bool,
        for_s: Option<u64>,
        anyway: bool,
        by: &str,
    ) -> Answer {
        match on {
            true => self.begin_maintenance(for_s.map(Duration::from_secs), anyway, by),
            false => self.end_maintenance(by),
        }
    }

    fn begin_maintenance(&mut self, lasts: Option<Duration>, anyway: bool, by: &str) -> Answer {
        if lasts.is_some_and(|lasts| lasts.is_zero() || lasts > MAINTENANCE_MAX) {
            let why = "allowed times: 1 second to 366 days";
            return refusal(ErrorCode::Usage, why);
        }
        let names: Vec<String> = self
            .groups
            .iter()
            .map(|(name, _)| name.to_owned())
            .collect();
        if !anyway {
            let lines: Vec<String> = names
                .iter()
                .flat_map(|name| self.view().against_leaving(name))
                .collect();
            if !lines.is_empty() {
                let code = ErrorCode::Refused;
                return Answer::Error { code, lines };
            }
        }
        let now = clock_now();
        let at = clock::now();
        self.overrides.begin_maintenance(now, lasts, by, at);
        self.pair.touched = true;
        let node = &self.setup.host.node;
        let until = match lasts {
            Some(lasts) => format!("until {}", clock::brief(&clock::after(lasts))),
            None => "until `sparectl maintenance off`, across restarts".to_owned(),
        };
        let text = format!("{node} is in maintenance {until}, by {by}");
        let mut lines = vec![text.clone()];
        lines.extend(names.iter().filter_map(|name| self.leaving_line(name)));
        let news = Notice::warn(Kind::Maintenance, text).because("on");
        self.events.record(news);
        lines.extend(self.keep_overrides());
        Answer::Done { lines }
    }

    fn leaving_line(&self, group: &str) -> Option<String> {
        let active = self.groups.get(group);
        active.filter(|it| it.role == Role::Active)?;
        let node = &self.setup.host.node;
        Some(match self.peer_name() {
            Some(peer) => format!("{group}: {node} switches it over to {peer}"),
            None => format!("{group}: {node} gives up being active"),
        })
    }

    fn end_maintenance(&mut self, by: &str) -> Answer {
        let node = self.setup.host.node.clone();
        if !self.overrides.end_maintenance() {
            let lines = vec![format!("{node} is not in maintenance")];
            return Answer::Done { lines };
        }
        let text = format!("{node} is no longer in maintenance, by {by}");
        let mut lines = vec![text.clone()];
        let news = Notice::new(Kind::Maintenance, text).because("off");
        self.events.record(news);
        self.pair.touched = true;
        lines.extend(self.keep_overrides());
        Answer::Done { lines }
    }

    // ---- freeze

    pub(super) fn freeze(&mut self, for_ms: u64, by: &str) -> Answer {
        let lasts = Duration::from_millis(for_ms);
        if lasts > FREEZE_MAX {
            return refusal(ErrorCode::Usage, "allowed: up to 1 hour, or off");
        }
        let node = self.setup.host.node.clone();
        let mut lines = vec![self.set_freeze(lasts, by)];
        let said = Word::Freeze {
            for_ms,
            by: format!("{by} on {node}"),
        };
        if let Some(peer) = self.peer_name().map(str::to_owned) {
            lines.push(match self.say(said) {
                true => format!("the same on {peer}"),
                false => format!("on {node} only: {peer} is not heard"),
            });
        }
        lines.extend(self.keep_overrides());
        Answer::Done { lines }
    }

    /// Freezes as the peer's administrator asked.
    pub(super) fn handle_freeze(&mut self, for_ms: u64, by: &str) {
        self.set_freeze(Duration::from_millis(for_ms).min(FREEZE_MAX), by);
        if let Some(line) = self.keep_overrides() {
            log::warn!("{line}");
        }
    }

    fn set_freeze(&mut self, lasts: Duration, by: &str) -> String {
        self.overrides.begin_freeze(clock_now(), lasts, by);
        self.pair.touched = true;
        let (text, reason) = match lasts.is_zero() {
            true => (format!("no longer frozen, by {by}"), "off"),
            false => {
                let until = clock::brief(&clock::after(lasts));
                let text = format!(
                    "frozen until {until}, by {by}: no change of role for quality or preference"
                );
                (text, "on")
            }
        };
        let news = Notice::new(Kind::Freeze, text.clone()).because(reason);
        self.events.record(news);
        text
    }

    // ---- overrides over restarts

    /// Warns about the overrides of an earlier run.
    pub(super) fn tell_overrides(&mut self) {
        let node = &self.setup.host.node;
        if let Some(it) = self.overrides.maintenance() {
            let (since, by) = (clock::brief(&it.since), &it.by);
            let text = format!("{node} is in maintenance since {since}, by {by}");
            let news = Notice::warn(Kind::Maintenance, text).because("restored");
            self.events.record(news);
        }
        if let Some(freeze) = self.overrides.freeze() {
            let until = clock::brief(&clock::at(freeze.term.wall_ms(clock_now())));
            let text = format!("frozen until {until}, by {}", freeze.by);
            let news = Notice::warn(Kind::Freeze, text).because("restored");
            self.events.record(news);
        }
        for (group, forced) in self.overrides.forced() {
            let role = if forced.active { "active" } else { "backup" };
            let (since, by) = (clock::brief(&forced.since), &forced.by);
            let text = format!("forced {role} since {since}, by {by}");
            let news = Notice::warn(Kind::Force, text).of_group(group);
            self.events.record(news.because("restored"));
        }
        self.pair.touched = true;
    }

    pub(super) fn end_overrides(&mut self) {
        for ended in self.overrides.handle_timeout(clock::monotonic_ns()) {
            let node = &self.setup.host.node;
            let news = match ended {
                Ended::Maintenance => {
                    let text = format!("{node} is no longer in maintenance: the time has expired");
                    Notice::new(Kind::Maintenance, text)
                }
                Ended::Freeze => {
                    Notice::new(Kind::Freeze, "no longer frozen: the time has expired")
                }
            };
            self.events.record(news.because("over"));
            self.pair.touched = true;
            if let Some(line) = self.keep_overrides() {
                log::warn!("{line}");
            }
        }
    }

    /// Time at which the next override ends by itself.
    pub(super) fn overrides_timeout(&self) -> Option<Instant> {
        let until_ns = self.overrides.next_timeout()?;
        let left_ns = until_ns.saturating_sub(clock::monotonic_ns());
        Some(Instant::now() + Duration::from_nanos(left_ns))
    }

    /// Writes the overrides. A line for the client if that failed.
    fn keep_overrides(&mut self) -> Option<String> {
        let why = self.store.write(&self.overrides).err()?;
        Some(format!("in force, but lost at a restart: {why}"))
    }
}

pub(super) fn clock_now() -> overrides::Now {
    overrides::Now {
        monotonic_ns: clock::monotonic_ns(),
        wall_ms: clock::wall_ms(),
    }
}
