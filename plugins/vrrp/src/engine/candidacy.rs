//! This node's part in the election: the host's directive, the priority that follows from it, and a claim.

use spared_sdk::Directive;

/// Duration of a claim.
const CLAIM_NS: u64 = 60_000_000_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Candidacy {
    directive: Directive,
    priority: u8,
    /// E3: time since which this node claims the group at priority 254.
    claimed_ns: Option<u64>,
}

impl Candidacy {
    /// Stores the directive; returns the previous one.
    pub fn handle_directive(&mut self, directive: Directive) -> Directive {
        std::mem::replace(&mut self.directive, directive)
    }

    /// Stores the priority; returns true if it has changed.
    pub fn handle_priority(&mut self, priority: u8) -> bool {
        std::mem::replace(&mut self.priority, priority) != priority
    }

    pub fn begin_claim(&mut self, now_ns: u64) {
        self.claimed_ns = Some(now_ns);
    }

    /// Ends the claim; returns true if there was one.
    pub fn end_claim(&mut self) -> bool {
        self.claimed_ns.take().is_some()
    }

    pub fn directive(&self) -> &Directive {
        &self.directive
    }

    pub fn priority(&self) -> u8 {
        self.priority
    }

    pub fn claims(&self) -> bool {
        self.claimed_ns.is_some()
    }

    pub fn is_claim_over(&self, now_ns: u64) -> bool {
        self.claimed_ns
            .is_some_and(|at_ns| now_ns.saturating_sub(at_ns) >= CLAIM_NS)
    }
}
