//! Checks: the state of things that a plugin watches, which make up the quality of this node.

use spared_abi as abi;

use crate::Error;
use crate::error::check;
use crate::host::Host;

/// State that is not as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Name, unique among the plugin's checks: the unit, the server, the table.
    pub thing: String,
    /// Reason, as text that may stand in brackets.
    pub why: String,
    /// False while the state is unknown.
    pub is_known: bool,
    /// True if the thing works here and a failover loses it.
    pub is_loss: bool,
}

impl Trouble {
    /// Creates a trouble whose state is known.
    pub fn new(thing: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            thing: thing.into(),
            why: why.into(),
            is_known: true,
            is_loss: false,
        }
    }

    /// Creates a trouble for a thing that works here and ends with this node. `why` is a sentence without a full stop.
    pub fn loss(thing: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            is_loss: true,
            ..Self::new(thing, why)
        }
    }

    /// Creates a trouble whose state is not known yet.
    pub fn unknown(thing: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            is_known: false,
            ..Self::new(thing, why)
        }
    }
}

/// Handle that reports checks; from [`Host::checks`].
#[derive(Clone, Copy, Debug)]
pub struct Checks(pub(crate) Host);

impl Checks {
    /// Greatest number of points that checks take off.
    pub const POINTS_MAX: u32 = spared_contract::check::POINTS_MAX;

    /// Reports a check. `name` is unique in the plugin, 1-64 bytes. `weight` is 0-9999; with 0 the check does not make
    /// this node less fit. `state` is 0 (failed) to 100 (good), [`abi::CHECK_UNKNOWN`] or [`abi::CHECK_LOSES`].
    ///
    /// # Errors
    /// A value is out of bounds; the reason is logged.
    pub fn report(&self, name: &str, weight: u32, state: u32, why: &str) -> Result<(), Error> {
        let status = self.0.core().report_check(name, weight, state, why);
        check(&format!("report check {name}"), status)
    }

    /// Reports a check that takes points off this node's quality, and off its priority in an election by priority, other
    /// than a share of the weights: `points` now, 0-253. `state` is as for [`report`](Self::report).
    ///
    /// # Errors
    /// A value is out of bounds; the reason is logged.
    pub fn report_points(
        &self,
        name: &str,
        points: u32,
        state: u32,
        why: &str,
    ) -> Result<(), Error> {
        let status = self.0.core().report_points(name, points, state, why);
        check(&format!("report check {name}"), status)
    }

    /// Reports a trouble as a check of weight 0.
    ///
    /// # Errors
    /// As for [`report`](Self::report).
    pub fn trouble(&self, trouble: &Trouble) -> Result<(), Error> {
        let state = match (trouble.is_known, trouble.is_loss) {
            (_, true) => abi::CHECK_LOSES,
            (true, false) => 0,
            (false, false) => abi::CHECK_UNKNOWN,
        };
        self.report(&trouble.thing, 0, state, &trouble.why)
    }

    /// Withdraws a check.
    ///
    /// # Errors
    /// As for [`report`](Self::report).
    pub fn forget(&self, name: &str) -> Result<(), Error> {
        let status = self.0.core().forget_check(name);
        check(&format!("forget check {name}"), status)
    }
}
