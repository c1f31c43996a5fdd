//! E13: pauses a virtual router whose adverts do not leave although its lease was granted again.

/// Pause of a router whose adverts are refused again, while another node serves.
const PAUSE_NS: u64 = 60_000_000_000;
/// First pause while nobody serves; each further one is twice as long.
pub(super) const MUTE_SOON_NS: u64 = 300_000_000;
const MUTE_SOON_MAX_NS: u64 = 5_000_000_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Muting {
    is_muted: bool,
    /// Time when the adverts were last refused for a whole lease.
    refused_ns: Option<u64>,
    /// Number of times the router was muted since it last worked.
    count: u32,
}

impl Muting {
    /// Notes that the adverts were refused for a whole lease; returns true if a new grant of the lease has not helped,
    /// or did not help a moment ago.
    pub fn handle_refused(&mut self, now_ns: u64) -> bool {
        let before = self.refused_ns.replace(now_ns);
        let since_ns = before.map(|at_ns| now_ns.saturating_sub(at_ns));
        if since_ns.is_none_or(|ns| ns > 2 * self.expiry_pause_ns()) {
            self.count = 0;
        }
        self.is_muted = self.count > 0 || since_ns.is_some_and(|ns| ns < PAUSE_NS);
        self.count += u32::from(self.is_muted);
        self.is_muted
    }

    /// Forgets earlier refusals: the interface starts again.
    pub fn handle_restart(&mut self) {
        (self.is_muted, self.count) = (false, 0);
    }

    /// Ends the pause, so that the adverts are tried again at once.
    pub fn end_pause(&mut self, now_ns: u64) {
        let over_ns = now_ns.saturating_sub(PAUSE_NS);
        self.refused_ns = self.refused_ns.map(|at_ns| at_ns.min(over_ns));
        self.count = 0;
    }

    /// Ends the muting: the adverts are tried again.
    pub fn end(&mut self) {
        self.is_muted = false;
    }

    pub fn is_muted(&self) -> bool {
        self.is_muted
    }

    /// True if the router is muted for the first time since it last worked.
    pub fn is_first(&self) -> bool {
        self.count == 1
    }

    /// Time when a muted router is tried again; sooner if nobody serves.
    pub fn unmute_at_ns(&self, served: bool) -> Option<u64> {
        let refused_ns = self.refused_ns.filter(|_| self.is_muted)?;
        let doubled_ns = MUTE_SOON_NS << self.count.saturating_sub(1).min(5);
        let pause_ns = if served {
            PAUSE_NS
        } else {
            doubled_ns.min(MUTE_SOON_MAX_NS)
        };
        Some(refused_ns.saturating_add(pause_ns))
    }

    /// Time when a backup assumes that its adverts would leave again: it sends nothing that could show it.
    pub fn expires_at_ns(&self) -> Option<u64> {
        let refused_ns = self.refused_ns.filter(|_| self.is_muted)?;
        Some(refused_ns.saturating_add(self.expiry_pause_ns()))
    }

    // The pause doubles each time: each role that is taken without effect costs an outage.
    fn expiry_pause_ns(&self) -> u64 {
        PAUSE_NS << self.count.saturating_sub(1).min(3)
    }
}
