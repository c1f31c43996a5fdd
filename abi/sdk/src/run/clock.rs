//! The clock of timers.

#[cfg(test)]
thread_local! {
    /// Time that a test has set.
    pub(crate) static SET_NS: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}

/// Present time of `CLOCK_MONOTONIC` in ns.
pub(crate) fn now_ns() -> u64 {
    #[cfg(test)]
    if let Some(set_ns) = SET_NS.get() {
        return set_ns;
    }
    spared_records::monotonic::now_ns()
}
