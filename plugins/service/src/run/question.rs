//! Queries for the states of services, and their answers.

use super::running::{Purpose, Running};
use super::{Ended, Runs, Step};
use crate::job::{Service, Status};
use crate::manager::{self, Judged, Question};

/// Time limit in ns for a manager's answer to a query.
const ANSWER_NS: u64 = 10_000_000_000;
/// Time limit in ns after a query that took too long: the repair is to be noticed soon.
const ANSWER_AGAIN_NS: u64 = 2_500_000_000;
/// Maximum number of queries at a time: fifty scripts at once would slow the services that they query, and starting
/// each takes a millisecond of the plugin's loop.
const QUESTIONS_MAX: usize = 4;
/// Maximum length of an answer in bytes: systemd writes about 400 bytes for each unit.
const ANSWER_MAX: usize = 1024 * 1024;

impl Runs {
    /// Queries the states of services, except those whose query is in progress.
    pub fn observe(&mut self, services: &[Service]) {
        let wanted: Vec<Service> = services
            .iter()
            .filter(|service| !self.is_asked(service))
            .cloned()
            .collect();
        let (questions, known) = manager::questions(self.starter.root(), &wanted, &self.triggers);
        if !known.is_empty() {
            self.ended.push_back(Ended::Observed(known));
        }
        self.waiting
            .extend(questions.into_iter().map(|question| (question, false)));
        self.ask();
    }

    pub(super) fn answer(
        &mut self,
        question: Question,
        again: bool,
        code: Option<i32>,
        output: &str,
    ) {
        let loaded = manager::loaded(&question, code, output);
        let is_late = self.watch.learn(self.starter.root(), loaded);
        match manager::judge(&question, code, output, again, &mut self.triggers) {
            Judged::Ask(more) => self.waiting.push_front((more, true)),
            Judged::Known(statuses) => {
                let root = self.starter.root();
                let statuses = manager::without_program(root, &question, output, statuses);
                let services = question.services.into_iter();
                let observed = services.zip(statuses).collect();
                self.ended.push_back(Ended::Observed(observed));
            }
        }
        if is_late {
            self.ended.push_back(Ended::Changed);
        }
    }

    fn is_asked(&self, service: &Service) -> bool {
        let waiting = self.waiting.iter().map(|(question, _)| question);
        let asked = self.running.iter().filter_map(|it| it.purpose.question());
        waiting
            .chain(asked)
            .any(|question| question.services.contains(service))
    }

    pub(super) fn ask(&mut self) {
        let asked = |it: &&Running| it.purpose.question().is_some();
        while self.running.iter().filter(asked).count() < QUESTIONS_MAX {
            let Some((question, again)) = self.waiting.pop_front() else {
                return;
            };
            let step = match question.services.first() {
                Some(Service::Commands { .. }) => Step::Outside(question.argv.clone(), Vec::new()),
                _ => Step::System(question.argv.clone()),
            };
            match self.starter.start(&step, ANSWER_MAX, false) {
                Ok((child, unit)) => {
                    let time_ns = self.answer_time_ns(&question);
                    let until_ns = self.watcher.now_ns().saturating_add(time_ns);
                    let purpose = Purpose::Question {
                        question,
                        again,
                        until_ns,
                    };
                    self.keep(Running {
                        child,
                        unit,
                        purpose,
                    });
                }
                Err(why) => self.unknown(&question, &why),
            }
        }
    }

    fn answer_time_ns(&self, question: &Question) -> u64 {
        let mut services = question.services.iter();
        if services.all(|service| self.overran.contains(service)) {
            ANSWER_AGAIN_NS
        } else {
            ANSWER_NS
        }
    }

    pub(super) fn unknown(&mut self, question: &Question, why: &str) {
        let services = question.services.iter().cloned();
        let unknown = services.map(|service| (service, Status::Unknown(why.to_owned())));
        self.ended.push_back(Ended::Observed(unknown.collect()));
    }
}
