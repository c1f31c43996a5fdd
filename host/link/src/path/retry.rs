//! Decides when a path next tries to connect or to listen.

/// Pause between attempts to connect, doubled from the first to the second value.
pub const FIRST_NS: u64 = 100_000_000;
const LAST_NS: u64 = 2_000_000_000;

/// Time of the next attempt, and the pause after it if it fails.
#[derive(Debug)]
pub struct Retry {
    at_ns: u64,
    pause_ns: u64,
}

impl Retry {
    pub fn new() -> Self {
        Self {
            at_ns: 0,
            pause_ns: FIRST_NS,
        }
    }

    /// Tries at once, as if nothing had failed.
    pub fn begin(&mut self, now_ns: u64) {
        self.at_ns = now_ns;
        self.pause_ns = FIRST_NS;
    }

    /// Tries after this pause.
    pub fn wait(&mut self, now_ns: u64, pause_ns: u64) {
        self.at_ns = now_ns + pause_ns;
    }

    /// Tries after a pause that is twice as long after the next failure.
    pub fn handle_failure(&mut self, now_ns: u64) {
        self.wait(now_ns, self.pause_ns);
        self.pause_ns = (self.pause_ns * 2).min(LAST_NS);
    }

    pub fn handle_success(&mut self) {
        self.pause_ns = FIRST_NS;
    }

    pub fn at_ns(&self) -> u64 {
        self.at_ns
    }

    pub fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.at_ns
    }
}
