//! Whether packets that a policy sends into a tunnel without an SA wait for it: the kernel keeps up to 100 of
//! each policy, or drops them, as it does unless it is told otherwise.

use std::fs;
use std::io;

const DROPS: &str = "/proc/sys/net/core/xfrm_larval_drop";

#[derive(Default)]
pub struct Hold {
    /// The previous value.
    before: Option<String>,
}

impl Hold {
    /// # Errors
    /// The setting cannot be read or written.
    pub fn set(&mut self, holds: bool) -> io::Result<()> {
        match (holds, self.before.take()) {
            (true, None) => {
                self.before = Some(fs::read_to_string(DROPS)?);
                fs::write(DROPS, "0")
            }
            (true, before) => {
                self.before = before;
                Ok(())
            }
            (false, Some(before)) => fs::write(DROPS, before.trim()),
            (false, None) => Ok(()),
        }
    }
}
