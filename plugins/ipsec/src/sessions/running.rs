//! An IKE SA that charon has, whether or not it follows.

use std::net::IpAddr;

use super::message::Message;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningIke {
    /// Local end, as far as charon has told it.
    pub end: Option<IpAddr>,
    /// charon began it.
    pub is_initiator: bool,
    pub is_ikev1: bool,
}

impl RunningIke {
    /// The IKE SA that a message is about.
    pub fn of(message: &Message) -> Self {
        Self {
            end: message.local_address,
            is_initiator: message.is_initiator,
            is_ikev1: message.is_ikev1,
        }
    }
}
