//! Beats: what the elector of one node tells that of the other over every link, so that silence
//! is silence on every path.

/// What one node says of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// [`group_id`] of the group's name.
    pub group: u64,
    pub role: Speaks,
    /// E0: forced active 3, normal 2, joining 1, forced backup or maintenance 0.
    pub class: u8,
    /// 0-100.
    pub quality: u8,
    pub preferred: bool,
    /// A takeover by this node would lose nothing.
    pub ready: bool,
    /// It elects by priority: so must the receiver.
    pub by_priority: bool,
    /// It cannot be active: barred, or without any usable interface.
    pub unable: bool,
    /// E6: the sender has closed its fence for the receiver, who is prepared.
    pub go: bool,
    pub advert_interval_ns: u64,
    /// In the order of the sender's routers.
    pub ports: Vec<BeatPort>,
}

/// What a node says of one of its interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeatPort {
    /// [`port_id`] of the interface's name.
    pub port: u32,
    /// It can speak there.
    pub usable: bool,
    /// It hears the other node's adverts there.
    pub hears: bool,
    pub rating: Rating,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    Fault,
    Backup,
    Active,
}

/// E3: how an interface on which the peer is unheard is rated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rating {
    /// Nobody to ask, or not yet answered.
    Unknown,
    Good,
    Bad,
}

/// FNV-1a of a group's name.
pub fn group_id(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The same of an interface's name, folded.
pub fn port_id(name: &str) -> u32 {
    let hash = group_id(name);
    (hash ^ (hash >> 32)) as u32
}
