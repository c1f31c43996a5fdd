//! Callbacks in which a behaviour begins.

/// A moment in the life of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// While the library is loaded, before the descriptor is read.
    Load,
    /// When asked for its half of an extension.
    Describe,
    Create,
    /// When a configuration is only checked.
    Check,
    Configure,
    Start,
    /// 200 ms after start.
    Timer,
    Role,
    Fd,
    Woken,
    Query,
    /// When told the state of an interface.
    Changed,
    Drain,
    Settle,
    Up,
    Down,
    Message,
    Writable,
    Stop,
    Destroy,
}

const NAMES: [(&str, Place); 20] = [
    ("load", Place::Load),
    ("describe", Place::Describe),
    ("create", Place::Create),
    ("check", Place::Check),
    ("configure", Place::Configure),
    ("start", Place::Start),
    ("timer", Place::Timer),
    ("role", Place::Role),
    ("fd", Place::Fd),
    ("woken", Place::Woken),
    ("query", Place::Query),
    ("changed", Place::Changed),
    ("drain", Place::Drain),
    ("settle", Place::Settle),
    ("up", Place::Up),
    ("down", Place::Down),
    ("message", Place::Message),
    ("writable", Place::Writable),
    ("stop", Place::Stop),
    ("destroy", Place::Destroy),
];

impl Place {
    pub fn named(name: &str) -> Option<Self> {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, place)| *place)
    }

    /// Whether it needs a peer.
    pub fn is_of_peer(self) -> bool {
        matches!(self, Self::Up | Self::Down | Self::Message | Self::Writable)
    }
}
