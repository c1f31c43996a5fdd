//! Kernel with SAs and policies, as far as the engine sees it.

use std::collections::{BTreeMap, BTreeSet};

use crate::SECOND;
use crate::codec::body::{blocked_id, blocking_id, is_parked, suite};
use crate::engine::window::has_received;
use crate::engine::{Change, Deleter, XfrmEvent};
use crate::sa::{Body, Mark, Policy, PolicyId, Replay, ReplayForm, Sa, SaId, Template};

const ENOENT: i32 = 2;
const ESRCH: i32 = 3;
const EEXIST: i32 = 17;

/// Priority of a trap policy of charon's.
pub const TRAP: u32 = 200_000;

/// Fate of an outbound packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Sent(SaId),
    Waits,
    /// charon is asked to negotiate.
    Trapped,
    /// There is no SA.
    Lost,
    Blocked,
    Clear,
}

fn priority(policy: &Policy) -> u32 {
    let bytes = policy.body.bytes().get(152..156);
    bytes.map_or(0, |it| u32::from_ne_bytes(it.try_into().unwrap()))
}

#[derive(Default)]
pub struct Kernel {
    sas: BTreeMap<SaId, KernelSa>,
    policies: BTreeMap<PolicyId, Policy>,
    queued: Vec<XfrmEvent>,
    /// All notifications are lost: an overrun.
    pub loses_notifications: bool,
    /// Suites that the kernel lacks, with an errno.
    pub lacks: BTreeMap<Vec<u8>, i32>,
    pub policy_errno: Option<i32>,
    /// Changes that the plugin has requested.
    pub done: Vec<Change>,
    /// Numbers over all SAs with an id that ever existed: the highest sent, and all received.
    pub sent: BTreeMap<SaId, u64>,
    pub received: BTreeMap<SaId, Vec<u64>>,
    pub forwarded: u64,
    /// A daemon listens for packets without an SA, and packets come for all outbound policies, between any two changes too.
    pub is_flooded: bool,
    /// SAs without keys that wait for the daemon's, for packets that met policies with their SPI. No list has them.
    larval: BTreeSet<SaId>,
    /// SA that another program adds whenever there is none with its id.
    pub rival: Option<Sa>,
}

struct KernelSa {
    sa: Sa,
    added_ns: u64,
    threshold: u32,
    unreported: u32,
}

impl Kernel {
    pub fn notifications(&mut self) -> Vec<XfrmEvent> {
        std::mem::take(&mut self.queued)
    }

    fn notify(&mut self, seen: XfrmEvent) {
        if !self.loses_notifications {
            self.queued.push(seen);
        }
    }

    pub fn sa(&self, id: &SaId) -> Option<&Sa> {
        self.sas.get(id).map(|it| &it.sa)
    }

    pub fn sas(&self) -> Vec<SaId> {
        self.sas.keys().copied().collect()
    }

    /// Policies without those that block below others.
    pub fn policies(&self) -> Vec<&Policy> {
        let policies = self.policies.values();
        policies.filter(|it| blocked_id(&it.id).is_none()).collect()
    }

    pub fn all_policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.values()
    }

    /// True if outbound packets that lost this policy are blocked.
    pub fn blocks(&self, id: &PolicyId) -> bool {
        blocking_id(id).is_some_and(|block| self.policies.contains_key(&block))
    }

    /// Fate of a packet that this policy is for.
    pub fn fate(&self, id: &PolicyId) -> Fate {
        let Some(first) = self.first_policy(id) else {
            return Fate::Clear;
        };
        let Some(template) = first.templates.first() else {
            return Fate::Blocked;
        };
        let mut sas = self.sas.values().map(|it| &it.sa);
        let leads =
            |it: &&Sa| (it.reqid, it.id.destination) == (template.reqid, template.destination);
        match sas.find(leads) {
            Some(sa) => Fate::Sent(sa.id),
            None if is_parked(first) => Fate::Waits,
            None if priority(first) == TRAP => Fate::Trapped,
            None => Fate::Lost,
        }
    }

    pub fn policy(&self, id: &PolicyId) -> Option<&Policy> {
        self.policies.get(id)
    }

    pub fn threshold(&self, id: &SaId) -> Option<u32> {
        self.sas.get(id).map(|it| it.threshold)
    }

    pub fn remove_algorithm(&mut self, body: &Body, errno: i32) {
        self.lacks.insert(suite(body), errno);
    }

    pub fn dump(&self, now_ns: u64) -> Vec<XfrmEvent> {
        let sas = self.sas.values().map(|it| XfrmEvent::Sa(it.at(now_ns)));
        let policies = self.policies.values().cloned().map(XfrmEvent::Policy);
        sas.chain(policies).collect()
    }

    /// Has packets meet the policies: for each that names the SPI of an SA that is not there, one is added that waits.
    pub fn meet_policies(&mut self) {
        let policies = self.policies.values();
        let met = policies.filter(|it| it.id.is_outbound() && blocked_id(&it.id).is_none());
        let templates = met.filter_map(|it| self.first_template(&it.id));
        let named = templates.filter(|it| it.spi != 0).map(|it| SaId {
            destination: it.destination,
            spi: it.spi,
            protocol: it.protocol,
            mark: Mark::default(),
        });
        let larval: BTreeSet<SaId> = named.filter(|it| !self.sas.contains_key(it)).collect();
        self.larval.extend(larval);
    }

    /// Template of the policy that a packet for this one meets.
    fn first_template(&self, id: &PolicyId) -> Option<&Template> {
        self.first_policy(id)?.templates.first()
    }

    fn first_policy(&self, id: &PolicyId) -> Option<&Policy> {
        let both = [Some(*id), blocking_id(id)];
        let both = both.iter().flatten().filter_map(|it| self.policies.get(it));
        both.min_by_key(|it| priority(it))
    }

    pub fn add_sa(&mut self, now_ns: u64, sa: Sa) -> bool {
        if self.sas.contains_key(&sa.id) || self.larval.contains(&sa.id) {
            return false;
        }
        let added_ns = now_ns - sa.life.age_s * SECOND;
        let there = KernelSa {
            sa: sa.clone(),
            added_ns,
            threshold: 2,
            unreported: 0,
        };
        self.sas.insert(sa.id, there);
        self.notify(XfrmEvent::Sa(sa));
        true
    }

    pub fn delete_sa(&mut self, id: &SaId, by: Deleter) -> bool {
        let there = self.sas.remove(id).is_some();
        if there {
            self.notify(XfrmEvent::SaGone(*id, by));
        }
        there
    }

    /// Deletes SAs, and returns their last numbers; a deaf kernel does not report them.
    pub fn stop(&mut self, ids: &[SaId]) -> Vec<(SaId, Option<u64>)> {
        let stopped = self.detach(ids).into_iter();
        let stopped = stopped.map(|(id, replay)| (id, replay.map(|it| it.oseq)));
        stopped.collect()
    }

    /// As [`stop`](Self::stop), with all numbers.
    pub fn detach(&mut self, ids: &[SaId]) -> Vec<(SaId, Option<Replay>)> {
        let detached = ids.iter().filter_map(|id| {
            let replay = self.sas.remove(id)?.sa.replay;
            Some((*id, (!self.loses_notifications).then_some(replay)))
        });
        detached.collect()
    }

    pub fn put_policy(&mut self, policy: Policy) {
        self.policies.insert(policy.id, policy.clone());
        self.notify(XfrmEvent::Policy(policy));
    }

    pub fn delete_policy(&mut self, id: &PolicyId, by: Deleter) -> bool {
        let there = self.policies.remove(id).is_some();
        if there {
            self.notify(XfrmEvent::PolicyGone(*id, by));
        }
        there
    }

    /// Sends a packet with the next number.
    pub fn carry(&mut self, id: &SaId) {
        let Some(there) = self.sas.get_mut(id) else {
            return;
        };
        if super::VIPS.iter().any(|vip| id.destination == *vip) {
            let number = there.sa.replay.seq + 1;
            self.receive(id, number);
            return;
        }
        there.sa.replay.oseq += 1;
        there.sa.life.packets += 1;
        self.forwarded += 1;
        let sent = self.sent.entry(*id).or_default();
        let oseq = there.sa.replay.oseq;
        assert!(oseq > *sent, "{oseq} is sent again");
        *sent = oseq;
        self.count(id);
    }

    /// Receives a packet with a number; returns true if it is accepted.
    pub fn receive(&mut self, id: &SaId, number: u64) -> bool {
        let Some(there) = self.sas.get_mut(id) else {
            return false;
        };
        let replay = &mut there.sa.replay;
        if has_received(replay, number) {
            return false;
        }
        receive(replay, number);
        there.sa.life.packets += 1;
        self.received.entry(*id).or_default().push(number);
        self.count(id);
        true
    }

    fn count(&mut self, id: &SaId) {
        let Some(there) = self.sas.get_mut(id) else {
            return;
        };
        there.unreported += 1;
        if there.unreported >= there.threshold {
            there.unreported = 0;
            let mut replay = there.sa.replay.clone();
            if let ReplayForm::Legacy(_) = replay.form {
                replay.window = 0; // the kernel's notification does not have it
            }
            let seen = XfrmEvent::Counters(*id, replay, Some(there.sa.life));
            self.notify(seen);
        }
    }

    /// Applies changes: other programs are notified, the requester is not.
    pub fn apply(&mut self, now_ns: u64, changes: &[Change]) -> Vec<(usize, i32)> {
        let queued = self.queued.len();
        let mut refused = Vec::new();
        for (position, change) in changes.iter().enumerate() {
            self.done.push(change.clone());
            if let Err(errno) = self.change(now_ns, change) {
                refused.push((position, errno));
            }
        }
        self.queued.truncate(queued);
        refused
    }

    fn change(&mut self, now_ns: u64, change: &Change) -> Result<(), i32> {
        if self.is_flooded {
            self.meet_policies();
        }
        if let Some(rival) = self.rival.clone() {
            self.add_sa(now_ns, rival);
        }
        match change {
            Change::AddSa(sa, threshold) => {
                self.check_algorithms(sa)?;
                let added = self.add_sa(now_ns, (**sa).clone());
                added.then_some(()).ok_or(EEXIST)?;
                self.change(now_ns, &Change::SetThreshold(sa.id, *threshold))
            }
            Change::DeleteSa(id) => {
                let is_larval = self.larval.remove(id);
                let is_there = self.delete_sa(id, Deleter::Other) || is_larval;
                is_there.then_some(()).ok_or(ESRCH)
            }
            Change::AddPolicy(policy) if self.policies.contains_key(&policy.id) => Err(EEXIST),
            Change::AddPolicy(policy) | Change::PutPolicy(policy) | Change::ParkPolicy(policy) => {
                self.policy_errno.map_or(Ok(()), Err)?;
                self.put_policy(policy.clone());
                Ok(())
            }
            Change::DeletePolicy(id) => self
                .delete_policy(id, Deleter::Other)
                .then_some(())
                .ok_or(ENOENT),
            Change::SetReplay(id, replay) => {
                let there = self.sas.get_mut(id).ok_or(ESRCH)?;
                there.sa.replay = replay.clone();
                Ok(())
            }
            Change::SetThreshold(id, threshold) => {
                self.sas.get_mut(id).ok_or(ESRCH)?.threshold = *threshold;
                Ok(())
            }
            Change::Probe(sa) => self.check_algorithms(sa),
        }
    }

    fn check_algorithms(&self, sa: &Sa) -> Result<(), i32> {
        let errno = self.lacks.get(&suite(&sa.body));
        errno.map_or(Ok(()), |errno| Err(*errno))
    }
}

impl KernelSa {
    fn at(&self, now_ns: u64) -> Sa {
        let mut sa = self.sa.clone();
        sa.life.age_s = (now_ns - self.added_ns) / SECOND;
        sa
    }
}

/// Marks a number as received, as the kernel's anti-replay window does.
fn receive(replay: &mut Replay, number: u64) {
    let before = replay.clone();
    replay.seq = replay.seq.max(number);
    let window = u64::from(replay.window);
    match &mut replay.form {
        ReplayForm::Legacy(bits) => *bits = 0,
        ReplayForm::Extended(words) => words.fill(0),
    }
    let low = replay.seq.saturating_sub(window - 1).max(1);
    for it in low..=replay.seq {
        let in_window = it + window > before.seq;
        if it == number || (in_window && has_received(&before, it)) {
            set(replay, it);
        }
    }
}

fn set(replay: &mut Replay, number: u64) {
    let behind = replay.seq - number;
    let window = u64::from(replay.window);
    match &mut replay.form {
        ReplayForm::Legacy(bits) => *bits |= 1 << behind,
        ReplayForm::Extended(words) => {
            // bit of a 32-bit number, counted from 1
            let bit = ((number as u32).wrapping_sub(1) as u64 % window) as usize;
            words[bit / 32] |= 1 << (bit % 32);
        }
    }
}
