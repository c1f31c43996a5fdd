//! SAs that the kernel refuses.
//!
//! An SA that the kernel has already is replaced: charon may have added it, or an earlier run of this plugin left it. Or a
//! packet met a policy that names its SPI while there was no such SA, and a daemon listens, as one does that stays on this
//! node while the role leaves and returns: then the kernel adds one without keys, which is in no list and waits for the
//! daemon for minutes. The next packet would have it add another one between the deletion and the addition. So the
//! policies name no SPI meanwhile.
//!
//! An SA that is refused again is tried again after readings, as long as the role stays: the kernel has what somebody else
//! added in that instant.

use std::collections::{BTreeMap, BTreeSet};

use super::super::status::{counted, reason};
use super::super::{Change, Engine};
use crate::SECOND;
use crate::codec::body::{is_parked, parked_policy};
use crate::engine::window::union_of;
use crate::sa::{Direction, Policy, Replay, Sa, SaId, Template};

const EEXIST: i32 = 17;
/// Pause before an SA is tried again that the kernel had although it was deleted just before.
const RETRY_NS: u64 = SECOND;

/// SAs of a failover that the kernel refused.
#[derive(Debug, Default)]
pub struct Refused {
    /// SAs that are not tried now, with the errno; `is_reported`: they were reported.
    errnos: BTreeMap<SaId, i32>,
    is_reported: bool,
    /// SAs that the kernel had, until it takes them.
    existing: BTreeSet<SaId>,
    /// Time of the reading before the next try, and its generation.
    retry_ns: Option<u64>,
    reading: Option<u32>,
}

impl Refused {
    pub fn has(&self, id: &SaId) -> bool {
        self.errnos.contains_key(id)
    }

    /// True if an SA with this SPI is not tried now.
    pub fn has_spi(&self, spi: u32) -> bool {
        self.errnos.keys().any(|id| id.spi == spi)
    }

    /// True if an SA is not tried again in this role.
    pub fn is_final(&self, id: &SaId) -> bool {
        self.errnos.get(id).is_some_and(|errno| *errno != EEXIST)
    }

    pub fn next_ns(&self) -> u64 {
        self.retry_ns.unwrap_or(u64::MAX)
    }

    /// Forgets those for which `stays` is false.
    pub fn retain(&mut self, stays: impl Fn(&SaId) -> bool) {
        self.errnos.retain(|id, _| stays(id));
        self.existing.retain(stays);
    }

    fn put(&mut self, id: SaId, errno: i32) {
        self.errnos.insert(id, errno);
        let is_new = errno != EEXIST || self.existing.insert(id);
        self.is_reported &= !is_new;
    }

    fn retry_later(&mut self, now_ns: u64) {
        self.retry_ns.get_or_insert(now_ns + RETRY_NS);
    }

    /// True if an SA that the kernel takes now was refused before.
    fn take_existing(&mut self, id: &SaId) -> bool {
        self.existing.remove(id)
    }

    /// Takes the SAs that are to be tried now that this reading has ended.
    fn take_due(&mut self, generation: u32) -> Vec<SaId> {
        if self.reading.take_if(|it| *it <= generation).is_none() {
            return Vec::new();
        }
        let due = self.errnos.iter().filter(|(_, errno)| **errno == EEXIST);
        let due: Vec<SaId> = due.map(|(id, _)| *id).collect();
        for id in &due {
            self.errnos.remove(id);
        }
        due
    }
}

impl Engine {
    /// True if the kernel has refused the outbound SA of a child.
    pub(in crate::engine) fn is_outbound_refused(&self, spi: u32) -> bool {
        let child = self.store.sessions.own.children.get(&spi);
        child.is_some_and(|it| self.failover.refused.has_spi(it.outbound_spi))
    }

    pub(in crate::engine) fn handle_refused_sa(
        &mut self,
        now_ns: u64,
        (sa, threshold): (Box<Sa>, u32),
        errno: i32,
    ) {
        let id = sa.id;
        if !self.installed.has(&id) {
            return;
        }
        if errno == EEXIST && self.installed.try_replace(&id) {
            return self.replace_sa(sa, threshold);
        }
        self.installed.remove(&id);
        let held = self.store.held.sa_mut(&id);
        if let Some(held) = held.filter(|_| errno == EEXIST) {
            // packets may have been sent with these numbers: the next try goes beyond them
            held.sa.replay = furthest(held.side, &held.sa.replay, &sa.replay);
            self.failover.refused.retry_later(now_ns);
        } else {
            self.release_refused_sa(now_ns, &id);
        }
        self.counters.refused += 1;
        self.failover.refused.put(id, errno);
    }

    /// Replaces an SA that the kernel has already.
    fn replace_sa(&mut self, sa: Box<Sa>, threshold: u32) {
        let policies = self.policies_with_spi_of(&sa);
        for policy in &policies {
            self.push_change(Change::ParkPolicy(parked_policy(policy)));
        }
        self.push_change(Change::DeleteSa(sa.id));
        self.push_change(Change::AddSa(sa, threshold));
        for policy in policies {
            self.push_change(Change::PutPolicy(policy));
        }
    }

    /// Policies that name the SPI of an outbound SA, as the kernel has them: a copy is before its policy.
    fn policies_with_spi_of(&self, sa: &Sa) -> Vec<Policy> {
        let names = |it: &&Policy| {
            let mut templates = it.templates.iter();
            it.id.is_outbound() && templates.any(|it| it.spi == sa.id.spi && leads_to(it, sa))
        };
        let policies = self.store.policies.values().map(|it| &it.policy);
        let named = policies.filter(names);
        let present = named.map(|it| self.present_copy(&it.id).unwrap_or_else(|| it.clone()));
        present.filter(|it| !is_parked(it)).collect()
    }

    /// Gives up an SA of this node's that the kernel does not take.
    fn release_refused_sa(&mut self, now_ns: u64, id: &SaId) {
        let held = self.store.held.sas().get(id);
        let is_ours = held.is_some_and(|it| self.store.ends.owns(&it.local_end()));
        if self.is_active() && is_ours {
            self.store.held.remove_sa(id);
            self.update_sa_record(now_ns, id);
        }
    }

    /// Has the kernel read before refused SAs are tried again.
    pub(in crate::engine) fn handle_refused_timeout(&mut self, now_ns: u64) {
        if self.failover.refused.next_ns() > now_ns {
            return;
        }
        if !self.is_active() {
            // the role has yet to come, and it is not known which SAs are this node's
            self.failover.refused.retry_ns = Some(now_ns + RETRY_NS);
            return;
        }
        self.failover.refused.retry_ns = None;
        self.failover.refused.reading = Some(self.read_fresh());
    }

    /// Tries SAs again after a reading: one that it has found and that serves a policy stays.
    pub(in crate::engine) fn retry_refused(&mut self, now_ns: u64) {
        let due = self.failover.refused.take_due(self.reads.generation());
        if due.is_empty() {
            return;
        }
        for id in due {
            let Some(known) = self.store.sas.get(&id) else {
                continue;
            };
            if let Some(held) = self.store.held.sa_mut(&id) {
                held.sa.replay = furthest(held.side, &held.sa.replay, &known.sa.replay);
            }
            self.keep_found_sa(now_ns, &id);
        }
        self.install(now_ns, false);
        self.update_records(now_ns);
    }

    /// Keeps an SA that a reading has found if a policy leads to it, with the numbers that it would be installed with.
    fn keep_found_sa(&mut self, now_ns: u64, id: &SaId) {
        let is_led_to = self.store.sas.get(id).is_some_and(|it| {
            let outbound = it.side == Some(Direction::Out);
            let policies = self.store.policies.values().map(|it| &it.policy);
            let mut policies = policies.filter(|it| it.id.is_outbound() == outbound);
            policies.any(|policy| policy.templates.iter().any(|to| leads_to(to, &it.sa)))
        });
        if !is_led_to || !self.is_carried(id) {
            return;
        }
        if let Some(replay) = self.numbers_to_install(now_ns, id, false) {
            self.push_change(Change::SetReplay(*id, replay));
        }
        self.store.held.remove_sa(id);
        self.note_refused_sa_taken(id);
    }

    /// Reports that the kernel has an SA that it had refused.
    pub(super) fn note_refused_sa_taken(&mut self, id: &SaId) {
        if self.failover.refused.take_existing(id) {
            let spi = id.spi;
            self.event(format!(
                "{spi:08x}: installed after the kernel had refused it"
            ));
        }
    }

    /// Reports refused SAs when all were tried.
    pub(in crate::engine) fn report_refused_if_installed(&mut self) {
        if self.is_installed() {
            self.report_refused();
        }
    }

    pub(super) fn report_refused(&mut self) {
        let refused = &mut self.failover.refused;
        let was_reported = std::mem::replace(&mut refused.is_reported, true);
        let first = refused.errnos.first_key_value();
        let Some((id, errno)) = first.filter(|_| !was_reported) else {
            return;
        };
        let sas = counted(refused.errnos.len(), "SA");
        let reason = reason(*errno);
        let text = format!("the kernel refused {sas}, first {:08x}: {reason}", id.spi);
        self.warn(text);
    }
}

/// True if packets with this template go with the SA.
fn leads_to(template: &Template, sa: &Sa) -> bool {
    let is_spi = template.spi == 0 || template.spi == sa.id.spi;
    (template.reqid, template.destination) == (sa.reqid, sa.id.destination) && is_spi
}

/// Numbers of both: what one has sent or received is not to be sent or accepted again.
fn furthest(side: Direction, one: &Replay, other: &Replay) -> Replay {
    match side {
        Direction::Out => Replay {
            oseq: one.oseq.max(other.oseq),
            ..one.clone()
        },
        Direction::In => union_of(one, other),
    }
}
