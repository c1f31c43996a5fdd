//! Decides when acknowledgements and credits are sent. They wait a moment for a frame to go with.

/// Time for which acknowledgements and credits wait.
const WAIT_NS: u64 = 10_000_000;
/// Received bytes after which they no longer wait.
const BYTES_MAX: usize = 128 << 10;

#[derive(Debug, Default)]
pub struct Feedback {
    /// Time at which acknowledgements and credits are sent; None if there is nothing to send.
    at_ns: Option<u64>,
    /// Bytes received since they were sent last.
    received_bytes: usize,
}

impl Feedback {
    /// Sends acknowledgements and credits at once, or later with a frame.
    pub fn schedule(&mut self, now_ns: u64, soon: bool) {
        let at_ns = if soon { now_ns } else { now_ns + WAIT_NS };
        self.at_ns = Some(self.at_ns.map_or(at_ns, |before| before.min(at_ns)));
    }

    /// Handles received bytes that are to be acknowledged.
    pub fn handle_received(&mut self, now_ns: u64, bytes: usize) {
        self.received_bytes += bytes;
        self.schedule(now_ns, self.received_bytes >= BYTES_MAX);
    }

    /// Returns true if acknowledgements and credits are to be sent now.
    pub fn poll(&mut self, now_ns: u64) -> bool {
        if self.at_ns.is_none_or(|at_ns| now_ns < at_ns) {
            return false;
        }
        *self = Self::default();
        true
    }

    pub fn next_ns(&self) -> Option<u64> {
        self.at_ns
    }
}
