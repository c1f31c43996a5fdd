//! Queries for the states of services, and their answers.

use super::running::{Purpose, RunningChild};
use super::{Command, Jobs, JobsEvent};
use crate::job::{Service, Status};
use crate::manager::{self, QueryResult, StatusQuery};

/// Time limit in ns for a manager's answer to a query.
const ANSWER_NS: u64 = 10_000_000_000;
/// Time limit in ns after a query that took too long: the repair is to be noticed soon.
const ANSWER_AGAIN_NS: u64 = 2_500_000_000;
/// Maximum number of queries at a time: fifty scripts at once would slow the services that they query, and starting
/// each takes a millisecond of the plugin's loop.
const QUERIES_MAX: usize = 4;
/// Maximum length of an answer in bytes: systemd writes about 400 bytes for each unit.
const ANSWER_MAX: usize = 1024 * 1024;

impl Jobs {
    /// Queries the states of services, except those whose query is in progress.
    pub fn observe(&mut self, services: &[Service]) {
        let wanted: Vec<Service> = services
            .iter()
            .filter(|service| !self.is_being_queried(service))
            .cloned()
            .collect();
        let (queries, known) = manager::queries(self.starter.root(), &wanted, &self.triggers);
        if !known.is_empty() {
            self.events.push_back(JobsEvent::Observed(known));
        }
        self.waiting_queries
            .extend(queries.into_iter().map(|query| (query, false)));
        self.begin_queries();
    }

    pub(super) fn handle_answer(
        &mut self,
        query: StatusQuery,
        again: bool,
        code: Option<i32>,
        output: &str,
    ) {
        let loaded = manager::loaded_units(&query, code, output);
        let is_late = self.watch.note_loaded(self.starter.root(), loaded);
        match manager::parse_answer(&query, code, output, again, &mut self.triggers) {
            QueryResult::AskMore(more) => self.waiting_queries.push_front((more, true)),
            QueryResult::Known(statuses) => {
                let root = self.starter.root();
                let statuses = manager::with_missing_programs(root, &query, output, statuses);
                let services = query.services.into_iter();
                let observed = services.zip(statuses).collect();
                self.events.push_back(JobsEvent::Observed(observed));
            }
        }
        if is_late {
            self.events.push_back(JobsEvent::Changed);
        }
    }

    fn is_being_queried(&self, service: &Service) -> bool {
        let waiting = self.waiting_queries.iter().map(|(query, _)| query);
        let asked = self.running.iter().filter_map(|it| it.purpose.query());
        waiting
            .chain(asked)
            .any(|query| query.services.contains(service))
    }

    pub(super) fn begin_queries(&mut self) {
        let asked = |it: &&RunningChild| it.purpose.query().is_some();
        while self.running.iter().filter(asked).count() < QUERIES_MAX {
            let Some((query, again)) = self.waiting_queries.pop_front() else {
                return;
            };
            let command = match query.services.first() {
                Some(Service::Commands { .. }) => Command::unconfined(query.argv.clone()),
                _ => Command::System(query.argv.clone()),
            };
            match self.starter.start(&command, ANSWER_MAX, false) {
                Ok((child, unit)) => {
                    let time_ns = self.answer_time_ns(&query);
                    let until_ns = self.reactor.now_ns().saturating_add(time_ns);
                    let purpose = Purpose::Query {
                        query,
                        again,
                        until_ns,
                    };
                    self.watch_child(RunningChild {
                        child,
                        unit,
                        purpose,
                    });
                }
                Err(why) => self.report_unknown(&query, &why),
            }
        }
    }

    fn answer_time_ns(&self, query: &StatusQuery) -> u64 {
        let mut services = query.services.iter();
        if services.all(|service| self.late_services.contains(service)) {
            ANSWER_AGAIN_NS
        } else {
            ANSWER_NS
        }
    }

    pub(super) fn report_unknown(&mut self, query: &StatusQuery, why: &str) {
        let services = query.services.iter().cloned();
        let unknown = services.map(|service| (service, Status::Unknown(why.to_owned())));
        self.events
            .push_back(JobsEvent::Observed(unknown.collect()));
    }
}
