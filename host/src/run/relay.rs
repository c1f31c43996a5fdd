//! Questions across the link: requests of local clients to the peer, and of the peer to this node.

use std::time::{Duration, Instant};

use spared_control::{Answer, ErrorCode, Request};
use spared_requests::Caller;
use spared_requests::questions::{Asker, Asking, Question};

use super::core::Core;
use crate::control::refusal;

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
            _ if !Caller::passes(&request) => {
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
        let there = self.ask_peer(now + timeout, &request);
        let question = Question::new(asker, Asking::Node(None)).asks_peer(there);
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
        let ended = self.questions.handle_there(id, Some(answer));
        self.end(now, ended);
    }

    pub(super) fn handle_unanswered(&mut self, now: Instant, id: u64) {
        let ended = self.questions.handle_there(id, None);
        self.end(now, ended);
    }

    // ---- requests of the peer

    pub(super) fn handle_ask(&mut self, now: Instant, id: u64, request: &str) {
        if !self.pair.peer.handle_ask(id) {
            return log::warn!("too many requests from the peer: ignored");
        }
        let peer = self.peer_name().unwrap_or("the peer").to_owned();
        let asker = Asker::Peer(id);
        match serde_json::from_str::<Request>(request) {
            Ok(request) if Caller::passes(&request) => {
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
        self.pair
            .peer
            .answer(id, spared_peer::fit(id, answer.clone()));
    }
}
