//! Planted faults: each omits a rule, and the tests must find it.

/// Rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum PlantedFault {
    /// The stamp is the sender's number, not this node's.
    StampFromSender,
    /// Records that were not named are deleted before END has arrived.
    PruneBeforeEnd,
    /// Records are acknowledged when they are handed to the store.
    AckBeforeVerdict,
    /// A follower applies a value that contradicts its own pending change.
    OwnChangeLoses,
    /// Flags stay valid although the peer's store began a new incarnation.
    IncarnationIgnored,
    /// Pending changes stay pending when the channel goes down.
    PendingKept,
    /// Records of the peer are sent back as changes.
    Echo,
    /// Each request for the table makes one more snapshot wait.
    SnapshotsQueue,
    /// Messages of another pair of roles count.
    PairIgnored,
    /// The expiry of a record is sent as a deletion.
    ExpiryDeletes,
}

#[cfg(test)]
mod switch {
    use super::PlantedFault;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<PlantedFault>> = const { Cell::new(None) };
    }

    impl PlantedFault {
        pub const ALL: [Self; 10] = [
            Self::StampFromSender,
            Self::PruneBeforeEnd,
            Self::AckBeforeVerdict,
            Self::OwnChangeLoses,
            Self::IncarnationIgnored,
            Self::PendingKept,
            Self::Echo,
            Self::SnapshotsQueue,
            Self::PairIgnored,
            Self::ExpiryDeletes,
        ];

        pub fn plant(fault: Option<Self>) {
            PLANTED.set(fault);
        }

        pub fn is_planted(self) -> bool {
            PLANTED.get() == Some(self)
        }
    }
}

#[cfg(not(test))]
impl PlantedFault {
    #[inline(always)]
    pub const fn is_planted(self) -> bool {
        false
    }
}
