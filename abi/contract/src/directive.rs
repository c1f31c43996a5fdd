//! The daemon's directive for a group.

use serde::{Deserialize, Serialize};
use spared_abi as abi;

use crate::Forced;
use crate::named::flags;
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
        }
    }
}

flags! {
    Directive {
        eligible = DIRECTIVE_ELIGIBLE,
        maintenance = DIRECTIVE_MAINTENANCE,
        resign = DIRECTIVE_RESIGN,
        joining = DIRECTIVE_JOINING,
        ready = DIRECTIVE_READY,
        frozen = DIRECTIVE_FROZEN,
        release = DIRECTIVE_RELEASE,
        prepared = DIRECTIVE_PREPARED,
        held = DIRECTIVE_HELD,
    }
}

impl Directive {
    /// Converts to the form of the C interface, which points to the texts of this value.
    pub fn to_raw(&self) -> abi::Directive {
        let of_peer = match self.peer_quality {
            Some(_) => abi::DIRECTIVE_PEER,
            None => 0,
        };
        abi::Directive {
            size: size_of::<abi::Directive>() as u32,
            flags: self.to_flags() | of_peer,
            group: abi::Str::of(&self.group),
            quality: self.quality.into(),
            peer_quality: self.peer_quality.unwrap_or(0).into(),
            forced: self.forced.to_raw(),
            reserved: 0,
            why: abi::Str::of(&self.why),
        }
    }

    /// Converts from the form of the C interface, whose texts were read before.
    pub fn from_raw(raw: &abi::Directive, group: String, why: String) -> Self {
        let quality = |raw: u32| raw.min(abi::QUALITY_MAX) as u8;
        let is_of_peer = raw.flags & abi::DIRECTIVE_PEER != 0;
        let mut directive = Self {
            group,
            quality: quality(raw.quality),
            peer_quality: is_of_peer.then(|| quality(raw.peer_quality)),
            forced: Forced::from_raw(raw.forced).unwrap_or_default(),
            why,
            ..Self::default()
        };
        directive.set_flags(raw.flags);
        directive
    }

    /// Returns true if the node is forced active and not in maintenance, which overrules that.
    pub fn is_forced_active(&self) -> bool {
        self.forced == Forced::Active && !self.stands_aside()
    }

    /// Returns true in maintenance or if forced backup: this node serves only if nobody else does.
    pub fn stands_aside(&self) -> bool {
        self.maintenance || self.forced == Forced::Backup
    }
}
