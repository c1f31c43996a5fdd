//! Keeps the fence: what it contains, since when it is missing, and the one that an earlier run left.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use super::fence::{Counts, Fence, FenceError, LeaseKey, Plan, Tampering};

use super::FenceState;

/// Time for which the fence of an earlier run is kept if nothing is claimed after a start.
const OLD_KEPT: Duration = Duration::from_secs(60);

pub(super) struct FenceKeeper {
    /// The fence; None if the administrator switched it off. Addresses are then installed only while they may answer.
    fence: Option<Fence>,
    contents: Contents,
    /// Time at which the fence of an earlier run is removed if nothing has been claimed by then.
    old_until: Option<Instant>,
    missing_since: Option<Instant>,
    /// Total time for which the fence was known to be missing, until it was last restored.
    missing_for: Duration,
    restored: u64,
}

/// Contents of the fence.
#[derive(Debug, Default, PartialEq)]
enum Contents {
    /// Nothing was applied since the start.
    #[default]
    Untouched,
    /// The last plan was refused: there may be anything.
    Unknown,
    Planned(Plan),
}

/// Change of the fence by others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Damage {
    /// True if another program changed a fence that was in use.
    pub(super) is_foreign: bool,
}

impl FenceKeeper {
    pub(super) fn new(fence: Option<Fence>) -> Self {
        Self {
            fence,
            contents: Contents::default(),
            old_until: None,
            missing_since: None,
            missing_for: Duration::ZERO,
            restored: 0,
        }
    }

    // ---- contents

    /// Makes the fence match a plan. Returns for how long the fence was missing, if it was.
    ///
    /// # Errors
    /// nftables refuses it. The contents of the fence are unknown then.
    pub(super) fn apply(
        &mut self,
        plan: Plan,
        open: &BTreeSet<LeaseKey>,
    ) -> Result<Option<Duration>, FenceError> {
        let Some(fence) = &mut self.fence else {
            return Ok(None);
        };
        if let Err(error) = fence.apply(&plan, open) {
            self.contents = Contents::Unknown;
            return Err(error);
        }
        self.contents = Contents::Planned(plan);
        let missing = self.missing_since.take().map(|since| since.elapsed());
        if let Some(missing) = missing {
            self.restored += 1;
            self.missing_for += missing;
        }
        Ok(missing)
    }

    /// Changes the fence leases. Has no effect if the fence is off.
    pub(super) fn change(
        &mut self,
        change: impl Fn(&mut Fence) -> Result<(), FenceError>,
    ) -> Result<(), FenceError> {
        self.fence.as_mut().map_or(Ok(()), change)
    }

    /// Reads what others did to the fence; None if nothing.
    pub(super) fn take_damage(&mut self, now: Instant) -> Option<Damage> {
        let is_foreign = match self.fence.as_mut()?.take_tampering() {
            Tampering::None => return None,
            Tampering::Unsure => false,
            Tampering::Foreign => self.is_planned(),
        };
        if is_foreign {
            self.missing_since.get_or_insert(now);
        }
        Some(Damage { is_foreign })
    }

    /// Removes the fence. Has no effect if it is off.
    pub(super) fn remove(&mut self) -> Result<(), FenceError> {
        let removed = self.fence.as_mut().map(Fence::remove);
        removed.transpose().map(|_| ())
    }

    // ---- the fence of an earlier run

    /// Keeps the fence of an earlier run until the first claims. If the fence is off now, that fence is removed, as it
    /// would block forever, and true is returned. Also detects if the kernel has no nftables.
    pub(super) fn handle_start(&mut self) -> Result<bool, FenceError> {
        self.contents = Contents::Untouched;
        match &mut self.fence {
            Some(fence) if fence.is_there() => self.old_until = Some(Instant::now() + OLD_KEPT),
            Some(fence) => {
                fence.remove()?;
            }
            None => return remove_old(),
        }
        Ok(false)
    }

    /// Removes the fence of an earlier run if nothing has been claimed until this time.
    pub(super) fn end_old(&mut self, now: Instant) -> Result<(), FenceError> {
        if self.old_until.take_if(|until| now >= *until).is_none() || self.is_planned() {
            return Ok(());
        }
        self.remove()
    }

    /// Returns the fence of an earlier run.
    pub(super) fn old(&self) -> Option<&Fence> {
        self.fence.as_ref().filter(|fence| fence.is_there())
    }

    pub(super) fn old_until(&self) -> Option<Instant> {
        self.old_until
    }

    // ---- state

    /// Returns true if the administrator did not switch the fence off.
    pub(super) fn is_on(&self) -> bool {
        self.fence.is_some()
    }

    /// Returns true if the fence was applied since the start, or was to be.
    pub(super) fn is_planned(&self) -> bool {
        self.contents != Contents::Untouched
    }

    /// Returns true if the fence is as planned. An empty plan needs no fence.
    pub(super) fn matches(&self, plan: &Plan) -> bool {
        match &self.contents {
            Contents::Untouched => *plan == Plan::default(),
            Contents::Unknown => false,
            Contents::Planned(contents) => contents == plan,
        }
    }

    pub(super) fn is_missing(&self) -> bool {
        self.missing_since.is_some()
    }

    /// Returns the leases that are valid.
    ///
    /// # Errors
    /// The state of the fence, if it is off or missing.
    pub(super) fn valid_leases(&self) -> Result<BTreeSet<LeaseKey>, FenceState> {
        let fence = self.fence.as_ref().ok_or(FenceState::Off)?;
        if self.is_missing() || !fence.is_in_force() {
            return Err(FenceState::Missing);
        }
        let leases = fence.leases().unwrap_or_default();
        Ok(leases.into_iter().map(|(key, _)| key).collect())
    }

    pub(super) fn counts(&self) -> Counts {
        let counted = self.fence.as_ref().map(Fence::counts);
        counted.and_then(Result::ok).unwrap_or_default()
    }

    /// Returns the number of times that the fence was restored.
    pub(super) fn restored(&self) -> u64 {
        self.restored
    }

    /// Returns the total time for which the fence was known to be missing.
    pub(super) fn missing_for(&self) -> Duration {
        let now = self.missing_since.map(|since| since.elapsed());
        self.missing_for + now.unwrap_or_default()
    }

    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.fence.as_ref().map(Fence::descriptor)
    }
}

// Removes the fence of an earlier run which was killed before the fence was switched off. If nftables cannot be read,
// there is no fence.
fn remove_old() -> Result<bool, FenceError> {
    match Fence::open_sockets() {
        Ok(mut fence) if fence.is_there() => fence.remove(),
        _ => Ok(false),
    }
}
