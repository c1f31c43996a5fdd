//! Requests: of clients over the control socket, and of the peer over the link.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use spared_control::{Answer, ErrorCode, Request, Status};
use spared_requests::View;
use spared_requests::switch::Switch;
use spared_worker::message::Row;

use super::core::Core;
use super::history::There;
use super::look::{kind, value};
use super::words;
use crate::control::{Asked, Caller, refusal};
use crate::supervisor::{Answered, Unanswered};

/// Time for the peer's half of an answer, and for the rows of all plugins in `status`.
pub const STATUS_TIMEOUT: Duration = Duration::from_secs(1);
/// Time for the rows of plugins if the peer asks: the answer must reach it within its `STATUS_TIMEOUT`.
const HALF_TIMEOUT: Duration = Duration::from_millis(600);
/// Time for another verb of a plugin, which may have to search all its records. sparectl waits 15 s.
const QUERY_TIMEOUT: Duration = Duration::from_secs(12);

/// Receiver of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    Client(u64),
    /// The peer, by the number of its question.
    Peer(u64),
    /// Plugins that watch the status.
    Watchers,
}

/// A request that waits for plugins, for the peer, or for a switchover.
#[derive(Debug)]
pub struct Question {
    pub(super) asker: Asker,
    pub(super) kind: Asking,
    /// Queries not yet answered, with the plugin of each.
    waiting: BTreeMap<u64, String>,
    rows: BTreeMap<String, Vec<Row>>,
    /// A plugin's answer calls for attention.
    attention: bool,
    /// An answer was too long: rows are missing.
    missing: bool,
    /// Number of the question to the peer, until it is answered.
    pub(super) there: Option<u64>,
}

#[derive(Debug)]
pub enum Asking {
    /// The status, with the peer's half. None: of this node alone.
    Status(Option<Half>),
    /// The history, with that of the peer.
    History(There),
    /// Causes of one group or all, with the history of the peer.
    Why(Option<String>, There),
    Plugin,
    /// The peer's answer, unchanged.
    Node(Option<Answer>),
    Switch(Switch),
}

/// The peer's half of the status. None until it has answered.
pub type Half = Option<Box<Status>>;

impl Question {
    pub(super) fn new(asker: Asker, kind: Asking) -> Self {
        Self {
            asker,
            kind,
            waiting: BTreeMap::new(),
            rows: BTreeMap::new(),
            attention: false,
            missing: false,
            there: None,
        }
    }

    fn is_complete(&self) -> bool {
        let switched = match &self.kind {
            Asking::Switch(switch) => switch.is_complete(),
            _ => true,
        };
        switched && self.waiting.is_empty() && self.there.is_none()
    }
}

impl Core {
    /// What this node knows, for requests.
    pub(super) fn view(&self) -> View<'_> {
        let forced = self.overrides.forced().iter();
        View {
            own: &self.setup.host.node,
            peer: self.peer_name(),
            is_peer_up: self.pair.peer.is_up(),
            there: self.pair.peer.facts(),
            missing: &self.pair.missing,
            quality: self.quality.number(),
            groups: &self.groups,
            forced: forced
                .map(|(name, it)| (name.as_str(), it.active))
                .collect(),
        }
    }

    pub(super) fn handle_asked(&mut self, now: Instant, asked: Option<Asked>) {
        if let Some(asked) = asked {
            let asker = Asker::Client(asked.client);
            self.serve(now, asker, &asked.caller, asked.request);
        }
    }

    /// Answers a request at once, or begins work that ends with an answer. The caller's permission was
    /// checked before.
    pub(super) fn serve(&mut self, now: Instant, asker: Asker, caller: &Caller, request: Request) {
        self.renew_missing();
        let by = caller.name();
        let answer = match request {
            Request::Status => return self.ask_status(now, asker, true),
            Request::OwnStatus => return self.ask_status(now, asker, false),
            Request::Why { group } => return self.ask_why(now, asker, group),
            Request::History => return self.ask_history(now, asker),
            Request::OwnHistory => self.own_history(),
            Request::OwnReport { from } => self.own_half.ask(now, &self.options, from),
            Request::Events { limit } => Answer::Events {
                events: self.events.newest(limit),
            },
            Request::Plugins => Answer::Plugins {
                plugins: self.supervisor.status(),
            },
            Request::Reload { anyway } => match asker {
                Asker::Client(client) => return self.request_reload(now, Some(client), anyway),
                Asker::Peer(_) | Asker::Watchers => {
                    refusal(ErrorCode::Permission, "run reload on each node itself")
                }
            },
            Request::Force { group, to, anyway } => self.force(group.as_deref(), to, anyway, &by),
            Request::Switch { group, to, anyway } => {
                return self.switch(now, asker, group.as_deref(), to.as_deref(), anyway, &by);
            }
            Request::Maintenance { on, for_s, anyway } => self.maintain(on, for_s, anyway, &by),
            Request::Freeze { for_ms } => self.freeze(for_ms, &by),
            Request::Node { node, request } => {
                return self.ask_node(now, asker, caller, &node, *request);
            }
            Request::Plugin { name, argv } => {
                return self.ask_plugin(now, asker, caller, name, argv);
            }
        };
        self.reply(now, asker, &answer);
    }

    pub(super) fn reply(&mut self, now: Instant, asker: Asker, answer: &Answer) {
        match asker {
            Asker::Client(client) => self.answer(now, client, answer),
            Asker::Peer(id) => self.answer_peer(id, answer),
            // they are told by `tell_watchers`
            Asker::Watchers => {}
        }
    }

    pub(super) fn answer(&mut self, now: Instant, client: u64, answer: &Answer) {
        let asked = self.control.answer(&self.poller, now, client, answer);
        self.handle_asked(now, asked);
    }

    /// Asks the plugins for rows, and, if `whole`, the peer for its half.
    pub(super) fn ask_status(&mut self, now: Instant, asker: Asker, whole: bool) {
        let mut question = Question::new(asker, Asking::Status(whole.then_some(None)));
        if whole {
            question.there = self.ask_peer(now + STATUS_TIMEOUT, &Request::OwnStatus);
        }
        let status = ["status".to_owned()];
        let names = self.supervisor.names().into_iter();
        let plugins = names.filter(|name| {
            let descriptor = self.supervisor.descriptor(name);
            self.supervisor.is_running(name)
                && descriptor.is_some_and(|it| it.verb(&status).is_some())
        });
        let plugins = plugins.collect();
        self.ask(now, question, plugins, &status);
    }

    fn ask_plugin(
        &mut self,
        now: Instant,
        asker: Asker,
        caller: &Caller,
        name: String,
        argv: Vec<String>,
    ) {
        let refused = match self.supervisor.descriptor(&name) {
            None if self.supervisor.settings(&name).is_none() => {
                Some(refusal(ErrorCode::Usage, self.no_plugin(&name)))
            }
            _ if !self.supervisor.is_running(&name) => Some(refusal(
                ErrorCode::Refused,
                format!("{name} is not running"),
            )),
            Some(descriptor) => words::answer(descriptor, caller, &self.setup.host.node, &argv),
            None => None,
        };
        match refused {
            Some(answer) => self.reply(now, asker, &answer),
            None => {
                let question = Question::new(asker, Asking::Plugin);
                self.ask(now, question, BTreeSet::from([name]), &argv);
            }
        }
    }

    // A plugin that is installed lacks only its file.
    fn no_plugin(&self, name: &str) -> String {
        let is_name = !name.contains(['/', '.']);
        let library = self.options.plugin_dir.join(format!("{name}.so"));
        match is_name && library.is_file() {
            true => format!("{name} is not enabled: there is no plugins/{name}.toml"),
            false => format!("there is no plugin \"{name}\""),
        }
    }

    fn ask(
        &mut self,
        now: Instant,
        mut question: Question,
        plugins: BTreeSet<String>,
        argv: &[String],
    ) {
        for plugin in plugins {
            let id = self.next_number();
            question.waiting.insert(id, plugin);
        }
        let patience = match (argv, question.asker) {
            ([word], Asker::Client(_)) if word == "status" => STATUS_TIMEOUT,
            ([word], _) if word == "status" => HALF_TIMEOUT,
            _ => QUERY_TIMEOUT,
        };
        let until = now + patience;
        let asked = question.waiting.clone();
        self.await_answers(now, question);
        for (id, plugin) in asked {
            self.supervisor
                .query(now, until, &plugin, argv.to_vec(), id);
        }
    }

    /// Keeps a question until it is complete.
    pub(super) fn await_answers(&mut self, now: Instant, question: Question) {
        let number = self.next_number();
        self.questions.insert(number, question);
        self.end_if_complete(now, number);
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.question += 1;
        self.question
    }

    pub(super) fn handle_answered(
        &mut self,
        now: Instant,
        id: u64,
        result: Result<Answered, Unanswered>,
    ) {
        if self.recorder.awaits(id) {
            return self.handle_totals(now, result);
        }
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
            let (asker, answer) = (question.asker, refusal(code, unanswered.why.clone()));
            self.questions.remove(&number);
            return self.reply(now, asker, &answer);
        }
        let answered = result.unwrap_or_default();
        question.rows.insert(plugin, answered.rows);
        question.attention |= answered.attention;
        question.missing |= answered.missing;
        self.end_if_complete(now, number);
    }

    pub(super) fn end_if_complete(&mut self, now: Instant, number: u64) {
        let complete = self.questions.get(&number).map(Question::is_complete);
        if complete == Some(true) {
            if let Some(question) = self.questions.remove(&number) {
                self.end_question(now, question);
            }
        }
    }

    fn end_question(&mut self, now: Instant, question: Question) {
        self.renew_missing();
        let answer = match question.kind {
            Asking::Status(there) => {
                let look = self.look(question.rows);
                if question.asker == Asker::Watchers {
                    return self.tell_watchers(now, &look);
                }
                let mut status = self.status(&look);
                if let Some(there) = there {
                    status.verdict = self.verdict(&look);
                    status.peer = self.peer_status(&look, there);
                }
                status.rows = look.rows;
                Answer::Status(Box::new(status))
            }
            Asking::History(there) => self.history(there),
            Asking::Why(group, there) => self.why(group.as_deref(), there),
            Asking::Plugin => {
                let rows: Vec<Row> = question.rows.into_values().flatten().collect();
                let kinds = rows.iter();
                Answer::Rows {
                    kinds: kinds
                        .filter_map(|row| Some((row.key.clone(), kind(&row.value)?)))
                        .collect(),
                    rows: rows
                        .into_iter()
                        .map(|row| (row.key, value(row.value)))
                        .collect(),
                    attention: question.attention,
                    missing: question.missing,
                }
            }
            Asking::Node(answer) => answer.unwrap_or_else(|| self.no_answer()),
            Asking::Switch(switch) => switch.answer(),
        };
        self.reply(now, question.asker, &answer);
    }
}
