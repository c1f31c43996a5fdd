//! Watches the active router: what its adverts tell a backup, and how near this node is to taking over.

use std::net::IpAddr;

use crate::wire::frame::Advert;

/// Failover times that the less fit of two backups grants to the other one.
const WAITS_MAX: u32 = 2;

#[derive(Clone, Debug)]
pub(super) struct ActiveRouterWatch {
    router: Option<ActiveRouter>,
    /// Interval of the active router's adverts (Active_Adver_Interval).
    interval_ns: u64,
    progress: FailoverProgress,
}

/// The active router, as last heard on any interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ActiveRouter {
    pub address: IpAddr,
    pub priority: u8,
    pub interval_ns: u64,
    pub heard_ns: u64,
}

/// Progress of a backup towards the role; it ends when this node becomes active, or gives the role up.
#[derive(Clone, Debug, Default)]
struct FailoverProgress {
    /// The peer's last advert had priority 0.
    has_resigned: bool,
    /// The time of a lower active router is over: this node takes over with that router's next advert.
    is_ready: bool,
    /// Time since which a lower router has been active.
    lower_since_ns: Option<u64>,
    /// Failover times granted to a fitter peer that did not use them.
    waits_granted: u32,
}

impl ActiveRouterWatch {
    pub fn new(interval_ns: u64) -> ActiveRouterWatch {
        ActiveRouterWatch {
            router: None,
            interval_ns,
            progress: FailoverProgress::default(),
        }
    }

    // ---- received adverts ------------------------------------------------------------------

    pub fn handle_advert(&mut self, now_ns: u64, advert: &Advert<'_>) {
        self.progress.has_resigned = false;
        self.router = Some(ActiveRouter {
            address: advert.source,
            priority: advert.priority,
            interval_ns: advert.interval_ns,
            heard_ns: now_ns,
        });
    }

    /// Notes that the active router gives the role up.
    pub fn handle_resignation(&mut self) {
        self.progress.has_resigned = true;
    }

    /// Notes that the peer is active by its heartbeats.
    pub fn handle_active_peer(&mut self, interval_ns: u64) {
        self.interval_ns = interval_ns;
        self.progress.has_resigned = false;
    }

    pub fn learn_interval(&mut self, interval_ns: u64) {
        self.interval_ns = interval_ns;
    }

    /// Applies a newly configured interval, unless another one was learned.
    pub fn change_interval(&mut self, was_ns: u64, interval_ns: u64) {
        if self.interval_ns == was_ns {
            self.interval_ns = interval_ns;
        }
    }

    /// Forgets a router that was last heard before `horizon_ns`.
    pub fn forget_before(&mut self, horizon_ns: u64) {
        self.router = self.router.filter(|it| it.heard_ns > horizon_ns);
    }

    /// Forgets earlier adverts.
    pub fn forget_adverts(&mut self) {
        self.router = None;
        self.end_preemption();
    }

    /// The active router, also after it gave the role up.
    pub fn router(&self) -> Option<ActiveRouter> {
        self.router
    }

    /// The active router, unless it gave the role up.
    pub fn serving(&self) -> Option<ActiveRouter> {
        self.router.filter(|_| !self.progress.has_resigned)
    }

    pub fn has_resigned(&self) -> bool {
        self.progress.has_resigned
    }

    pub fn interval_ns(&self) -> u64 {
        self.interval_ns
    }

    // ---- progress of this node -------------------------------------------------------------

    /// Forgets the progress: this node becomes active, or gives the role up.
    pub fn handle_role_change(&mut self) {
        self.progress = FailoverProgress::default();
    }

    /// Notes that the next advert of a lower active router begins a failover.
    pub fn begin_readiness(&mut self) {
        self.progress.is_ready = true;
    }

    /// Ends the readiness; returns true if this node was ready.
    pub fn end_readiness(&mut self) -> bool {
        std::mem::take(&mut self.progress.is_ready)
    }

    /// Notes that a lower router is active; returns the time since which it is.
    pub fn note_lower(&mut self, now_ns: u64) -> u64 {
        *self.progress.lower_since_ns.get_or_insert(now_ns)
    }

    pub fn end_lower(&mut self) {
        self.progress.lower_since_ns = None;
    }

    pub fn is_lower_active(&self) -> bool {
        self.progress.lower_since_ns.is_some()
    }

    /// Ends a preemption in progress.
    pub fn end_preemption(&mut self) {
        self.progress.is_ready = false;
        self.progress.lower_since_ns = None;
    }

    /// Grants a fitter peer one more failover time; returns false if it had enough.
    pub fn grant_wait(&mut self) -> bool {
        let grants = self.progress.waits_granted < WAITS_MAX;
        self.progress.waits_granted += u32::from(grants);
        grants
    }

    pub fn end_waits(&mut self) {
        self.progress.waits_granted = 0;
    }
}
