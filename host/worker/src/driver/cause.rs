//! Reads the cause of a role from the plugin's struct.

use spared_abi as abi;
use spared_pair::CauseKind;

use super::lent;
use crate::loader::copy_sized;
use crate::message::Cause;

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
        let size = (*raw).size;
        let least = size_of::<abi::Cause>();
        if (size as usize) < least {
            return Err(format!(
                "spared_cause has {size} bytes, at least {least} are needed"
            ));
        }
        let raw: abi::Cause = copy_sized(raw, size);
        lent::check_flags("spared_cause", raw.flags)?;
        let text = |text| lent::text(text).into_owned();
        Ok(Cause {
            kind: CauseKind::from(raw.kind),
            flags: raw.flags,
            own: raw.own,
            theirs: raw.theirs,
            for_ns: raw.for_ns,
            peer: text(raw.peer),
            interface: text(raw.interface),
            text: text(raw.text),
        })
    }
}
