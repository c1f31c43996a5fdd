//! Verbs of the administrator: force, maintenance, freeze. Each answers what it did, or why it refused.

use std::time::{Duration, Instant};

use spared_control::refusal;
use spared_control::{Answer, ErrorCode, Force};
use spared_link::word::Word;
use spared_message::notice::{Kind, Notice};
use spared_process::clock;
use spared_state::overrides::{FREEZE_MAX, MAINTENANCE_MAX};
use spared_worker::message::{Forced, Role};

use super::r#loop::Loop;

impl Loop {
    pub(super) fn force(
        &mut self,
        group: Option<&str>,
        to: Force,
        anyway: bool,
        by: &str,
    ) -> Answer {
        let view = self.view().for_requests();
        let names = match view.groups_named(group) {
            Ok(names) => names,
            Err(answer) => return self.forget_forced(group, to).unwrap_or(answer),
        };
        let lines = view.against_force(&names, to, anyway);
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
        self.orders.force(&names, active, by, &at);
        let at = clock::brief(&at);
        let mut lines = match self.groups.handle_force(group, forced, by, &at) {
            Ok(lines) => lines,
            Err(why) => return refusal(ErrorCode::Usage, why),
        };
        if active.is_some() {
            lines.push("this holds across restarts".to_owned());
        }
        lines.extend(self.orders.keep());
        Answer::Done { lines }
    }

    // Orders may contain a group that is no longer configured.
    fn forget_forced(&mut self, group: Option<&str>, to: Force) -> Option<Answer> {
        let known = |name: &&str| to == Force::Reset && self.orders.forced().contains_key(*name);
        let name = group.filter(known)?.to_owned();
        let mut lines = vec![format!(
            "{name}: no longer forced if it is configured again"
        )];
        self.orders.force(&[name], None, "", "");
        lines.extend(self.orders.keep());
        Some(Answer::Done { lines })
    }

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
        let view = self.view().for_requests();
        let names: Vec<&str> = self.groups.iter().map(|(name, _)| name).collect();
        if !anyway {
            let lines = names.iter().flat_map(|name| view.against_leaving(name));
            let lines: Vec<String> = lines.collect();
            if !lines.is_empty() {
                let code = ErrorCode::Refused;
                return Answer::Error { code, lines };
            }
        }
        let leaving: Vec<String> = names
            .iter()
            .filter_map(|it| self.leaving_line(it))
            .collect();
        self.orders.begin_maintenance(lasts, by);
        self.pair.touch();
        let node = self.here.node();
        let until = match lasts {
            Some(lasts) => format!("until {}", clock::brief(&clock::after(lasts))),
            None => "until `sparectl maintenance off`, across restarts".to_owned(),
        };
        let text = format!("{node} is in maintenance {until}, by {by}");
        let mut lines = vec![text.clone()];
        lines.extend(leaving);
        let notice = Notice::warn(Kind::Maintenance, text).because("on");
        self.notices.record(notice);
        lines.extend(self.orders.keep());
        Answer::Done { lines }
    }

    fn leaving_line(&self, group: &str) -> Option<String> {
        let active = self.groups.get(group);
        active.filter(|it| it.role == Role::Active)?;
        let node = self.here.node();
        Some(match self.here.peer_name() {
            Some(peer) => format!("{group}: {node} switches it over to {peer}"),
            None => format!("{group}: {node} gives up being active"),
        })
    }

    fn end_maintenance(&mut self, by: &str) -> Answer {
        let node = self.here.node();
        if !self.orders.end_maintenance() {
            let lines = vec![format!("{node} is not in maintenance")];
            return Answer::Done { lines };
        }
        let text = format!("{node} is no longer in maintenance, by {by}");
        let mut lines = vec![text.clone()];
        let notice = Notice::new(Kind::Maintenance, text).because("off");
        self.notices.record(notice);
        self.pair.touch();
        lines.extend(self.orders.keep());
        Answer::Done { lines }
    }

    pub(super) fn freeze(&mut self, now: Instant, for_ms: u64, by: &str) -> Answer {
        let lasts = Duration::from_millis(for_ms);
        if lasts > FREEZE_MAX {
            return refusal(ErrorCode::Usage, "allowed: up to 1 hour, or off");
        }
        let mut lines = vec![self.set_freeze(lasts, by, Duration::ZERO)];
        let node = self.here.node();
        let said = Word::Freeze {
            for_ms,
            by: format!("{by} on {node}"),
            age_ms: 0,
        };
        if let Some(peer) = self.here.peer_name() {
            lines.push(match self.link.say(now, said) {
                true => format!("the same on {peer}"),
                false => format!("on {node} only: {peer} is not heard"),
            });
        }
        lines.extend(self.orders.keep());
        Answer::Done { lines }
    }

    /// Freezes as the peer's administrator asked, unless somebody has said something here since.
    pub(super) fn handle_freeze(&mut self, for_ms: u64, by: &str, age_ms: u64) {
        let lasts = Duration::from_millis(for_ms).min(FREEZE_MAX);
        let age = Duration::from_millis(age_ms);
        if !self.orders.is_news(lasts, age) {
            return;
        }
        self.set_freeze(lasts, by, age);
        if let Some(line) = self.orders.keep() {
            log::warn!("{line}");
        }
    }

    fn set_freeze(&mut self, lasts: Duration, by: &str, age: Duration) -> String {
        let notice = self.orders.freeze(lasts, by, age);
        self.pair.touch();
        let text = notice.text.clone();
        self.notices.record(notice);
        text
    }
}
