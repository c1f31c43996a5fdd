//! Questions across the link: requests of local clients to the peer, and of the peer to this node.

use std::time::{Duration, Instant};

use spared_control::{Answer, ErrorCode, Request};
use spared_link::word::{WORD_MAX, Word};

use super::core::Core;
use super::requests::{Asker, Asking, Question};
use crate::control::{Caller, refusal};

const NODE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer for a switchover, which is answered when it has ended.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(6);

impl Core {
    /// `sparectl --node NODE ...`
    pub(super) fn ask_node(
        &mut self,
        now: Instant,
        asker: Asker,
        caller: &Caller,
        node: &str,
        request: Request,
    ) {
        let refused = match (&request, self.peer_name()) {
            (Request::Node { .. }, _) => Some(refusal(
                ErrorCode::Usage,
                "a request can name only one node",
            )),
            _ if node == self.setup.host.node => {
                return self.serve(now, asker, caller, request);
            }
            (_, peer) if peer != Some(node) => {
                Some(refusal(ErrorCode::Usage, self.view().no_such_node(node)))
            }
            _ if !passes(&request) => {
                let why = format!("not a read-only command: run it on {node} itself");
                Some(refusal(ErrorCode::Refused, why))
            }
            _ => None,
        };
        if let Some(answer) = refused {
            return self.reply(now, asker, &answer);
        }
        let timeout = match request {
            Request::Switch { .. } => SWITCH_TIMEOUT,
            _ => NODE_TIMEOUT,
        };
        let mut question = Question::new(asker, Asking::Node(None));
        question.there = self.ask_peer(now + timeout, &request);
        self.await_answers(now, question);
    }

    pub(super) fn no_answer(&self) -> Answer {
        let peer = self.peer_name().unwrap_or("the peer");
        match self.pair.peer.is_up() {
            true => refusal(ErrorCode::Failed, format!("{peer} does not answer")),
            false => refusal(
                ErrorCode::Refused,
                format!("{peer} is not heard: no link is up"),
            ),
        }
    }

    /// Sends the peer a request; None if it cannot be asked.
    pub(super) fn ask_peer(&mut self, until: Instant, request: &Request) -> Option<u64> {
        let request = serde_json::to_string(request).ok()?;
        self.pair.peer.ask(until, request)
    }

    pub(super) fn handle_peer_answer(&mut self, now: Instant, id: u64, answer: &str) {
        if !self.pair.peer.handle_answer(id) {
            return;
        }
        let answer = spared_peer::answer(answer).unwrap_or_else(|why| {
            let why = format!("the peer's answer is invalid: {why}");
            refusal(ErrorCode::Failed, why)
        });
        self.end_there(now, id, Some(answer));
    }

    pub(super) fn handle_unanswered(&mut self, now: Instant, id: u64) {
        self.end_there(now, id, None);
    }

    fn end_there(&mut self, now: Instant, id: u64, answer: Option<Answer>) {
        let mut questions = self.questions.iter_mut();
        let Some((number, question)) = questions.find(|(_, q)| q.there == Some(id)) else {
            return;
        };
        let number = *number;
        question.there = None;
        match (&mut question.kind, answer) {
            (Asking::Node(there), answer) => *there = answer,
            (Asking::Status(Some(there)), Some(Answer::Status(status))) => *there = Some(status),
            (
                Asking::History(there) | Asking::Why(_, there),
                Some(Answer::History { changes, .. }),
            ) => *there = Some(changes),
            _ => {}
        }
        self.end_if_complete(now, number);
    }

    // ---- requests of the peer

    pub(super) fn handle_ask(&mut self, now: Instant, id: u64, request: &str) {
        if !self.pair.peer.handle_ask(id) {
            return log::warn!("too many requests from the peer: ignored");
        }
        let peer = self.peer_name().unwrap_or("the peer").to_owned();
        let asker = Asker::Peer(id);
        match serde_json::from_str::<Request>(request) {
            Ok(request) if passes(&request) => {
                self.serve(now, asker, &Caller::at(&peer), request);
            }
            Ok(_) => {
                let node = &self.setup.host.node;
                let why = format!("not a read-only command: run it on {node} itself");
                self.reply(now, asker, &refusal(ErrorCode::Permission, why));
            }
            Err(error) => {
                let why = format!("not a request: {error}");
                self.reply(now, asker, &refusal(ErrorCode::Usage, why));
            }
        }
    }

    pub(super) fn answer_peer(&mut self, id: u64, answer: &Answer) {
        self.pair.peer.answer(id, fit(id, answer.clone()));
    }
}

/// True if a request may be asked across the link.
fn passes(request: &Request) -> bool {
    let is_ours = matches!(request, Request::Switch { .. } | Request::OwnReport { .. });
    is_ours || Caller::reads(request)
}

/// An answer as a line that fits into a word. Of events and changes, the newest are kept.
fn fit(id: u64, mut answer: Answer) -> String {
    loop {
        let line = serde_json::to_string(&answer).unwrap_or_default();
        let word = Word::Answer {
            id,
            answer: line.clone(),
        };
        let length = serde_json::to_string(&word).map_or(usize::MAX, |word| word.len());
        if length <= WORD_MAX {
            return line;
        }
        match &mut answer {
            Answer::Events { events } if !events.is_empty() => {
                events.drain(..events.len().div_ceil(2));
            }
            Answer::History { changes, .. } if !changes.is_empty() => {
                changes.drain(..changes.len().div_ceil(2));
            }
            // The least important parts are dropped first.
            Answer::Status(status) if !status.rows.is_empty() => status.rows.clear(),
            Answer::Status(status) if !status.interfaces.is_empty() => status.interfaces.clear(),
            Answer::Status(status) if status.groups.iter().any(|it| !it.details.is_empty()) => {
                let groups = status.groups.iter_mut();
                groups.for_each(|group| group.details.clear());
            }
            _ => answer = refusal(ErrorCode::Failed, "the answer is too long for the link"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use spared_control::{Event, GroupStatus, Status, Value};

    use super::*;

    #[test]
    fn a_long_list_of_events_is_cut_at_its_beginning() {
        let event = |number: u32| Event {
            text: format!("{number} \"{}\"", "x".repeat(300)),
            ..Event::default()
        };
        let events: Vec<Event> = (0..1000).map(event).collect();
        let last = events.last().cloned();
        let line = fit(1, Answer::Events { events });
        assert!(line.len() < WORD_MAX);
        match spared_peer::answer(&line) {
            Ok(Answer::Events { events }) => {
                assert!(events.len() >= 100);
                assert_eq!(events.last().cloned(), last);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_long_status_loses_its_rows_and_keeps_its_groups() {
        let long = BTreeMap::from([("flows".to_owned(), Value::Text("x".repeat(WORD_MAX)))]);
        let status = Status {
            groups: vec![GroupStatus::default()],
            rows: BTreeMap::from([("conntrack".to_owned(), long)]),
            ..Status::default()
        };
        let line = fit(1, Answer::Status(Box::new(status)));
        match spared_peer::answer(&line) {
            Ok(Answer::Status(status)) => {
                assert_eq!((status.groups.len(), status.rows.len()), (1, 0));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_that_is_too_long_is_refused_and_not_sent() {
        let lines = vec!["x".repeat(WORD_MAX)];
        let line = fit(1, Answer::Done { lines });
        assert!(line.contains("too long"), "{line:.100}");
    }

    #[test]
    fn only_reading_and_switching_crosses_the_link() {
        let switch = Request::Switch {
            group: None,
            to: None,
            anyway: false,
        };
        assert!(passes(&switch) && passes(&Request::Status));
        assert!(passes(&Request::OwnReport { from: 0 }));
        assert!(!passes(&Request::Reload { anyway: false }));
        assert!(!passes(&Request::Freeze { for_ms: 1 }));
        let request = Box::new(Request::Status);
        let node = "r1".to_owned();
        assert!(!passes(&Request::Node { node, request }));
    }
}
