//! Requests of clients, of the peer and of plugins that watch the pair. Each is answered at once or kept until its answer is
//! complete.

use std::collections::BTreeSet;
use std::time::Instant;

use spared_abi::PLUGIN_DOCUMENTS;
use spared_contract::Cause;
use spared_journal::Recorded;
use spared_message::control::refusal;
use spared_message::control::{Answer, ErrorCode, PastQuery, Request, Verdict};
use spared_message::query::{Answered, DocumentRequest, Unanswered};
use spared_node::{Rows, StatusRows};
use spared_process::clock;
use spared_requests::documents::{self, Step};
use spared_requests::questions::{Asker, Question, QuestionKind, STATUS_TIMEOUT};
use spared_requests::server::Asked;
use spared_requests::watchers::with_verdict;
use spared_requests::{Caller, verbs};
use spared_verdict::CauseKind;

use super::r#loop::Loop;

/// Verbs of plugins that the daemon asks for itself.
const STATUS: &str = "status";
const METRICS: &str = "metrics";

impl Loop {
    pub(super) fn handle_asked(&mut self, now: Instant, asked: Option<Asked>) {
        if let Some(asked) = asked {
            if !self.is_still_asked(now, &asked) {
                return;
            }
            let asker = Asker::Client(asked.client);
            self.serve(now, asker, &asked.caller, asked.request);
        }
    }

    // Returns false for an order that waited while the daemon was stopped and whose client has given up: it is not
    // carried out.
    fn is_still_asked(&mut self, now: Instant, asked: &Asked) -> bool {
        let is_order = asked.caller.may_change() && self.is_order(&asked.request);
        if !is_order || self.clients.control.begin(now, asked.client) {
            return true;
        }
        let (command, by) = (asked.request.command(), asked.caller.name());
        log::warn!(
            "`{command}` of {by} is dropped: sparectl had ended before spared could begin it"
        );
        false
    }

    pub(super) fn is_order(&self, request: &Request) -> bool {
        match request {
            Request::Node { request, .. } => self.is_order(request),
            Request::Plugin { name, argv } => {
                let descriptor = self.supervisor.descriptor(name);
                let verb = descriptor.and_then(|it| it.verb(argv));
                verb.is_some_and(|it| it.changes)
            }
            Request::OwnReport { .. } => false,
            request => !Caller::is_read_only(request),
        }
    }

    /// Answers a request at once, or begins work that ends with an answer. The caller's permission was checked before.
    pub(super) fn serve(&mut self, now: Instant, asker: Asker, caller: &Caller, request: Request) {
        let by = caller.name();
        let answer = match request {
            Request::Status => return self.ask_status(now, asker, true),
            Request::OwnStatus => return self.ask_status(now, asker, false),
            Request::Metrics => return self.ask_metrics(now, asker),
            Request::Why { group } => return self.ask_why(now, asker, group),
            Request::History(query) => {
                let kind = QuestionKind::History(query.clone(), None);
                return self.ask_both(now, Question::new(asker, kind), query);
            }
            Request::OwnHistory(query) => self.view().own_history(&query),
            Request::OwnReport { from } => {
                self.clients.reports.ask(now, self.config.options(), from)
            }
            Request::Events { limit } => Answer::Events {
                events: self.notices.newest(limit),
            },
            Request::Plugins => Answer::Plugins {
                plugins: self.supervisor.status(),
            },
            Request::Reload { anyway } => match asker {
                Asker::Client(client) => return self.request_reload(now, Some(client), anyway),
                Asker::Peer(_) | Asker::Snapshot | Asker::Plugin(_) => {
                    refusal(ErrorCode::Permission, "run reload on each node itself")
                }
            },
            Request::ReloadToConfirm {
                anyway,
                within_s,
                across_restarts: across,
            } => match asker {
                Asker::Client(client) => {
                    return self.request_reload_to_confirm(now, client, anyway, within_s, across);
                }
                Asker::Peer(_) | Asker::Snapshot | Asker::Plugin(_) => {
                    refusal(ErrorCode::Permission, "run reload on each node itself")
                }
            },
            Request::Confirm => return self.confirm(now, asker, &by),
            Request::TakeBack => return self.take_back(now, asker, &by),
            Request::Force { group, to, anyway } => {
                self.renew_missing();
                self.force(group.as_deref(), to, anyway, &by)
            }
            Request::Switch { group, to, anyway } => {
                self.renew_readiness(now);
                return self.switch(now, asker, group.as_deref(), to.as_deref(), anyway, &by);
            }
            Request::Maintenance { on, for_s, anyway } => {
                self.renew_missing();
                self.maintain(on, for_s, anyway, &by)
            }
            Request::Freeze { for_ms } => self.freeze(now, for_ms, &by),
            Request::Arm => return self.arm(now, asker, &by),
            Request::Restart => return self.restart(now, asker, &by),
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
            Asker::Peer(id) => self.pair.answer(id, answer),
            Asker::Plugin(number) => {
                let document = self.clients.documents.handle_answer(number, answer);
                if let Some((plugin, part)) = document {
                    self.supervisor.send(now, &plugin, &part, &[]);
                }
            }
            // its readers get their answers by `end_snapshot`
            Asker::Snapshot => {}
        }
    }

    pub(super) fn answer(&mut self, now: Instant, client: u64, answer: &Answer) {
        self.clients
            .control
            .answer(&self.poller, now, client, answer);
    }

    /// Asks the plugins for rows and, if `whole`, the peer for its half.
    pub(super) fn ask_status(&mut self, now: Instant, asker: Asker, whole: bool) {
        let until = now + STATUS_TIMEOUT;
        let there = whole.then(|| self.pair.ask(until, &Request::OwnStatus));
        let question = Question::new(asker, QuestionKind::Status(whole.then_some(None)));
        let question = question.asks_peer(there.flatten());
        let status = [STATUS.to_owned()];
        let plugins = self.supervisor.with_verb(&status);
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
        let descriptor = self.supervisor.descriptor(&name);
        let refused = match self.supervisor.settings(&name) {
            None => Some(verbs::no_plugin(&name, self.config.has_library(&name))),
            Some(_) if !self.supervisor.is_running(&name) => Some(verbs::not_running(&name)),
            Some(_) => {
                descriptor.and_then(|it| verbs::answer(it, caller, self.config.node(), &argv))
            }
        };
        match refused {
            Some(answer) => self.reply(now, asker, &answer),
            None => {
                let question = Question::new(asker, QuestionKind::Plugin);
                self.ask(now, question, BTreeSet::from([name]), &argv);
            }
        }
    }

    fn ask(
        &mut self,
        now: Instant,
        question: Question,
        plugins: BTreeSet<String>,
        argv: &[String],
    ) {
        let until = now + question.timeout(argv);
        let (queries, ended) = self.clients.questions.begin_queries(question, plugins);
        for (id, plugin) in queries {
            self.supervisor
                .query(now, until, &plugin, argv.to_vec(), id);
        }
        self.end(now, ended);
    }

    /// Keeps a question until it is complete.
    pub(super) fn await_answers(&mut self, now: Instant, question: Question) {
        let ended = self.clients.questions.begin(question);
        self.end(now, ended);
    }

    pub(super) fn handle_answered(
        &mut self,
        now: Instant,
        id: u64,
        result: Result<Answered, Unanswered>,
    ) {
        if self.recorder.awaits(id) {
            return self.recorder.handle_totals(now, &self.groups, result);
        }
        let ended = self.clients.questions.handle_answered(id, result);
        let until = self.clients.snapshots.until().unwrap_or(now);
        for part in self.clients.questions.take_parts() {
            let words = vec![METRICS.to_owned(), part.word];
            self.supervisor
                .query(now, until, &part.plugin, words, part.id);
        }
        self.end(now, ended);
    }

    /// Handles the peer's answer to a question, or that there is none.
    pub(super) fn handle_there(&mut self, now: Instant, id: u64, answer: Option<Answer>) {
        let ended = self.clients.questions.handle_there(id, answer);
        self.end(now, ended);
    }

    /// Answers a question that is complete.
    pub(super) fn end(&mut self, now: Instant, ended: Option<Question>) {
        let Some(mut question) = ended else { return };
        if let Some(query) = question.next_part() {
            return self.ask_both(now, question, query);
        }
        let asker = question.asker;
        let kind = std::mem::replace(&mut question.kind, QuestionKind::Plugin);
        let answer = match kind {
            QuestionKind::Status(there) => {
                self.renew_missing();
                let status_rows = self.view().status_rows(question.rows);
                let mut status = self.view().status(&status_rows);
                if let Some(there) = there {
                    status.verdict = self.verdict(&status_rows);
                    status.peer = self.view().peer_status(&status_rows, there);
                }
                status.rows = status_rows.rows;
                Answer::Status(Box::new(status))
            }
            QuestionKind::Snapshot => return self.end_snapshot(now, question.rows),
            QuestionKind::History(query, there) => self.view().history(&query, there),
            QuestionKind::Why(group, there) => self.view().why(group.as_deref(), there),
            QuestionKind::Plugin => question.into_rows(),
            QuestionKind::Node(answer) => {
                answer.unwrap_or_else(|| self.view().for_requests().no_answer())
            }
            QuestionKind::Switch(switch) => switch.answer(),
            QuestionKind::Arm(lines, there) => self.view().for_requests().armed(lines, there),
            QuestionKind::Confirm(here, there) => self.view().for_requests().confirmed(here, there),
            QuestionKind::Refused(answer) => answer,
        };
        self.reply(now, asker, &answer);
    }

    fn ask_why(&mut self, now: Instant, asker: Asker, group: Option<String>) {
        match self.view().for_requests().unknown_group(group.as_deref()) {
            Some(answer) => self.reply(now, asker, &answer),
            None => {
                let query = PastQuery::last(group.as_deref());
                let kind = QuestionKind::Why(group, None);
                self.ask_both(now, Question::new(asker, kind), query);
            }
        }
    }

    // Completes a question with a part of the peer's history.
    fn ask_both(&mut self, now: Instant, question: Question, query: PastQuery) {
        let request = Request::OwnHistory(query);
        let there = self.pair.ask(now + STATUS_TIMEOUT, &request);
        self.await_answers(now, question.asks_peer(there));
    }

    // ---- switch: begins the switchovers that `spared_requests` has planned

    fn switch(
        &mut self,
        now: Instant,
        asker: Asker,
        group: Option<&str>,
        to: Option<&str>,
        anyway: bool,
        by: &str,
    ) {
        let planned = match self.view().for_requests().plan_switch(group, to, anyway) {
            Ok(planned) => planned,
            Err(answer) => return self.reply(now, asker, &answer),
        };
        let now_ns = clock::monotonic_ns();
        let (begun, ended) = self.clients.questions.begin_switch(asker, planned);
        self.end(now, ended);
        for (client_request, group) in begun {
            let cause = Cause::new(CauseKind::Asked, format!("{by} switched it"));
            self.groups
                .handle_client_request(now_ns, client_request, &group, cause, anyway);
        }
    }

    /// Handles the end of a switchover that a client waits for.
    pub(super) fn handle_switched_over(
        &mut self,
        now: Instant,
        client_request: u64,
        result: Result<Vec<String>, String>,
    ) {
        let ended = self
            .clients
            .questions
            .handle_switched(client_request, result);
        self.end(now, ended);
    }

    // ---- the snapshot: read by metrics, by plugins that watch the pair, and by findings

    fn ask_metrics(&mut self, now: Instant, asker: Asker) {
        match self.clients.snapshots.ask(now, asker) {
            Some(answer) => self.reply(now, asker, &answer),
            None => self.begin_snapshot(now),
        }
    }

    /// Makes the snapshot, once a second, if a plugin watches it or if a finding needs it (`is_doubtful`).
    pub(super) fn ask_for_watchers(&mut self, now: Instant, is_doubtful: bool) {
        if self.process.is_stopping() {
            return;
        }
        let is_wanted = self.notices.needs_plugin_status(now, is_doubtful);
        if self.clients.watchers.want_status() || is_wanted {
            self.begin_snapshot(now);
        }
    }

    // Asks each plugin for its metrics, or for its status if it has none.
    fn begin_snapshot(&mut self, now: Instant) {
        let Some(until) = self.clients.snapshots.begin(now) else {
            return;
        };
        let [metrics, status] = [METRICS, STATUS].map(|word| vec![word.to_owned()]);
        let with_metrics = self.supervisor.with_verb(&metrics);
        let plugins = &with_metrics | &self.supervisor.with_verb(&status);
        let question = Question::new(Asker::Snapshot, QuestionKind::Snapshot);
        let (queries, ended) = self.clients.questions.begin_queries(question, plugins);
        for (id, plugin) in queries {
            let words = if with_metrics.contains(&plugin) {
                &metrics
            } else {
                &status
            };
            self.supervisor
                .query(now, until, &plugin, words.clone(), id);
        }
        self.end(now, ended);
    }

    fn end_snapshot(&mut self, now: Instant, rows: Rows) {
        self.renew_missing();
        let status_rows = self.view().status_rows(rows);
        let mut status = self.view().status(&status_rows);
        status.verdict = self.verdict(&status_rows);
        status.peer = self.view().peer_status(&status_rows, None);
        self.tell_watchers(now, &status.verdict);
        status.rows = status_rows.rows;
        let answer = Answer::Status(Box::new(status));
        let (answer, waiting) = self.clients.snapshots.end(now, answer);
        for asker in waiting {
            self.reply(now, asker, &answer);
        }
    }

    fn verdict(&mut self, status_rows: &StatusRows) -> Verdict {
        let verdict = self.view().verdict(status_rows);
        self.notices.set_start_times(Instant::now(), verdict)
    }

    fn tell_watchers(&mut self, now: Instant, verdict: &Verdict) {
        let status = with_verdict(self.view().pair_status(), verdict, &self.groups);
        for (plugin, message) in self.clients.watchers.handle_status(&status) {
            self.supervisor.send(now, &plugin, &message, &[]);
        }
    }

    /// Handles a plugin's request for a document, which it may read like any read-only user.
    pub(super) fn handle_document(&mut self, now: Instant, plugin: &str, asked: DocumentRequest) {
        let descriptor = self.supervisor.descriptor(plugin);
        let may = descriptor.is_some_and(|it| it.flags & PLUGIN_DOCUMENTS != 0);
        let begun = if may {
            self.clients.documents.ask(now, plugin, asked)
        } else {
            Step::Tell(documents::refused(asked.ticket, libc::EPERM))
        };
        match begun {
            Step::Ask(asker, request) => self.serve(now, asker, &Caller::reader(), request),
            Step::Tell(message) => {
                self.supervisor.send(now, plugin, &message, &[]);
            }
        }
    }

    /// Sends the events that were recorded since the last call to the plugins that watch.
    pub(super) fn tell_events(&mut self, now: Instant) {
        for Recorded { level, event } in self.notices.take_new() {
            for (plugin, message) in self.clients.watchers.handle_event(now, level, &event) {
                self.supervisor.send(now, &plugin, &message, &[]);
            }
        }
    }
}
