//! Lines of log that somebody else can cause.

/// Lets one line through in ten seconds, and says how many it swallowed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limit {
    next_ns: u64,
    swallowed: u64,
}

impl Limit {
    const PAUSE_NS: u64 = 10_000_000_000;

    /// Some(lines swallowed since the last one) where a line may be written now.
    pub fn pass(&mut self, now_ns: u64) -> Option<u64> {
        if now_ns < self.next_ns {
            self.swallowed += 1;
            return None;
        }
        self.next_ns = now_ns.saturating_add(Limit::PAUSE_NS);
        Some(std::mem::take(&mut self.swallowed))
    }
}
