//! What nf_tables refused.

use std::{error, fmt, io};

/// The fence could not be changed.
#[derive(Debug)]
pub struct FenceError {
    what: String,
    source: io::Error,
}

impl FenceError {
    pub(super) fn new(what: &str, source: io::Error) -> Self {
        Self {
            what: what.to_owned(),
            source,
        }
    }

    /// Something that the transaction names was gone, or a device of it: worth another try.
    pub fn is_missing(&self) -> bool {
        matches!(
            self.source.raw_os_error(),
            Some(libc::ENOENT | libc::ENODEV)
        )
    }
}

impl fmt::Display for FenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "fence: cannot {}: {}",
            self.what,
            crate::kernel::reason(&self.source)
        )
    }
}

impl error::Error for FenceError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.source)
    }
}
