//! Decides whether this node could take over, and what else is wrong with it.

use super::session::Session;
use super::status::{counted, reason};
use super::{Engine, MissingFeature};
use crate::codec::body::algorithms;
use crate::store::EKEYREJECTED;
use crate::{SECOND, ms_between};

/// Time after which two active nodes are active for different groups.
const SWITCHOVER_NS: u64 = 2 * SECOND;

#[derive(Debug)]
pub struct Readiness {
    /// Feature that the kernel lacks and every tunnel needs.
    missing: Option<MissingFeature>,
    /// Result of the last check whether this node could take over.
    result: Result<(), String>,
    /// Reason why not all tunnels are up, as of the last look.
    tunnels: Option<String>,
    /// Something changed that an administrator or the host may have to know.
    is_dirty: bool,
}

impl Readiness {
    pub fn new() -> Self {
        Self {
            missing: None,
            result: Err("not read yet".to_owned()),
            tunnels: None,
            is_dirty: true,
        }
    }

    fn handle_missing_feature(&mut self, missing: MissingFeature) {
        self.missing = Some(missing);
        if missing == MissingFeature::Ipsec {
            self.result = Ok(());
        }
    }

    pub fn note_tunnels(&mut self, why: Option<String>) {
        self.tunnels = why;
    }

    pub fn result(&self) -> &Result<(), String> {
        &self.result
    }

    /// Feature that the kernel lacks; None for a node that is not ready, which reports it already.
    pub fn missing(&self) -> Option<MissingFeature> {
        self.missing.filter(|_| self.result.is_ok())
    }

    pub fn tunnels(&self) -> Option<&String> {
        self.tunnels.as_ref()
    }
}

impl Engine {
    /// Notes that the kernel has no IPsec, or none that a tunnel could use: nothing is replicated to this node.
    pub fn handle_missing_feature(&mut self, missing: MissingFeature) {
        self.readiness.handle_missing_feature(missing);
    }

    /// Notes that something changed that an administrator or the host may have to know.
    pub(super) fn mark_dirty(&mut self) {
        self.readiness.is_dirty = true;
    }

    /// Checks again whether this node could take over, if something changed; returns true if it did.
    pub(super) fn update_readiness(&mut self) -> bool {
        let is_dirty = std::mem::take(&mut self.readiness.is_dirty);
        if is_dirty {
            self.readiness.result = self.obstacle().map_or(Ok(()), Err);
            self.report_replicated();
        }
        is_dirty
    }

    /// Reason why this node could not take over in its present state.
    pub(super) fn obstacle(&self) -> Option<String> {
        if self.readiness.missing == Some(MissingFeature::Ipsec) {
            // nothing can be replicated, so nothing is missing
            return None;
        }
        let follows = self.is_peer_active();
        // in a switchover both are active for a moment, and readiness does not matter
        let both_ns = self
            .session
            .as_ref()
            .and_then(Session::both_active_since_ns);
        let both_ns = both_ns.unwrap_or(self.store.now_ns);
        let is_moment = self.store.now_ns.saturating_sub(both_ns) < SWITCHOVER_NS;
        if self.is_active() && (!follows || is_moment) {
            return None;
        }
        if let Some(why) = self.refusal() {
            return Some(why);
        }
        if !follows {
            return match (self.roles.had_peer_records(), self.replica.peer_groups()) {
                (true, _) => None,
                (false, Some(_)) if self.is_up() => Some("no node is active".to_owned()),
                _ => Some("the peer is not connected".to_owned()),
            };
        }
        if let Err(why) = self.replica.in_sync(&self.store) {
            return Some(why);
        }
        if self.store.peer_numbers.is_unsure() {
            return Some("counters may be older than their bound".to_owned());
        }
        let asked = self.store.proofs.any_pending();
        asked.then(|| "SAs are not yet tried here".to_owned())
    }

    /// Reports that a backup that has just heard its peer has all of its records.
    fn report_replicated(&mut self) {
        let is_active = self.is_active();
        let Some(session) = &mut self.session else {
            return;
        };
        if is_active {
            session.forget_connected();
        }
        if self.readiness.result.is_err() {
            return;
        }
        let Some(connected_ns) = session.take_connected_ns() else {
            return;
        };
        let count = self.store.held.sas().len();
        if count > 0 {
            let sas = counted(count, "SA");
            let took_ms = ms_between(connected_ns, self.store.now_ns);
            self.event(format!(
                "{sas} replicated within {took_ms} ms of hearing the peer"
            ));
        }
    }

    fn refusal(&self) -> Option<String> {
        if self.store.proofs.is_esp_missing() {
            return Some("this kernel has no ESP".to_owned());
        }
        if let Some((id, sa, errno)) = self.refusals().next() {
            let (names, reason) = (algorithms(&sa.body), reason(errno));
            let mut why = match errno {
                EKEYREJECTED => format!("no key of SA {:08x}", id.spi),
                _ => format!("the kernel here lacks {names} for SA {:08x}", id.spi),
            };
            let more = self.refusals().count() - 1;
            if more > 0 {
                why += &format!(" and {more} more");
            }
            return Some(format!("{why}: {reason}"));
        }
        let (count, errno) = self.store.installed_policies.refused()?;
        let policies = match count {
            1 => "a policy".to_owned(),
            count => format!("{count} policies"),
        };
        let reason = reason(errno);
        Some(format!(
            "the kernel refuses {policies} of the peer: {reason}"
        ))
    }
}
