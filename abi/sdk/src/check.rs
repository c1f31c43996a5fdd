//! `spared.check/1`: facts that make this node more or less fit.

use spared_abi as abi;

use crate::Error;
use crate::error::check;
use crate::host::{Host, c_text};
use crate::interface::call_ctx;

/// Reports checks; from [`Host::checks`].
#[derive(Clone, Copy, Debug)]
pub struct Checks {
    pub(crate) host: Host,
    pub(crate) table: *const abi::Check,
}

impl Checks {
    /// `name` is unique in the plugin; `weight` is 0-9999; `state` is 0 (failed) to 100 (good).
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
