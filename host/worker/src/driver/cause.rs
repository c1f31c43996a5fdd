//! Reads the cause of a role from the plugin's struct.

use spared_abi as abi;
use spared_contract::Cause;

use super::lent;

/// # Errors
/// What is wrong, for the log.
///
/// # Safety
/// `raw` is NULL or valid, as are the texts that it leads to.
pub unsafe fn read(raw: *const abi::Cause) -> Result<Cause, String> {
    if raw.is_null() {
        return Err("without a cause".to_owned());
    }
    // SAFETY: the caller's promise, for the struct and its texts.
    unsafe {
        let raw = lent::sized(raw, "spared_cause")?;
        lent::check_flags("spared_cause", raw.flags)?;
        let text = |text| lent::text(text).into_owned();
        let (peer, interface) = (text(raw.peer), text(raw.interface));
        Ok(Cause::from_raw(&raw, peer, interface, text(raw.text)))
    }
}
