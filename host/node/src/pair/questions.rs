//! Sends questions and orders across the link, and handles those of the peer.

use std::time::{Duration, Instant};

use spared_message::control::{Answer, ErrorCode, Request, refusal};

use super::Pair;

/// Time before the end at which an unanswered request is sent again.
const AGAIN_BEFORE_END: Duration = Duration::from_millis(500);

impl Pair {
    /// Asks the peer. Returns the number of the question; None if the peer cannot be asked. A status or a history is
    /// requested again if no answer has arrived half a second before the end.
    pub fn ask(&mut self, until: Instant, request: &Request) -> Option<u64> {
        let again = match request {
            Request::OwnStatus | Request::OwnHistory(_) => until.checked_sub(AGAIN_BEFORE_END),
            _ => None,
        };
        let request = serde_json::to_string(request).ok()?;
        self.peer.ask(until, again, request)
    }

    /// Sends the peer an order, a request that changes something. It may take `lasts` until the peer begins it, and
    /// `lasts` from then on.
    pub fn order(&mut self, now: Instant, lasts: Duration, request: &Request) -> Option<u64> {
        let request = serde_json::to_string(request).ok()?;
        self.peer.order(now + lasts, lasts, request)
    }

    /// Parses the peer's answer. None if nobody waits for it any longer.
    pub fn handle_answer(&mut self, id: u64, text: &str) -> Option<Answer> {
        let answer = self
            .peer
            .handle_answer(id)
            .then(|| crate::peer::answer(text))?;
        Some(answer.unwrap_or_else(|why| {
            let why = format!("the peer's answer is invalid: {why}");
            refusal(ErrorCode::Failed, why)
        }))
    }

    /// Takes an order of the peer that was held until the peer confirmed or cancelled it.
    pub fn take_held(&mut self, id: u64) -> Option<String> {
        self.peer.take_held(id)
    }

    /// Accepts a question of the peer. Returns false if it is already being answered, or if too many are.
    pub fn handle_ask(&mut self, id: u64) -> bool {
        if self.peer.is_serving(id) {
            return false;
        }
        let is_taken = self.peer.handle_ask(id);
        if !is_taken {
            log::warn!("too many requests from the peer: ignored");
        }
        is_taken
    }

    pub fn answer(&mut self, id: u64, answer: &Answer) {
        self.peer
            .answer(id, crate::peer::answer_line(id, answer.clone()));
    }
}
