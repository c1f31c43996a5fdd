//! Callbacks in which a behaviour begins.

/// A moment in the life of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// While the library is loaded, before the descriptor is read.
    Load,
    /// With the first configuration.
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
    Stop,
    Destroy,
}

const NAMES: [(&str, Place); 18] = [
    ("load", Place::Load),
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
    ("stop", Place::Stop),
    ("destroy", Place::Destroy),
];

impl Place {
    pub fn named(name: &str) -> Option<Self> {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, place)| *place)
    }

    /// Returns true if its callback may end later.
    pub fn may_wait(self) -> bool {
        matches!(self, Self::Drain | Self::Settle | Self::Role | Self::Query)
    }
}
