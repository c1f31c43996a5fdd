//! The daemon's directive for a group.

use serde::{Deserialize, Serialize};

use crate::Forced;
use crate::record::record;

record! {
    /// The daemon's directive for a group, to the plugin that elects. It is the whole state: the newest replaces all earlier
    /// ones.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Directive {
        /// The configured name.
        pub group: String = 0,
        /// This node's quality, 0-100.
        pub quality: u8 = 1,
        /// The peer's quality, 0-100, if it is known.
        pub peer_quality: Option<u8> = 2,
        /// This node may become active.
        pub eligible: bool = 3,
        /// Role that an administrator forced.
        pub forced: Forced = 4,
        /// This node is in maintenance.
        pub maintenance: bool = 5,
        /// This node must stop being active now; `why` has the reason.
        pub resign: bool = 6,
        /// This node is not yet in sync: weaker than one that is.
        pub joining: bool = 7,
        /// A failover to this node would lose nothing: tell the peer.
        pub ready: bool = 8,
        /// No change of role for quality or preference.
        pub frozen: bool = 9,
        /// The peer is prepared: publish backup now, so that it becomes active.
        pub release: bool = 10,
        /// This node is prepared: become active as soon as the peer lets go.
        pub prepared: bool = 11,
        /// The group was active here until an elector ended, and the machine has run since: its networks carry.
        pub held: bool = 12,
        /// The reason.
        pub why: String = 13,
        /// Points that checks take off this node's priority, 0-253. They are taken off `quality` already.
        pub points: u8 = 14,
    }
}

/// Values until the daemon has sent any.
impl Default for Directive {
    fn default() -> Self {
        Self {
            group: String::new(),
            quality: 100,
            peer_quality: None,
            eligible: true,
            forced: Forced::No,
            maintenance: false,
            resign: false,
            joining: false,
            ready: false,
            frozen: false,
            release: false,
            prepared: false,
            held: false,
            why: String::new(),
            points: 0,
        }
    }
}

impl Directive {
    /// Returns true if the node is forced active and not in maintenance, which overrules that.
    pub fn is_forced_active(&self) -> bool {
        self.forced == Forced::Active && !self.stands_aside()
    }

    /// Returns true in maintenance or if forced backup: this node serves only if nobody else does.
    pub fn stands_aside(&self) -> bool {
        self.maintenance || self.forced == Forced::Backup
    }
}
