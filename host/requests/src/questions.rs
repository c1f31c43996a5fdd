//! Keeps requests that wait for plugins, for the peer, or for switchovers. Answers arrive by number, and a question is
//! returned when it has all its answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use spared_contract::Row;
use spared_message::control::{Answer, ErrorCode, Status, refusal};
use spared_message::query::{Answered, Unanswered};
use spared_verdict::{Past, PastQuery};

use crate::rows::{kind, value};
use crate::switch::{Planned, Switch};

/// Time limit for the peer's half of an answer, and for the rows of all plugins in `status`.
pub const STATUS_TIMEOUT: Duration = Duration::from_secs(1);
/// Time limit for the rows of plugins if the peer asks: the answer must reach it within its `STATUS_TIMEOUT`.
const HALF_TIMEOUT: Duration = Duration::from_millis(600);
/// Maximum number of further parts of the peer's history in an answer.
const PARTS_MAX: usize = 3;
/// Time limit for other verbs of a plugin, which may have to search all its records. sparectl waits 15 s.
const QUERY_TIMEOUT: Duration = Duration::from_secs(12);

/// Receiver of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    Client(u64),
    /// The peer, with the number of its question.
    Peer(u64),
    /// All who read the snapshot.
    Snapshot,
    /// A plugin, with the number of its request for a document.
    Plugin(u64),
}

/// Kind of a question, with the peer's part of the answer.
#[derive(Debug)]
pub enum QuestionKind {
    /// The status, with the peer's half; None for the status of this node alone.
    Status(Option<PeerStatusHalf>),
    /// The snapshot of this node.
    Snapshot,
    /// The history, with the peer's history.
    History(PastQuery, PeerHistory),
    /// Causes of the roles of one group or all, with the peer's history.
    Why(Option<String>, PeerHistory),
    Plugin,
    /// The peer's answer, which is passed on unchanged.
    Node(Option<Answer>),
    Switch(Switch),
    /// An order to arm both nodes: lines about this one, and the peer's answer.
    Arm(Vec<String>, Option<Answer>),
    /// An order to confirm the reloads of both nodes: this node's answer, and the peer's.
    Confirm(Answer, Option<Answer>),
    /// A plugin refused the query.
    Refused(Answer),
}

/// Half of the status that the peer sends; None until it has answered.
pub type PeerStatusHalf = Option<Box<Status>>;

/// History of the peer; None until it has answered.
pub type PeerHistory = Option<Past>;

/// A request, with the answers that have arrived.
#[derive(Debug)]
pub struct Question {
    pub asker: Asker,
    pub kind: QuestionKind,
    /// Rows of plugins, by plugin.
    pub rows: BTreeMap<String, Vec<Row>>,
    /// Pending queries, with the plugin of each.
    waiting: BTreeMap<u64, String>,
    /// True if a plugin's answer needs attention.
    attention: bool,
    /// True if an answer was too long, so that rows are missing.
    missing: bool,
    /// Number of the pending question to the peer; None if there is none.
    there: Option<u64>,
    /// Number of further parts of the peer's history that were asked for.
    parts: usize,
}

impl Question {
    pub fn new(asker: Asker, kind: QuestionKind) -> Self {
        Self {
            asker,
            kind,
            rows: BTreeMap::new(),
            waiting: BTreeMap::new(),
            attention: false,
            missing: false,
            there: None,
            parts: 0,
        }
    }

    /// Makes the question wait for the peer's answer with this number; None if the peer cannot be asked.
    #[must_use]
    pub fn asks_peer(self, there: Option<u64>) -> Self {
        Self { there, ..self }
    }

    /// Returns the time limit for the plugins to answer these words.
    pub fn timeout(&self, argv: &[String]) -> Duration {
        match (argv, self.asker) {
            ([word], Asker::Client(_) | Asker::Plugin(_)) if word == "status" => STATUS_TIMEOUT,
            ([word], _) if word == "status" => HALF_TIMEOUT,
            _ => QUERY_TIMEOUT,
        }
    }

    /// Returns the query for a further part of the peer's history; None if there is none, or if enough were asked for.
    pub fn next_part(&mut self) -> Option<PastQuery> {
        let QuestionKind::History(query, Some(there)) = &self.kind else {
            return None;
        };
        let query = query.before(there).filter(|_| self.parts < PARTS_MAX)?;
        self.parts += 1;
        Some(query)
    }

    /// Returns the rows of all plugins that have answered.
    pub fn into_rows(self) -> Answer {
        let rows: Vec<Row> = self.rows.into_values().flatten().collect();
        let kinds = rows.iter();
        Answer::Rows {
            kinds: kinds
                .filter_map(|row| Some((row.key.clone(), kind(&row.value)?)))
                .collect(),
            rows: rows
                .into_iter()
                .map(|row| (row.key, value(row.value)))
                .collect(),
            attention: self.attention,
            missing: self.missing,
        }
    }

    fn is_complete(&self) -> bool {
        let switched = match &self.kind {
            QuestionKind::Switch(switch) => switch.is_complete(),
            _ => true,
        };
        switched && self.waiting.is_empty() && self.there.is_none()
    }

    fn take_there(&mut self, answer: Option<Answer>) {
        self.there = None;
        match (&mut self.kind, answer) {
            (
                QuestionKind::Node(there)
                | QuestionKind::Arm(_, there)
                | QuestionKind::Confirm(_, there),
                answer,
            ) => *there = answer,
            (QuestionKind::Status(Some(there)), Some(Answer::Status(status))) => {
                *there = Some(status)
            }
            (
                QuestionKind::History(_, there) | QuestionKind::Why(_, there),
                Some(Answer::History(part)),
            ) => match there {
                Some(known) => known.add_older(*part),
                None => *there = Some(*part),
            },
            _ => {}
        }
    }
}

/// Pending questions. Each method that takes an answer returns the question that it completes.
#[derive(Debug, Default)]
pub struct Questions {
    open: BTreeMap<u64, Question>,
    number: u64,
    /// Queries of further parts of metrics.
    parts: Vec<MetricsPart>,
}

/// Query of a further part of a plugin's metrics, which do not fit into one answer.
#[derive(Debug, PartialEq)]
pub struct MetricsPart {
    pub id: u64,
    pub plugin: String,
    /// Word with which the part is asked for, from the answer before.
    pub word: String,
}

impl Questions {
    /// Returns a new number for a query or a switchover.
    pub fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Keeps a question until it is complete, and returns it if it is already.
    pub fn begin(&mut self, question: Question) -> Option<Question> {
        let number = self.next_number();
        self.open.insert(number, question);
        self.take_complete(number)
    }

    /// Keeps a question to plugins. Returns number and plugin of each query, and also the question if it is already
    /// complete.
    pub fn begin_queries(
        &mut self,
        mut question: Question,
        plugins: BTreeSet<String>,
    ) -> (Vec<(u64, String)>, Option<Question>) {
        for plugin in plugins {
            let id = self.next_number();
            question.waiting.insert(id, plugin);
        }
        let queries = question.waiting.clone().into_iter().collect();
        (queries, self.begin(question))
    }

    /// Keeps a question until switchovers have ended. Returns number and group of each, and also the question if none
    /// begins.
    pub fn begin_switch(
        &mut self,
        asker: Asker,
        planned: Planned,
    ) -> (Vec<(u64, String)>, Option<Question>) {
        let switch = Switch::begin(planned, || self.next_number());
        let begun = switch.groups();
        (
            begun,
            self.begin(Question::new(asker, QuestionKind::Switch(switch))),
        )
    }

    /// Handles a plugin's answer to the query of this number.
    pub fn handle_answered(
        &mut self,
        id: u64,
        result: Result<Answered, Unanswered>,
    ) -> Option<Question> {
        let mut open = self.open.iter_mut();
        let (number, question) = open.find(|(_, it)| it.waiting.contains_key(&id))?;
        let number = *number;
        let plugin = question.waiting.remove(&id)?;
        if let (QuestionKind::Plugin, Err(unanswered)) = (&question.kind, &result) {
            let code = if unanswered.unknown_words {
                ErrorCode::Usage
            } else {
                ErrorCode::Failed
            };
            question.kind = QuestionKind::Refused(refusal(code, unanswered.why.clone()));
            return self.open.remove(&number);
        }
        let mut answered = result.unwrap_or_default();
        let is_snapshot = matches!(question.kind, QuestionKind::Snapshot);
        if let Some(word) = is_snapshot.then(|| take_more(&mut answered)).flatten() {
            self.number += 1;
            question.waiting.insert(self.number, plugin.clone());
            self.parts.push(MetricsPart {
                id: self.number,
                plugin: plugin.clone(),
                word,
            });
        }
        let rows = question.rows.entry(plugin).or_default();
        rows.append(&mut answered.rows);
        question.attention |= answered.attention;
        question.missing |= answered.missing;
        self.take_complete(number)
    }

    /// Returns the queries of further parts, which are to be sent.
    pub fn take_parts(&mut self) -> Vec<MetricsPart> {
        std::mem::take(&mut self.parts)
    }

    /// Handles the peer's answer to the question with this number; None if it did not answer.
    pub fn handle_there(&mut self, id: u64, answer: Option<Answer>) -> Option<Question> {
        let mut open = self.open.iter_mut();
        let (number, question) = open.find(|(_, it)| it.there == Some(id))?;
        let number = *number;
        question.take_there(answer);
        self.take_complete(number)
    }

    /// Handles the end of a switchover that a client waits for.
    pub fn handle_switched(
        &mut self,
        request: u64,
        result: Result<Vec<String>, String>,
    ) -> Option<Question> {
        let mut open = self.open.iter_mut();
        let (number, switch) = open.find_map(|(number, question)| match &mut question.kind {
            QuestionKind::Switch(switch) if switch.awaits(request) => Some((*number, switch)),
            _ => None,
        })?;
        switch.end(request, result);
        self.take_complete(number)
    }

    fn take_complete(&mut self, number: u64) -> Option<Question> {
        let is_complete = self.open.get(&number).is_some_and(Question::is_complete);
        is_complete.then(|| self.open.remove(&number)).flatten()
    }
}

/// Row of a part of metrics that another one follows. Its text is the word with which that one is asked for.
const MORE: &str = "more";

fn take_more(answered: &mut Answered) -> Option<String> {
    let at = answered.rows.iter().position(|row| row.key == MORE)?;
    match answered.rows.remove(at).value {
        spared_contract::Value::Text(word) => Some(word),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::switch::Move;

    fn question(kind: QuestionKind) -> Question {
        Question::new(Asker::Client(1), kind)
    }

    fn plugins(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_status_is_complete_when_all_plugins_and_the_peer_have_answered() {
        let mut questions = Questions::default();
        let asked = question(QuestionKind::Status(Some(None))).asks_peer(Some(7));
        let (queries, ended) = questions.begin_queries(asked, plugins(&["sets", "vrrp"]));
        assert!(ended.is_none());
        let [(sets, _), (vrrp, _)] = queries[..] else {
            panic!("{queries:?}");
        };
        assert!(
            questions
                .handle_answered(sets, Ok(Answered::default()))
                .is_none()
        );
        let status = Answer::Status(Box::default());
        assert!(questions.handle_there(8, None).is_none(), "another one");
        assert!(questions.handle_there(7, Some(status)).is_none());
        let silent = Unanswered {
            unknown_words: false,
            why: "vrrp does not answer".to_owned(),
        };
        let ended = questions.handle_answered(vrrp, Err(silent));
        let ended = ended.expect("all have answered");
        assert!(matches!(ended.kind, QuestionKind::Status(Some(Some(_)))));
        assert_eq!(ended.rows.len(), 2, "a silent plugin has no rows");
        assert!(questions.open.is_empty());
    }

    #[test]
    fn a_snapshot_is_complete_with_the_last_part_of_a_plugin() {
        let mut questions = Questions::default();
        let (queries, _) =
            questions.begin_queries(question(QuestionKind::Snapshot), plugins(&["vrrp"]));
        let part = |key: &str, more: &[&str]| {
            let row = |key: &str, text: &str| Row {
                key: key.to_owned(),
                value: spared_contract::Value::Text(text.to_owned()),
            };
            let more = more.iter().map(|word| row(MORE, word));
            Ok(Answered {
                rows: more.chain([row(key, "")]).collect(),
                ..Answered::default()
            })
        };
        let ended = questions.handle_answered(queries[0].0, part("lan.role", &["16"]));
        assert!(ended.is_none(), "a part is missing");
        let parts = questions.take_parts();
        assert_eq!((parts.len(), parts[0].word.as_str()), (1, "16"));
        assert_eq!(questions.take_parts(), []);
        let ended = questions.handle_answered(parts[0].id, part("wan.role", &[]));
        let rows = ended.expect("it was the last").rows;
        let keys: Vec<&str> = rows["vrrp"].iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys, ["lan.role", "wan.role"]);
    }

    #[test]
    fn a_question_that_nobody_has_to_answer_ends_at_once() {
        let mut questions = Questions::default();
        let asked = question(QuestionKind::Status(None));
        let (queries, ended) = questions.begin_queries(asked, plugins(&[]));
        assert!(queries.is_empty() && ended.is_some());
        let unheard = question(QuestionKind::History(PastQuery::default(), None)).asks_peer(None);
        assert!(questions.begin(unheard).is_some());
        let asked = question(QuestionKind::History(PastQuery::default(), None)).asks_peer(Some(9));
        assert!(questions.begin(asked).is_none(), "the peer is waited for");
        assert!(questions.handle_there(9, None).is_some());
    }

    #[test]
    fn a_long_history_of_the_peer_comes_in_parts_of_which_there_are_not_too_many() {
        let mut questions = Questions::default();
        let part = |since: usize, is_cut| {
            Answer::History(Box::new(Past {
                since: Some(format!("2026-11-{since:02}T00:00:00Z")),
                is_cut,
                ..Past::default()
            }))
        };
        for (is_long, parts) in [(false, 3), (true, PARTS_MAX + 1)] {
            let kind = QuestionKind::History(PastQuery::default(), None);
            let mut asked = question(kind);
            for number in 1..=parts {
                assert!(questions.begin(asked.asks_peer(Some(9))).is_none());
                let is_cut = is_long || number < parts;
                let answer = part(20 - number, is_cut);
                asked = questions.handle_there(9, Some(answer)).expect("a part");
                let until = asked.next_part().and_then(|query| query.until);
                let wanted = format!("2026-11-{:02}T00:00:00Z", 20 - number);
                assert_eq!(until, (number < parts).then_some(wanted));
            }
        }
        let kind = QuestionKind::History(PastQuery::default(), None);
        assert!(questions.begin(question(kind).asks_peer(Some(9))).is_none());
        let mut silent = questions.handle_there(9, None).expect("it ends");
        assert_eq!(silent.next_part(), None);
    }

    #[test]
    fn a_plugin_that_refuses_words_is_quoted() {
        let mut questions = Questions::default();
        let (queries, _) =
            questions.begin_queries(question(QuestionKind::Plugin), plugins(&["sets"]));
        let refused = Unanswered {
            unknown_words: true,
            why: "sets: no such set".to_owned(),
        };
        let ended = questions.handle_answered(queries[0].0, Err(refused));
        let QuestionKind::Refused(answer) = ended.expect("it is the only plugin").kind else {
            panic!("not refused");
        };
        assert_eq!(answer, refusal(ErrorCode::Usage, "sets: no such set"));
    }

    #[test]
    fn a_switch_ends_with_its_last_switchover() {
        let mut questions = Questions::default();
        let moves = ["lan", "wan"].map(|group| Move {
            group: group.to_owned(),
            from: "r1".to_owned(),
            to: "r2".to_owned(),
        });
        let planned = Planned {
            moves: moves.to_vec(),
            ..Planned::default()
        };
        let (begun, ended) = questions.begin_switch(Asker::Client(1), planned);
        assert!(ended.is_none());
        let [(lan, _), (wan, _)] = begun[..] else {
            panic!("{begun:?}");
        };
        let said = |group: &str| Ok(vec![format!("{group}: switched over")]);
        assert!(questions.handle_switched(lan, said("lan")).is_none());
        assert!(
            questions.handle_switched(lan, said("lan")).is_none(),
            "twice"
        );
        let ended = questions.handle_switched(wan, said("wan"));
        assert!(matches!(
            ended.map(|it| it.kind),
            Some(QuestionKind::Switch(_))
        ));
    }
}
