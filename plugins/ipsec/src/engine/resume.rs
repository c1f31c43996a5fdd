//! A switchover, on the new node: outbound SAs begin where those of the old node ended.
//!
//! The old node sends until the new one, which has just become active, asks it to stop; the kernel's own report of a
//! deletion then has the last number. Until that number is here there is no outbound SA: packets from the networks wait
//! in the kernel, behind their policy. An old node that does not report its last number in time sends on, or has died:
//! then numbers jump as at a failover.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::installed::InstalledSa;
use super::{Action, Change, Engine};
use crate::MS;
use crate::codec::body::networks;
use crate::codec::hold::{HeldTraffic, NetworkPair, TRANSPORT};
use crate::sa::{Direction, PolicyId, SaId};
use crate::wire::{LAST_MAX, LastNumbers, TunnelKey, outbound};

/// Time limit for the old node's last numbers. The old node keeps its role for 200 ms more, and without it answers that
/// it has none.
const ANSWER_NS: u64 = 300 * MS;

/// Outbound SAs that begin where the old node's end, and the packets that wait for them.
#[derive(Debug, Default)]
pub struct Resume {
    stage: Stage,
    /// Number of the last question for last numbers. It only grows, also from one switchover to the next.
    round: u64,
    /// Time at which more of the waiting packets are released; they may still wait when the stage has ended.
    step_ns: Option<u64>,
}

/// Progress of the outbound SAs.
#[derive(Debug, Default)]
enum Stage {
    /// Outbound SAs wait for no numbers: they jump.
    #[default]
    None,
    /// Outbound SAs wait for the role.
    Prepared,
    /// Outbound SAs wait for the old node's report.
    Asked {
        waiting: BTreeSet<SaId>,
        until_ns: u64,
    },
}

/// Answer of the old node.
struct StoppedSas {
    /// SAs with which the old node no longer sends, each with its last number.
    stopped: Vec<(SaId, u64)>,
    /// No SA waits any more after this answer.
    is_last: bool,
}

impl Resume {
    fn prepare(&mut self) {
        (self.stage, self.step_ns) = (Stage::Prepared, None);
    }

    /// Begins a question for the last numbers of these SAs; returns its number.
    fn begin_round(&mut self, now_ns: u64, keys: &[TunnelKey]) -> u64 {
        // a number from the time in ms differs from the rounds of an earlier run
        self.round = (now_ns / MS).max(self.round + 1);
        self.stage = Stage::Asked {
            waiting: keys.iter().filter_map(outbound).collect(),
            until_ns: now_ns + ANSWER_NS,
        };
        self.round
    }

    /// Takes an answer for the waiting SAs; None if it answers another question.
    fn handle_stopped(&mut self, round: u64, numbers: &[(TunnelKey, u64)]) -> Option<StoppedSas> {
        let Stage::Asked { waiting, .. } = &mut self.stage else {
            return None;
        };
        if self.round != round {
            return None;
        }
        let stopped = numbers.iter().filter_map(|(key, oseq)| {
            let id = outbound(key)?;
            waiting.remove(&id).then_some((id, *oseq))
        });
        Some(StoppedSas {
            stopped: stopped.collect(),
            is_last: waiting.is_empty(),
        })
    }

    fn end(&mut self) -> Stage {
        std::mem::take(&mut self.stage)
    }

    fn step_later(&mut self, now_ns: u64) {
        self.step_ns = Some(now_ns + MS);
    }

    /// True if more of the waiting packets are to be released now.
    fn take_step(&mut self, now_ns: u64) -> bool {
        self.step_ns.take_if(|it| *it <= now_ns).is_some()
    }

    /// SAs that wait for the old node's report.
    fn waiting(&self) -> Option<&BTreeSet<SaId>> {
        match &self.stage {
            Stage::Asked { waiting, .. } => Some(waiting),
            _ => None,
        }
    }

    fn until_ns(&self) -> u64 {
        match self.stage {
            Stage::Asked { until_ns, .. } => until_ns,
            _ => u64::MAX,
        }
    }

    pub fn next_ns(&self) -> u64 {
        self.until_ns().min(self.step_ns.unwrap_or(u64::MAX))
    }

    pub fn is_none(&self) -> bool {
        matches!(self.stage, Stage::None)
    }

    /// True if no packets wait any more.
    pub fn is_over(&self) -> bool {
        self.is_none() && self.step_ns.is_none()
    }

    fn is_prepared(&self) -> bool {
        matches!(self.stage, Stage::Prepared)
    }

    #[cfg(test)]
    pub fn round(&self) -> u64 {
        self.round
    }
}

impl Engine {
    /// Prepares a planned switchover: outbound SAs are to wait.
    pub(super) fn prepare_resume(&mut self, now_ns: u64) {
        self.end_resume(now_ns);
        if self.is_up() && self.is_planned(now_ns) {
            self.switchover.resume.prepare();
            // what waits is replaced, and with it the protection of a batch
            self.put_batch_back(now_ns);
            self.push_action(Action::Hold(self.held_traffic()));
        }
    }

    /// Asks the old node to stop: the role is here, and the senders learn of it soon.
    pub(super) fn ask_last_numbers(&mut self, now_ns: u64) {
        if !self.switchover.resume.is_prepared() {
            return;
        }
        let asked = self.store.held.by_urgency(|id, held| {
            let is_ours = self.store.ends.owns(&held.local_end());
            is_ours && held.side == Direction::Out && !held.is_own && !self.is_tried(id, held)
        });
        let keys = asked.map(|(_, held)| TunnelKey::sa(&held.sa, held.side));
        let keys: Vec<TunnelKey> = keys.collect();
        if keys.is_empty() {
            return self.end_resume(now_ns);
        }
        let round = self.switchover.resume.begin_round(now_ns, &keys);
        let count = keys.len().div_ceil(LAST_MAX);
        for (number, keys) in keys.chunks(LAST_MAX).enumerate() {
            self.send_last_numbers(&LastNumbers::Stop {
                round,
                keys: keys.to_vec(),
                is_end: number + 1 == count,
            });
        }
    }

    /// Handles an answer: the old node no longer sends with these SAs.
    pub(super) fn handle_stopped(
        &mut self,
        now_ns: u64,
        round: u64,
        numbers: &[(TunnelKey, u64)],
        is_end: bool,
    ) {
        let Some(answer) = self.switchover.resume.handle_stopped(round, numbers) else {
            return;
        };
        let mut resumed = BTreeSet::new();
        for (id, oseq) in answer.stopped {
            if self.resume_sa(now_ns, &id, oseq) {
                resumed.insert(id);
            }
        }
        self.resend_policies(&resumed);
        if is_end || answer.is_last {
            return self.end_resume(now_ns);
        }
        self.push_action(Action::ReleaseForwarded);
        if self.waits_for_transport_only() {
            self.switchover.resume.step_later(now_ns);
        }
    }

    /// True if all SAs that still wait are in transport mode, so that nothing is forwarded with them.
    fn waits_for_transport_only(&self) -> bool {
        let Some(waiting) = self.switchover.resume.waiting() else {
            return false;
        };
        let mut held = waiting
            .iter()
            .filter_map(|id| self.store.held.sas().get(id));
        held.all(|it| it.sa.mode == TRANSPORT)
    }

    /// Puts an SA with the number that follows the old node's last.
    fn resume_sa(&mut self, now_ns: u64, id: &SaId, oseq: u64) -> bool {
        let held = self.store.held.sa_mut(id);
        // a number smaller than a reported one is not the last
        let Some(held) = held.filter(|it| it.sa.replay.oseq <= oseq) else {
            return false;
        };
        held.sa.replay.oseq = oseq;
        held.reported_ns = now_ns;
        self.install_sa(now_ns, id, true)
    }

    /// Ends the wait: the SAs without a last number jump.
    pub(super) fn end_resume(&mut self, now_ns: u64) {
        match self.switchover.resume.end() {
            Stage::None => return,
            Stage::Prepared => {}
            Stage::Asked { waiting, .. } => {
                self.install(now_ns, false);
                self.resend_policies(&waiting);
                self.begin_read_back();
            }
        }
        self.push_action(Action::EndHold);
    }

    /// Ends the wait without a role: it left before, or never came.
    pub(super) fn cancel_resume(&mut self) {
        if !matches!(self.switchover.resume.end(), Stage::None) {
            self.push_action(Action::EndHold);
        }
    }

    /// Has [`Action::EndHold`] repeated a step later, as packets still wait.
    pub fn handle_still_held(&mut self, now_ns: u64) {
        self.switchover.resume.step_later(now_ns);
    }

    pub(super) fn handle_resume_timeout(&mut self, now_ns: u64) {
        if self.switchover.resume.until_ns() <= now_ns {
            self.end_resume(now_ns);
        }
        if self.switchover.resume.take_step(now_ns) {
            self.release_more(now_ns);
        }
    }

    /// Releases more packets: the next step of the end, or the forwarded ones while those of programs wait.
    fn release_more(&mut self, now_ns: u64) {
        match self.switchover.resume.stage {
            // a batch of charon's children has begun since: it ends that itself
            Stage::None if self.ike.feed.is_in_batch() => {}
            Stage::None => self.push_action(Action::EndHold),
            // a switchover that has begun since holds packets again, and ends that itself
            Stage::Prepared => {}
            Stage::Asked { .. } => {
                self.push_action(Action::ReleaseForwarded);
                self.switchover.resume.step_later(now_ns);
            }
        }
    }

    /// Puts the policies of SAs again: the kernel then sends the packets behind them at once, otherwise within 100 ms.
    fn resend_policies(&mut self, ids: &BTreeSet<SaId>) {
        if ids.is_empty() {
            return;
        }
        let installed = ids.iter().filter_map(|id| self.installed.get(id));
        let reqids: BTreeSet<u32> = installed.map(InstalledSa::reqid).collect();
        let policies = self.store.policies.values().map(|it| &it.policy);
        for policy in policies.filter(|it| it.id.is_outbound()) {
            if policy.templates.iter().any(|it| reqids.contains(&it.reqid)) {
                self.outbox.push_change(Change::PutPolicy(policy.clone()));
            }
        }
    }

    /// Networks between which packets enter tunnels that are kept. A policy from anywhere to anywhere is left out:
    /// tunnel interfaces have such policies, and other packets would wait as well.
    fn held_traffic(&self) -> HeldTraffic {
        let mut traffic = HeldTraffic::default();
        let policies = self.store.held.policies.values();
        for policy in policies.filter(|it| it.id.is_outbound()) {
            let (Some(pair), Some(inner)) = (network_pair_of(&policy.id), policy.templates.first())
            else {
                continue;
            };
            traffic.put(inner.mode, pair);
        }
        traffic
    }
}

pub(super) fn network_pair_of(id: &PolicyId) -> Option<NetworkPair> {
    let ((from, from_len), (to, to_len)) = networks(&id.selector)?;
    let pair = (
        IpNet::new(from, from_len).ok()?,
        IpNet::new(to, to_len).ok()?,
    );
    ((from_len, to_len) != (0, 0)).then_some(pair)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sa::{InterfaceName, Mark};

    #[test]
    fn a_pair_is_of_networks_that_are_not_everything() {
        const AF_INET6: u16 = 10;
        let pair = |from: u8, to: u8| {
            let mut selector = [0; 56];
            selector[40..42].copy_from_slice(&AF_INET6.to_ne_bytes());
            (selector[42], selector[43]) = (to, from);
            let id = PolicyId {
                selector,
                interface: InterfaceName::default(),
                direction: 1,
                kind: 0,
                mark: Mark::default(),
                if_id: 0,
            };
            network_pair_of(&id).map(|(from, to)| (from.prefix_len(), to.prefix_len()))
        };
        assert_eq!(pair(128, 128), Some((128, 128)));
        assert_eq!(pair(0, 64), Some((0, 64)));
        assert_eq!(pair(64, 0), Some((64, 0)));
        assert_eq!(pair(0, 0), None);
        assert_eq!(pair(129, 0), None);
    }
}
