//! Writes what charon gets of an IKE SA.

use crate::sa::Body;
use crate::sessions::message::{self, Kind};
use crate::sessions::{IkeSa, IkeSpis};

/// Messages that make charon take over an IKE SA.
pub fn messages_of(spis: IkeSpis, ike: &IkeSa) -> Vec<Body> {
    let mut messages = ike.adds.clone();
    messages.extend(ike.update.clone());
    if !ike.vips.is_empty() {
        let update = message::virtual_addresses(ike.version, spis, ike.is_initiator, &ike.vips);
        messages.push(Body::new(update));
    }
    let ids = [
        (Kind::MidInitiator, ike.message_ids.initiator),
        (Kind::MidResponder, ike.message_ids.responder),
    ];
    for (kind, mid) in ids.into_iter().filter(|(_, mid)| *mid > 0) {
        let message = message::message_id(ike.version, kind, spis, ike.is_initiator, mid);
        messages.push(Body::new(message));
    }
    messages
}
