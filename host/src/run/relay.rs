//! Questions across the link: requests of local clients to the peer, and of the peer to this node.

use std::time::{Duration, Instant};

use spared_control::refusal;
use spared_control::{Answer, ErrorCode, Request};
use spared_requests::Caller;
use spared_requests::questions::{Asker, Asking, Question};

use super::r#loop::Loop;

const NODE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer for a switchover, which is answered when it has ended.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(6);
/// Time left for the answer to a request that is sent once more.
const AGAIN_BEFORE_END: Duration = Duration::from_millis(500);

impl Loop {
    /// `sparectl --node NODE ...`
    pub(super) fn ask_node(
        &mut self,
        now: Instant,
        asker: Asker,
        caller: &Caller,
        node: &str,
        request: Request,
    ) {
        let refused = match (&request, self.here.peer_name()) {
            (Request::Node { .. }, _) => Some(refusal(
                ErrorCode::Usage,
                "a request can name only one node",
            )),
            _ if node == self.here.node() => {
                return self.serve(now, asker, caller, request);
            }
            (_, peer) if peer != Some(node) => {
                let why = self.view().for_requests().no_such_node(node);
                Some(refusal(ErrorCode::Usage, why))
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

    /// The answer for one who asked a silent peer.
    pub(super) fn no_answer(&self) -> Answer {
        let peer = self.here.peer();
        match self.pair.is_peer_up() {
            true => refusal(ErrorCode::Failed, format!("{peer} does not answer")),
            false => refusal(
                ErrorCode::Refused,
                format!("{peer} is not heard: no link is up"),
            ),
        }
    }

    /// Sends the peer a request; None if it cannot be asked. A status or a history is requested once more if
    /// no answer has come half a second before the end.
    pub(super) fn ask_peer(&mut self, until: Instant, request: &Request) -> Option<u64> {
        let again = match request {
            Request::OwnStatus | Request::OwnHistory => until.checked_sub(AGAIN_BEFORE_END),
            _ => None,
        };
        let request = serde_json::to_string(request).ok()?;
        self.pair.ask(until, again, request)
    }

    pub(super) fn handle_peer_answer(&mut self, now: Instant, id: u64, answer: &str) {
        if !self.pair.handle_answer(id) {
            return;
        }
        let answer = spared_peer::answer(answer).unwrap_or_else(|why| {
            let why = format!("the peer's answer is invalid: {why}");
            refusal(ErrorCode::Failed, why)
        });
        let ended = self.questions.handle_there(id, Some(answer));
        self.end(now, ended);
    }

    /// Handles that the peer has not answered a question.
    pub(super) fn handle_peer_silent(&mut self, now: Instant, id: u64) {
        let ended = self.questions.handle_there(id, None);
        self.end(now, ended);
    }

    // ---- requests of the peer

    pub(super) fn handle_ask(&mut self, now: Instant, id: u64, request: &str) {
        if self.pair.is_serving(id) {
            return;
        }
        if !self.pair.handle_ask(id) {
            return log::warn!("too many requests from the peer: ignored");
        }
        let peer = self.here.peer().to_owned();
        let asker = Asker::Peer(id);
        match serde_json::from_str::<Request>(request) {
            Ok(request) if Caller::passes(&request) => {
                self.serve(now, asker, &Caller::at(&peer), request);
            }
            Ok(_) => {
                let node = self.here.node();
                let why = format!("not a read-only command: run it on {node} itself");
                self.reply(now, asker, &refusal(ErrorCode::Permission, why));
            }
            Err(error) => {
                let why = format!("not a request: {error}");
                self.reply(now, asker, &refusal(ErrorCode::Usage, why));
            }
        }
    }
}
