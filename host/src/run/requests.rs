//! What people ask over the control socket.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use spared_control::{Answer, ErrorCode, Force, GroupWhy, Request, Value};
use spared_worker::message::{self, Forced, Row};

use super::core::Core;
use crate::control::{Asked, refusal};
use crate::supervisor::Unanswered;

/// A request that waits for plugins.
#[derive(Debug)]
pub struct Question {
    client: u64,
    kind: Asking,
    /// Queries not yet answered, and whom they were sent to.
    waiting: BTreeMap<u64, String>,
    rows: BTreeMap<String, Vec<Row>>,
}

#[derive(Debug)]
enum Asking {
    Status,
    Plugin,
}

impl Core {
    pub(super) fn handle_asked(&mut self, now: Instant, asked: Option<Asked>) {
        let Some(Asked {
            client,
            caller,
            request,
        }) = asked
        else {
            return;
        };
        let answer = match request {
            Request::Status => return self.ask_providers(now, client),
            Request::Why { group } => self.why(group.as_deref()),
            Request::Events { limit } => Answer::Events {
                events: self.events.newest(limit),
            },
            Request::Plugins => Answer::Plugins {
                plugins: self.supervisor.status(),
            },
            Request::Reload => return self.request_reload(now, Some(client)),
            Request::Force { group, to, .. } => self.force(group.as_deref(), to, &caller.name()),
            Request::Switch { .. }
            | Request::Maintenance { .. }
            | Request::Freeze { .. }
            | Request::Node { .. } => refusal(ErrorCode::Refused, "there is no link to a peer"),
            Request::Plugin { name, argv } => return self.ask_plugin(now, client, name, argv),
        };
        self.answer(now, client, &answer);
    }

    pub(super) fn answer(&mut self, now: Instant, client: u64, answer: &Answer) {
        let asked = self.control.answer(&self.poller, now, client, answer);
        self.handle_asked(now, asked);
    }

    fn why(&self, group: Option<&str>) -> Answer {
        let groups: Vec<GroupWhy> = self
            .groups
            .iter()
            .filter(|(name, _)| group.is_none_or(|wanted| wanted == *name))
            .map(|(name, group)| GroupWhy {
                group: name.to_owned(),
                sentence: group.why.clone(),
            })
            .collect();
        match group {
            Some(name) if groups.is_empty() => {
                refusal(ErrorCode::Usage, format!("there is no group \"{name}\""))
            }
            _ => Answer::Why { groups },
        }
    }

    fn force(&mut self, group: Option<&str>, to: Force, by: &str) -> Answer {
        let forced = match to {
            Force::Active => Forced::Active,
            Force::Backup => Forced::Backup,
            Force::Reset => Forced::No,
        };
        match self.groups.handle_force(group, forced, by) {
            Ok(lines) => Answer::Done { lines },
            Err(why) => refusal(ErrorCode::Usage, why),
        }
    }

    /// The plugins that decide roles know timers, counters and who was heard.
    fn ask_providers(&mut self, now: Instant, client: u64) {
        let names = self.supervisor.names();
        let providers: BTreeSet<String> = names
            .into_iter()
            .filter(|name| {
                self.supervisor.is_running(name) && self.supervisor.provides_groups(name)
            })
            .filter(|name| {
                self.supervisor
                    .descriptor(name)
                    .is_some_and(|d| d.has_query)
            })
            .collect();
        if providers.is_empty() {
            let answer = Answer::Status(Box::new(self.status(&BTreeMap::new())));
            return self.answer(now, client, &answer);
        }
        let argv = vec!["status".to_owned()];
        self.ask(now, client, Asking::Status, providers, &argv);
    }

    fn ask_plugin(&mut self, now: Instant, client: u64, name: String, argv: Vec<String>) {
        let refused = match self.supervisor.descriptor(&name) {
            None if self.supervisor.settings(&name).is_none() => Some(refusal(
                ErrorCode::Usage,
                format!("there is no plugin \"{name}\""),
            )),
            _ if !self.supervisor.is_running(&name) => Some(refusal(
                ErrorCode::Refused,
                format!("{name} is not running"),
            )),
            Some(descriptor) if !descriptor.has_query => Some(refusal(
                ErrorCode::Usage,
                format!("{name} answers no questions"),
            )),
            _ => None,
        };
        match refused {
            Some(answer) => self.answer(now, client, &answer),
            None => self.ask(now, client, Asking::Plugin, BTreeSet::from([name]), &argv),
        }
    }

    fn ask(
        &mut self,
        now: Instant,
        client: u64,
        kind: Asking,
        plugins: BTreeSet<String>,
        argv: &[String],
    ) {
        self.question += 1;
        let number = self.question;
        let waiting = plugins
            .into_iter()
            .map(|plugin| {
                self.question += 1;
                (self.question, plugin)
            })
            .collect();
        let question = Question {
            client,
            kind,
            waiting,
            rows: BTreeMap::new(),
        };
        let asked: Vec<(u64, String)> = question
            .waiting
            .iter()
            .map(|(id, plugin)| (*id, plugin.clone()))
            .collect();
        self.questions.insert(number, question);
        for (id, plugin) in asked {
            self.supervisor.query(now, &plugin, argv.to_vec(), id);
        }
    }

    pub(super) fn handle_answered(
        &mut self,
        now: Instant,
        id: u64,
        result: Result<Vec<Row>, Unanswered>,
    ) {
        let asked = self
            .questions
            .iter_mut()
            .find(|(_, q)| q.waiting.contains_key(&id));
        let Some((number, question)) = asked.map(|(number, question)| (*number, question)) else {
            return;
        };
        let Some(plugin) = question.waiting.remove(&id) else {
            return;
        };
        if let (Asking::Plugin, Err(unanswered)) = (&question.kind, &result) {
            let code = match unanswered.unknown_words {
                true => ErrorCode::Usage,
                false => ErrorCode::Failed,
            };
            let (client, answer) = (question.client, refusal(code, unanswered.why.clone()));
            self.questions.remove(&number);
            return self.answer(now, client, &answer);
        }
        question.rows.insert(plugin, result.unwrap_or_default());
        if question.waiting.is_empty() {
            if let Some(question) = self.questions.remove(&number) {
                self.end_question(now, question);
            }
        }
    }

    fn end_question(&mut self, now: Instant, question: Question) {
        let answer = match question.kind {
            Asking::Status => Answer::Status(Box::new(self.status(&question.rows))),
            Asking::Plugin => {
                let rows = question.rows.into_values().flatten();
                Answer::Rows {
                    rows: rows.map(|row| (row.key, value(row.value))).collect(),
                }
            }
        };
        self.answer(now, question.client, &answer);
    }
}

pub(super) fn value(value: message::Value) -> Value {
    match value {
        message::Value::Text(text) => Value::Text(text),
        message::Value::Number(number) => Value::Number(number),
    }
}
