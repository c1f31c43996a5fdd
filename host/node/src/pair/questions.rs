//! Questions and orders across the link: those of this node, and those of the peer.

use std::time::{Duration, Instant};

use spared_control::{Answer, ErrorCode, Request, refusal};

use super::Pair;

/// Time left for the answer to a request that is sent once more.
const AGAIN_BEFORE_END: Duration = Duration::from_millis(500);

impl Pair {
    /// Asks the peer; None if it cannot be asked. A status or a history is requested once more if no answer has
    /// come half a second before the end.
    pub fn ask(&mut self, until: Instant, request: &Request) -> Option<u64> {
        let again = match request {
            Request::OwnStatus | Request::OwnHistory => until.checked_sub(AGAIN_BEFORE_END),
            _ => None,
        };
        let request = serde_json::to_string(request).ok()?;
        self.peer.ask(until, again, request)
    }

    /// The same for what changes something. It has `lasts` until it is begun, and from then on.
    pub fn order(&mut self, now: Instant, lasts: Duration, request: &Request) -> Option<u64> {
        let request = serde_json::to_string(request).ok()?;
        self.peer.order(now + lasts, lasts, request)
    }

    /// The peer's answer, from its text; None if nobody waits for it any more.
    pub fn handle_answer(&mut self, id: u64, text: &str) -> Option<Answer> {
        let answer = self
            .peer
            .handle_answer(id)
            .then(|| spared_peer::answer(text))?;
        Some(answer.unwrap_or_else(|why| {
            let why = format!("the peer's answer is invalid: {why}");
            refusal(ErrorCode::Failed, why)
        }))
    }

    /// An order of the peer that it now says to begin, or not to.
    pub fn take_held(&mut self, id: u64) -> Option<String> {
        self.peer.take_held(id)
    }

    /// Takes a question of the peer; false if it is being answered already, or if too many are.
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
        self.peer.answer(id, spared_peer::fit(id, answer.clone()));
    }
}
