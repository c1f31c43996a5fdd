//! Orders of the administrator: force, maintenance, freeze, arm. Each is answered with what was done, or with the reason of
//! a refusal.

use std::time::{Duration, Instant};

use spared_link::word::Word;
use spared_message::control::{Answer, Force, Request};
use spared_message::notice::{Kind, Notice};
use spared_node::orders::{freeze_time, maintenance_time};
use spared_requests::questions::{Asker, Question, QuestionKind};

use super::r#loop::Loop;

/// Time limit for the peer to carry out an order for both nodes.
const THERE_TIMEOUT: Duration = Duration::from_secs(2);

impl Loop {
    pub(super) fn force(
        &mut self,
        group: Option<&str>,
        to: Force,
        anyway: bool,
        by: &str,
    ) -> Answer {
        match self.view().for_requests().plan_force(group, to, anyway) {
            Ok(plan) => {
                let answer = self.orders.force(&mut self.groups, plan, to, by);
                self.groups.set_forced_anyway(group, anyway);
                answer
            }
            Err(answer) => answer,
        }
    }

    pub(super) fn maintain(
        &mut self,
        on: bool,
        for_s: Option<u64>,
        anyway: bool,
        by: &str,
    ) -> Answer {
        let done = if on {
            self.begin_maintenance(for_s, anyway, by)
        } else {
            self.orders
                .end_maintenance(self.config.node(), by)
                .map(|it| (it, Vec::new()))
        };
        match done {
            Ok((notice, more)) => self.record_and_answer(notice, more),
            Err(answer) => answer,
        }
    }

    // Begins maintenance. Returns the event and further lines of the answer.
    fn begin_maintenance(
        &mut self,
        for_s: Option<u64>,
        anyway: bool,
        by: &str,
    ) -> Result<(Notice, Vec<String>), Answer> {
        let lasts = maintenance_time(for_s)?;
        let leaving = self.view().for_requests().plan_maintenance(anyway)?;
        let notice = self.orders.begin_maintenance(lasts, self.config.node(), by);
        self.groups.set_maintenance_anyway(anyway);
        Ok((notice, leaving))
    }

    pub(super) fn freeze(&mut self, now: Instant, for_ms: u64, by: &str) -> Answer {
        let lasts = match freeze_time(for_ms) {
            Ok(lasts) => lasts,
            Err(refused) => return refused,
        };
        let ends_none = self.ends_no_freeze(lasts);
        let notice = self.orders.freeze(lasts, by, Duration::ZERO);
        // the peer is told even if no freeze is known here: it may have missed the end
        let there = self.freeze_there(now, for_ms, by);
        let there: Vec<String> = there.into_iter().collect();
        if ends_none {
            self.orders
                .done([vec!["was not frozen".to_owned()], there].concat())
        } else {
            self.record_and_answer(notice, there)
        }
    }

    fn ends_no_freeze(&self, lasts: Duration) -> bool {
        lasts.is_zero() && self.orders.frozen_until().is_none()
    }

    fn freeze_there(&mut self, now: Instant, for_ms: u64, by: &str) -> Option<String> {
        let (node, peer) = (self.config.node(), self.config.peer_name()?);
        let word = Word::Freeze {
            for_ms,
            by: format!("{by} on {node}"),
            age_ms: 0,
        };
        Some(match self.link.say(now, word) {
            true => format!("the same on {peer}"),
            false if self.link.is_up() => {
                format!("on {node} only, as the link to {peer} is busy: run the command again")
            }
            false => format!("on {node} only: {peer} is not heard"),
        })
    }

    /// Freezes because the peer's administrator asked for it.
    pub(super) fn handle_freeze(&mut self, for_ms: u64, by: &str, age_ms: u64) {
        let [lasts, age] = [for_ms, age_ms].map(Duration::from_millis);
        let ends_none = self.ends_no_freeze(lasts);
        let Some(notice) = self.orders.handle_freeze(lasts, by, age) else {
            return;
        };
        self.pair.touch();
        if !ends_none {
            self.notices.record(notice);
        }
        if let Some(line) = self.orders.keep() {
            log::warn!("{line}");
        }
    }

    /// Arms this node and, if a user asks, the peer.
    pub(super) fn arm(&mut self, now: Instant, asker: Asker, by: &str) {
        let lines = match self.orders.arm(self.config.node(), by) {
            Ok(notice) => {
                self.groups.set_unarmed(false);
                self.pair.touch();
                let lines = vec![notice.text.clone()];
                self.notices.record(notice);
                lines
            }
            Err(Answer::Done { lines }) => lines,
            Err(refused) => return self.reply(now, asker, &refused),
        };
        if !matches!(asker, Asker::Client(_)) {
            return self.reply(now, asker, &Answer::Done { lines });
        }
        let there = self.pair.order(now, THERE_TIMEOUT, &Request::Arm);
        let question = Question::new(asker, QuestionKind::Arm(lines, None));
        self.await_answers(now, question.asks_peer(there));
    }

    /// Ends this daemon, so that the service manager starts the build that is installed.
    pub(super) fn restart(&mut self, now: Instant, asker: Asker, by: &str) {
        let is_managed = self.process.is_managed();
        match self.view().for_requests().plan_restart(is_managed) {
            Ok(lines) => {
                let text = format!("ends for {by}, to be started again");
                self.notices
                    .record(Notice::new(Kind::Stop, text).because("upgrade"));
                self.reply(now, asker, &Answer::Done { lines });
                self.begin_stop(now);
            }
            Err(refused) => self.reply(now, asker, &refused),
        }
    }

    /// Confirms the last reload of this node and, if a user asks, that of the peer.
    pub(super) fn confirm(&mut self, now: Instant, asker: Asker, by: &str) {
        let here = self.confirm_here(by);
        if !matches!(asker, Asker::Client(_)) {
            return self.reply(now, asker, &here);
        }
        let there = self.pair.order(now, THERE_TIMEOUT, &Request::Confirm);
        let question = Question::new(asker, QuestionKind::Confirm(here, None));
        self.await_answers(now, question.asks_peer(there));
    }

    // Records the event and composes the answer, whose first line is the text of the event.
    fn record_and_answer(&mut self, notice: Notice, more: Vec<String>) -> Answer {
        self.pair.touch();
        let lines = [vec![notice.text.clone()], more].concat();
        self.notices.record(notice);
        self.orders.done(lines)
    }
}
