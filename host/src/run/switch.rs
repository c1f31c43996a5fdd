//! `sparectl switch` in the loop: begins the switchovers that `spared_requests` has planned.

use std::time::Instant;

use spared_pair::CauseKind;
use spared_process::clock;
use spared_requests::questions::{Asker, Asking, Question};
use spared_requests::switch::{Plan, Switch};
use spared_worker::message::Cause;

use super::r#loop::Loop;

impl Loop {
    pub(super) fn switch(
        &mut self,
        now: Instant,
        asker: Asker,
        group: Option<&str>,
        to: Option<&str>,
        anyway: bool,
        by: &str,
    ) {
        let moves = match self.view().for_requests().plan_switch(group, to, anyway) {
            Ok(moves) => moves,
            Err(answer) => return self.reply(now, asker, &answer),
        };
        let mut switch = Switch::default();
        let now_ns = clock::monotonic_ns();
        let mut begun = Vec::new();
        for plan in moves {
            match plan {
                Plan::Move(step) => {
                    let hint = self.view().for_requests().goes_back(&step);
                    let wish = self.questions.next_number();
                    begun.push((wish, step.group.clone()));
                    switch.begin(wish, step, hint);
                }
                Plan::Already(line) => switch.add_line(line),
                Plan::Refused(_) => {}
            }
        }
        self.await_answers(now, Question::new(asker, Asking::Switch(switch)));
        for (wish, group) in begun {
            let cause = Cause::new(CauseKind::Asked, format!("{by} switched it"));
            self.groups.handle_wish(now_ns, wish, &group, cause, anyway);
        }
    }

    /// Handles the end of a switchover that a client waits for.
    pub(super) fn handle_wish_ended(
        &mut self,
        now: Instant,
        wish: u64,
        result: Result<Vec<String>, String>,
    ) {
        let ended = self.questions.handle_switched(wish, result);
        self.end(now, ended);
    }
}
