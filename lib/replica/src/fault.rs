//! Planted faults: each a rule that is left out, for the tests to find.

/// A rule left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Fault {
    /// The stamp is the sender's number, not this node's.
    MarkFromSender,
    /// What was not named is deleted before the end has come.
    PruneBeforeEnd,
    /// Records are acknowledged when they are handed to the store.
    AckBeforeVerdict,
    /// A follower applies what its own waiting change contradicts.
    OwnChangeLoses,
    /// Flags hold although the peer's store began a new life.
    IncarnationIgnored,
    /// Changes wait on when the channel goes down.
    PendingKept,
    /// What came from the peer is sent back as a change.
    Echo,
    /// Each request for the table makes one more snapshot wait.
    SnapshotsQueue,
    /// Messages of another pair of roles count.
    PairIgnored,
    /// What ran out is told as a deletion.
    EndedDeletes,
}

#[cfg(test)]
mod switch {
    use super::Fault;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    impl Fault {
        pub const ALL: [Self; 10] = [
            Self::MarkFromSender,
            Self::PruneBeforeEnd,
            Self::AckBeforeVerdict,
            Self::OwnChangeLoses,
            Self::IncarnationIgnored,
            Self::PendingKept,
            Self::Echo,
            Self::SnapshotsQueue,
            Self::PairIgnored,
            Self::EndedDeletes,
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
impl Fault {
    #[inline(always)]
    pub const fn is_planted(self) -> bool {
        false
    }
}
