//! Limits of a check.

/// States of a check that is not known yet, and of what works here and ends with this node.
pub use spared_abi::{CHECK_LOSES, CHECK_UNKNOWN};

/// Maximum bytes of a check's name.
pub const NAME_MAX: usize = 64;
/// Maximum weight of a check.
pub const WEIGHT_MAX: u32 = 9999;
/// Maximum number of points that checks take off: with as many, a priority is the least.
pub const POINTS_MAX: u32 = 253;
/// State of a good check.
pub const STATE_MAX: u32 = 100;

/// Checks that a check may have this name.
///
/// # Errors
/// The reason why it may not.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if !(1..=NAME_MAX).contains(&name.len()) {
        return Err("a check's name has 1-64 bytes of UTF-8");
    }
    if name.chars().any(char::is_control) {
        return Err("a check's name is printable");
    }
    Ok(())
}

/// Returns true if a check may have this state: 0-100, not known yet, or lost by a failover.
pub fn is_state(state: u32) -> bool {
    state <= STATE_MAX || matches!(state, spared_abi::CHECK_UNKNOWN | spared_abi::CHECK_LOSES)
}

/// Checks that a check may be reported with these values.
///
/// # Errors
/// The reason why it may not.
pub fn fits(name: &str, weight: u32, state: u32) -> Result<(), String> {
    check_name(name)?;
    if weight > WEIGHT_MAX {
        return Err(format!(
            "check {name}: weight {weight}, allowed 0-{WEIGHT_MAX}"
        ));
    }
    if !is_state(state) {
        return Err(format!(
            "check {name}: state {state}, allowed 0-{STATE_MAX}"
        ));
    }
    Ok(())
}
