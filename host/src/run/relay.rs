//! Requests across the link: from local clients to the peer, and from the peer to this node.

use std::time::Instant;

use spared_message::clean;
use spared_message::control::Request;
use spared_requests::questions::{Asker, Question, QuestionKind};
use spared_requests::{Caller, Relay};

use super::r#loop::Loop;

impl Loop {
    /// Handles `sparectl --node NODE ...`: asks the peer.
    pub(super) fn ask_node(
        &mut self,
        now: Instant,
        asker: Asker,
        caller: &Caller,
        node: &str,
        request: Request,
    ) {
        match self.view().for_requests().relay(node, &request) {
            Relay::Here => self.serve(now, asker, caller, request),
            Relay::ToPeer(timeout) => {
                let there = if self.is_order(&request) {
                    self.pair.order(now, timeout, &request)
                } else {
                    self.pair.ask(now + timeout, &request)
                };
                let question = Question::new(asker, QuestionKind::Node(None));
                self.await_answers(now, question.asks_peer(there));
            }
            Relay::Refused(answer) => self.reply(now, asker, &answer),
        }
    }

    pub(super) fn handle_peer_answer(&mut self, now: Instant, id: u64, answer: &str) {
        if let Some(answer) = self.pair.handle_answer(id, answer) {
            self.handle_there(now, id, Some(answer));
        }
    }

    /// Handles that the peer did not answer a question in time.
    pub(super) fn handle_peer_silent(&mut self, now: Instant, id: u64) {
        self.handle_there(now, id, None);
    }

    /// Handles the peer's word about a held request: begin it, or drop it because nobody waits for it any more.
    pub(super) fn handle_begin(&mut self, now: Instant, id: u64, is_wanted: bool) {
        let Some(request) = self.pair.take_held(id) else {
            return;
        };
        if is_wanted {
            return self.handle_ask(now, id, &request);
        }
        let order = self.view().for_requests().request_of_peer(&request);
        if let Some(order) = order.ok().filter(|_| self.notices.take_peer_token(now)) {
            let (peer, command) = (self.config.peer(), order.command().to_string());
            log::warn!(
                "`{}` of a user on {peer} is dropped: sparectl had ended before spared could begin it",
                clean::text(&command)
            );
        }
    }

    /// Handles a request of the peer.
    pub(super) fn handle_ask(&mut self, now: Instant, id: u64, request: &str) {
        if !self.pair.handle_ask(id) {
            return;
        }
        let asker = Asker::Peer(id);
        match self.view().for_requests().request_of_peer(request) {
            Ok(request) => {
                let caller = Caller::over_link(self.config.peer());
                self.serve(now, asker, &caller, request);
            }
            Err(answer) => self.reply(now, asker, &answer),
        }
    }
}
