//! Command to a running server to answer clients or to be silent, which it hears by its control channel.

use crate::SECOND;

/// Shortest and longest interval between retries of the command to answer, doubled each time: Kea reads its
/// configuration and all of its leases for each.
const RETRY_NS: u64 = SECOND;
const RETRY_MAX_NS: u64 = 60 * SECOND;

/// One run of the server.
#[derive(Debug, Default)]
pub struct Silence {
    /// Last command that the server obeyed: true to be silent.
    silent: Option<bool>,
    /// Reason why the command could not be given.
    fault: Option<String>,
    retry_ns: u64,
    /// Number of failed commands to answer in a row.
    failures: u32,
}

impl Silence {
    /// Lets the next command be given at once.
    pub fn try_now(&mut self) {
        (self.retry_ns, self.failures) = (0, 0);
    }

    /// Handles that the server has obeyed.
    pub fn handle_done(&mut self, silent: bool) {
        (self.silent, self.fault, self.failures) = (Some(silent), None, 0);
    }

    /// Handles a failure; `retry_ns` is the time of the next command to be silent.
    pub fn handle_failure(&mut self, now_ns: u64, silent: bool, why: String, retry_ns: u64) {
        // the server may have obeyed, and its answer was lost
        self.silent = None;
        self.fault = Some(why);
        self.retry_ns = if silent {
            retry_ns
        } else {
            now_ns.saturating_add(self.next_wait_ns())
        };
    }

    fn next_wait_ns(&mut self) -> u64 {
        let factor = 1_u64.checked_shl(self.failures).unwrap_or(u64::MAX);
        self.failures = self.failures.saturating_add(1);
        RETRY_NS.saturating_mul(factor).min(RETRY_MAX_NS)
    }

    pub fn silent(&self) -> Option<bool> {
        self.silent
    }

    pub fn fault(&self) -> Option<&String> {
        self.fault.as_ref()
    }

    /// Time from which the next command may be given.
    pub fn retry_ns(&self) -> u64 {
        self.retry_ns
    }
}
