//! Exit codes, as in sysexits.h.

/// Success: a stop on request, a check without faults.
pub const OK: u8 = 0;
/// Wrong arguments.
pub const USAGE: u8 = 64;
/// The configuration named by `--config` does not exist.
pub const NO_INPUT: u8 = 66;
/// Another spared runs in the runtime folder, or the kernel lacks what is needed.
pub const UNAVAILABLE: u8 = 69;
/// The operating system refused something ordinary.
pub const OS_ERROR: u8 = 71;
/// This user may not read the configuration.
pub const PERMISSION: u8 = 77;
/// The configuration is wrong.
pub const CONFIG: u8 = 78;
