//! Relays requests across the link: which ones are sent to the peer, and which ones the peer may
//! send.

use std::time::Duration;

use spared_message::control::{Answer, ErrorCode, Request, refusal};

use crate::{Caller, View};

const NODE_TIMEOUT: Duration = Duration::from_secs(2);
/// Time limit for a switchover. It is longer, as the answer comes at its end.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(6);

/// Node that answers a request of `sparectl --node NODE`.
#[derive(Debug, PartialEq)]
pub enum Relay {
    Here,
    /// The peer answers, within this time.
    ToPeer(Duration),
    Refused(Answer),
}

impl View<'_> {
    /// Returns which node answers a request.
    pub fn relay(&self, node: &str, request: &Request) -> Relay {
        if matches!(request, Request::Node { .. }) {
            let why = "a request can name only one node";
            return Relay::Refused(refusal(ErrorCode::Usage, why));
        }
        if node == self.own {
            return Relay::Here;
        }
        if self.peer != Some(node) {
            return Relay::Refused(refusal(ErrorCode::Usage, self.no_such_node(node)));
        }
        if !Caller::may_cross_link(request) {
            return Relay::Refused(refusal(ErrorCode::Refused, not_across(node)));
        }
        Relay::ToPeer(match request {
            Request::Switch { .. } => SWITCH_TIMEOUT,
            _ => NODE_TIMEOUT,
        })
    }

    /// Returns the answer if the peer is silent.
    pub fn no_answer(&self) -> Answer {
        let peer = self.peer.unwrap_or("the peer");
        if self.is_peer_up {
            refusal(ErrorCode::Failed, format!("{peer} does not answer"))
        } else {
            refusal(
                ErrorCode::Refused,
                format!("{peer} is not heard: no link is up"),
            )
        }
    }

    /// Parses a request of the peer.
    ///
    /// # Errors
    /// The text is no request, or one that the peer may not send.
    pub fn request_of_peer(&self, text: &str) -> Result<Request, Answer> {
        match serde_json::from_str::<Request>(text) {
            Ok(request) if Caller::may_cross_link(&request) => Ok(request),
            Ok(_) => Err(refusal(ErrorCode::Permission, not_across(self.own))),
            Err(error) => {
                let why = format!("not a request: {error}");
                Err(refusal(ErrorCode::Usage, why))
            }
        }
    }
}

fn not_across(node: &str) -> String {
    format!("not a read-only command: run it on {node} itself")
}
