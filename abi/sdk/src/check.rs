//! `spared.check/1`: what is as it should be, and what makes this node less fit.

use spared_abi as abi;

use crate::Error;
use crate::error::check;
use crate::host::{Host, c_text};
use crate::interface::call_ctx;

/// What a plugin was configured to do, and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// A name that is unique among the plugin's checks: the unit, the server, the table.
    pub thing: String,
    /// What is the matter, as it may stand in brackets.
    pub why: String,
    /// False: whether it is so is not known yet.
    pub is_known: bool,
}

impl Trouble {
    /// It is not so.
    pub fn new(thing: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            thing: thing.into(),
            why: why.into(),
            is_known: true,
        }
    }

    /// Whether it is so is not known yet.
    pub fn unknown(thing: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            is_known: false,
            ..Self::new(thing, why)
        }
    }
}

/// Reports checks; from [`Host::checks`].
#[derive(Clone, Copy, Debug)]
pub struct Checks {
    pub(crate) host: Host,
    pub(crate) table: *const abi::Check,
}

impl Checks {
    /// `name` is unique in the plugin; `weight` is 0-9999, and 0 where this node is no less fit for
    /// it; `state` is 0 (failed) to 100 (good), or [`abi::CHECK_UNKNOWN`].
    ///
    /// # Errors
    /// The host's, which has logged why.
    pub fn report(&self, name: &str, weight: u32, state: u32, why: &str) -> Result<(), Error> {
        let c_name = c_text(name)?;
        // SAFETY: the table is valid as long as the instance; the texts live through the call.
        let status = unsafe {
            let why = abi::Str::of(why);
            call_ctx!(
                self.table,
                report,
                self.host.ctx(),
                c_name.as_ptr(),
                weight,
                state,
                why
            )
        };
        check(&format!("report check {name}"), status)
    }

    /// Reports a trouble, which says nothing about fitness.
    ///
    /// # Errors
    /// The host's, which has logged why.
    pub fn trouble(&self, trouble: &Trouble) -> Result<(), Error> {
        let state = match trouble.is_known {
            true => 0,
            false => abi::CHECK_UNKNOWN,
        };
        self.report(&trouble.thing, 0, state, &trouble.why)
    }

    /// Withdraws a check.
    ///
    /// # Errors
    /// The host's, which has logged why.
    pub fn forget(&self, name: &str) -> Result<(), Error> {
        let c_name = c_text(name)?;
        // SAFETY: as above.
        let status = unsafe { call_ctx!(self.table, forget, self.host.ctx(), c_name.as_ptr()) };
        check(&format!("forget check {name}"), status)
    }
}
