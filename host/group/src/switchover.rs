//! Performs a switchover on the active node: drain, mark, wait for the peer, release, carry, leave.
//!
//! If a step fails before the elector is told to release the group, the group stays active here, and a sentence tells
//! why. Afterwards this node no longer answers, and packets that still arrive are carried until the peer confirms that
//! it is active, or for one second.

mod cancel;
mod declined;
mod ended;

use std::collections::BTreeSet;

use spared_contract::{Cause, Role};
use spared_message::notice::{Kind, Notice};
use spared_message::word::Word;
use spared_verdict::CauseKind;
use spared_verdict::Sentence as _;

use declined::Declined;
pub(super) use ended::EndedSwitchovers;

use super::refusal::Insistence;
use super::successor::PREPARED_NS;
use super::{Action, EBUSY, ECANCELED, ENOENT, Group, Groups, Phase, Ticket};

/// Time limit in ns for the peer to be prepared in a planned switchover.
pub const PLANNED_NS: u64 = 2_000_000_000;
/// Time limit in ns for the peer to be prepared if this node stops.
pub const STOPPING_NS: u64 = 1_200_000_000;
/// Time limit in ns for the elector to release the group. It has nothing to wait for.
pub const RELEASE_NS: u64 = 500_000_000;
/// Time in ns for which packets are carried if the peer does not confirm that it is active.
pub const CARRY_MAX_NS: u64 = 1_000_000_000;
/// Time in ns for which packets are carried after the peer's confirmation, as neighbours may learn the new MAC late.
pub const CARRY_AFTER_NS: u64 = 200_000_000;

/// Returns the part of a time limit in which the plugins of both nodes must finish. The rest is for the addresses, and
/// for the peer to report which plugin is late before this node gives up.
pub(super) const fn plugins_ns(within_ns: u64) -> u64 {
    within_ns / 4 * 3
}

const EALREADY: i32 = -libc::EALREADY;
const EHOSTUNREACH: i32 = -libc::EHOSTUNREACH;
const EINVAL: i32 = -libc::EINVAL;

/// Causes for which some hosts are not served here already. The peer gets no more time than followers may take to
/// settle in a failover.
const HURT: [CauseKind; 3] = [
    CauseKind::Isolated,
    CauseKind::InterfaceHurt,
    CauseKind::UnheardInterface,
];

/// A group that is being switched over.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) id: u64,
    /// Sentence that names who or what asked for the switchover.
    pub(super) why: String,
    insistence: Insistence,
    /// Numbers of the clients' requests that are told the result.
    client_requests: Vec<u64>,
    /// True if the peer asked for the switchover. It is told if the switchover fails.
    requested: bool,
    /// Kind of the cause, if the elector asked for the switchover.
    by_elector: Option<CauseKind>,
    pub(super) stage: Stage,
    begun_ns: u64,
    /// Time until which the peer must be prepared.
    deadline_ns: u64,
    /// End of the present stage.
    pub(super) until_ns: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Followers send all records that wait.
    Draining {
        epoch: u64,
        waiting: BTreeSet<String>,
    },
    /// The peer settles and prepares.
    Waiting,
    /// The elector must publish BACKUP.
    Releasing,
    /// The elector has published BACKUP. The peer must become active.
    Released,
}

/// A release on which the peer may still act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnconfirmedRelease {
    pub(super) id: u64,
    /// Time from which the peer no longer waits for the release.
    until_ns: u64,
}

/// Origin of a switchover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    Elector,
    Client(u64),
    Peer,
    Stop,
}

impl Groups {
    /// Handles the elector's request to switch over to a better peer.
    pub fn handle_switch_over(&mut self, now_ns: u64, ticket: Ticket, name: &str, cause: Cause) {
        let status = match self.groups.get(name) {
            None => ENOENT,
            Some(group) if group.owner != ticket.plugin => EBUSY,
            Some(group) if group.offer.is_some() => EALREADY,
            Some(group) if group.phase != Phase::Installed => EINVAL,
            Some(_) if self.is_closing() => ECANCELED,
            Some(_) if !self.session.is_up() => EHOSTUNREACH,
            Some(_) => 0,
        };
        self.answer(ticket, status);
        if status == 0 {
            let insistence = self.elector_insistence(name, &cause);
            self.offer(now_ns, name, cause, insistence, Asker::Elector);
        }
    }

    fn elector_insistence(&self, name: &str, cause: &Cause) -> Insistence {
        if cause.kind == CauseKind::Isolated {
            return Insistence::Unserved;
        }
        let group = self.groups.get(name);
        Insistence::of_order(group.is_some_and(|it| self.may_leave_to_unready(it, cause)))
    }

    /// Offers every active group to the peer, ready or not, because this node stops.
    pub fn handle_leave(&mut self, now_ns: u64) {
        self.leaving = true;
        self.refuse_successions("it is being stopped");
        if !self.session.is_up() {
            return;
        }
        for name in self.names() {
            let group = self.groups.get(&name);
            let active = group.is_some_and(|group| group.phase == Phase::Installed);
            let insistence = Insistence::Unserved;
            if active && !self.join_offer(&name, insistence, Asker::Stop) {
                let cause = Cause::new(CauseKind::Asked, "spared is being stopped there");
                self.offer(now_ns, &name, cause, insistence, Asker::Stop);
            }
        }
    }

    /// Returns true if a switchover to the peer is not confirmed yet.
    pub fn is_switching_over(&self) -> bool {
        self.groups.values().any(|group| group.offer.is_some())
    }

    pub(super) fn offer(
        &mut self,
        now_ns: u64,
        name: &str,
        cause: Cause,
        insistence: Insistence,
        asker: Asker,
    ) {
        let channels = self.channels_of(name);
        let waiting = self.drainers(name, &channels);
        self.epoch += 1;
        let epoch = self.epoch;
        // The id never equals one of an earlier run, whose words may still arrive.
        self.switchover = now_ns.max(self.switchover + 1);
        let id = self.switchover;
        let within_ns = self.within_ns(asker, &cause);
        // the cause is worded for a backup, which this node will be
        let why = cause.clause(Role::Backup);
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let deadline_ns = now_ns.saturating_add(within_ns);
        // If the switchover goes on without a follower that does not drain, the remaining steps need time.
        let drain_ns = if insistence.overrules_lacks() {
            within_ns / 2
        } else {
            plugins_ns(within_ns)
        };
        let until_ns = now_ns.saturating_add(drain_ns);
        let by_elector = (asker == Asker::Elector).then_some(cause.kind);
        let is_repeated = group.tries_again(now_ns, by_elector);
        let offer = group.offer.insert(Offer {
            id,
            why: why.clone(),
            insistence,
            client_requests: Vec::new(),
            requested: false,
            by_elector,
            stage: Stage::Draining {
                epoch,
                waiting: waiting.clone(),
            },
            begun_ns: now_ns,
            deadline_ns,
            until_ns,
        });
        offer.join(asker);
        self.actions.push_back(Action::Say(Word::Offer {
            switchover: id,
            group: name.to_owned(),
            reason: cause.reason(Role::Backup).to_owned(),
            why: why.clone(),
            anyway: insistence.overrules_lacks(),
            unserved: insistence.overrules_orders(),
            within_ms: within_ns / 1_000_000,
            channels: channels.into_iter().collect(),
        }));
        if !is_repeated {
            let text = format!("switches over: {why}");
            let notice = Notice::new(Kind::Switchover, text).of_group(name);
            self.tell(notice.because("offered"));
        }
        for plugin in waiting {
            self.actions.push_back(Action::Drain {
                plugin,
                group: name.to_owned(),
                epoch,
                deadline_ns: until_ns,
            });
        }
        self.end_draining(name);
    }

    /// Adds an origin to a switchover in progress. Returns false if there is none.
    pub(super) fn join_offer(&mut self, name: &str, insistence: Insistence, asker: Asker) -> bool {
        let Some(offer) = self.offer_of(name) else {
            return false;
        };
        offer.insistence = offer.insistence.max(insistence);
        offer.join(asker);
        true
    }

    /// Handles a follower that has drained, or failed to.
    pub fn handle_drained(&mut self, plugin: &str, name: &str, asked: u64, status: i32) {
        let Some(offer) = self.offer_of(name) else {
            return;
        };
        let goes_on = offer.insistence.overrules_lacks();
        let Stage::Draining { epoch, waiting } = &mut offer.stage else {
            return;
        };
        if *epoch != asked || !waiting.remove(plugin) {
            return;
        }
        if status < 0 && !goes_on {
            let why = format!(
                "{plugin} could not send its records: errno {}",
                status.unsigned_abs()
            );
            return self.cancel(name, &why);
        }
        self.end_draining(name);
    }

    // Sends the marks behind the records when all followers have drained.
    fn end_draining(&mut self, name: &str) {
        let channels = self.channels_of(name);
        let Some(offer) = self.offer_of(name) else {
            return;
        };
        let drained = matches!(&offer.stage, Stage::Draining { waiting, .. } if waiting.is_empty());
        if !drained {
            return;
        }
        offer.stage = Stage::Waiting;
        offer.until_ns = offer.deadline_ns;
        let id = offer.id;
        if !channels.is_empty() {
            self.actions.push_back(Action::Mark { id, channels });
        }
    }

    /// Handles that the peer is prepared: the elector is told to release the group.
    pub(super) fn handle_peer_prepared(&mut self, now_ns: u64, id: u64) {
        let Some(name) = self.offered(id) else {
            return;
        };
        let Some(offer) = self.offer_of(&name) else {
            return;
        };
        if offer.stage != Stage::Waiting {
            return;
        }
        if now_ns >= offer.until_ns {
            // This process was suspended meanwhile: the peer may have given up.
            return self.end_offer(now_ns, &name);
        }
        offer.stage = Stage::Releasing;
        offer.until_ns = now_ns.saturating_add(RELEASE_NS);
        self.send_directive(&name);
    }

    /// Handles that the peer declines.
    pub(super) fn handle_declined(&mut self, id: u64, why: &str) {
        if let Some(name) = self.offered(id) {
            self.cancel(&name, &format!("the peer declines: {why}"));
        }
    }

    /// Handles that the peer is active.
    pub(super) fn handle_took(&mut self, now_ns: u64, id: u64) {
        let Some(name) = self.offered(id) else {
            return self.forget_given(id);
        };
        let Some(group) = self.groups.get_mut(&name) else {
            return;
        };
        let Some(offer) = group.offer.take_if(|offer| offer.stage == Stage::Released) else {
            return;
        };
        if let Phase::Carrying { until_ns } = &mut group.phase {
            *until_ns = (*until_ns).min(now_ns.saturating_add(CARRY_AFTER_NS));
        }
        let took_ms = now_ns.saturating_sub(offer.begun_ns) / 1_000_000;
        let text = format!("switched over within {took_ms} ms");
        let line = format!("{name}: {text}");
        self.tell(
            Notice::new(Kind::Switchover, text)
                .of_group(&name)
                .because("switched-over"),
        );
        self.report_result(offer.client_requests, &Ok(vec![line]));
    }

    /// Ends a stage that has waited too long for the peer or for plugins.
    pub(super) fn end_offer(&mut self, now_ns: u64, name: &str) {
        let Some(offer) = self.offer_of(name) else {
            return;
        };
        if now_ns < offer.until_ns {
            return;
        }
        let goes_on = offer.insistence.overrules_lacks();
        let why = match &mut offer.stage {
            Stage::Draining { waiting, .. } => {
                let late: Vec<String> = std::mem::take(waiting).into_iter().collect();
                let text = format!("{} did not send all records in time", late.join(", "));
                if goes_on {
                    let text = format!("continuing anyway: {text}");
                    self.warn(Kind::Switchover, name, "late", text);
                    return self.end_draining(name);
                }
                text
            }
            // Both nodes report this sentence.
            Stage::Waiting => "no answer came in time".to_owned(),
            Stage::Releasing => "the vrrp plugin did not release it in time".to_owned(),
            Stage::Released => return self.end_unheard(name),
        };
        self.cancel(name, &why);
    }

    /// Tells the peer that a group which was released is active here again, so that it does not become
    /// active there.
    pub(super) fn take_back(
        &mut self,
        name: &str,
        released: Option<UnconfirmedRelease>,
        offer: Option<Offer>,
    ) {
        let released = released.map(|released| released.id);
        let Some(switchover) = offer.as_ref().map(|offer| offer.id).or(released) else {
            return;
        };
        let why = "the peer did not take over: the group is active here again".to_owned();
        self.warn(Kind::Switchover, name, "not-switched-over", why.as_str());
        if let Some(offer) = offer {
            let there = "this node did not take over: the group is active there again";
            self.tell_failed(name, offer, &why, there);
        }
        self.actions
            .push_back(Action::Say(Word::Cancelled { switchover, why }));
    }

    // Ends a switchover that the peer did not confirm. The peer may be active or dead: the election decides.
    pub(super) fn end_unheard(&mut self, name: &str) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let Some(offer) = group.offer.take_if(|offer| offer.stage == Stage::Released) else {
            return;
        };
        group.ended.set_unconfirmed(UnconfirmedRelease {
            id: offer.id,
            until_ns: offer.until_ns.saturating_add(PREPARED_NS),
        });
        let text = "released, but the peer does not confirm that it took over";
        self.warn(Kind::Switchover, name, "unheard", text);
        let there = "it released the group, but has not heard that this node took over";
        self.tell_failed(name, offer, text, there);
    }

    /// Tells those who asked for a switchover why it failed: clients, and the peer in its own words.
    fn tell_failed(&mut self, name: &str, offer: Offer, why: &str, there: &str) {
        if offer.requested {
            self.actions.push_back(Action::Say(Word::Refused {
                group: name.to_owned(),
                why: there.to_owned(),
            }));
        }
        self.report_result(offer.client_requests, &Err(format!("{name}: {why}")));
    }

    fn forget_given(&mut self, id: u64) {
        for group in self.groups.values_mut() {
            group.ended.handle_confirmed(id);
        }
    }

    fn offer_of(&mut self, name: &str) -> Option<&mut Offer> {
        self.groups.get_mut(name)?.offer.as_mut()
    }

    fn offered(&self, id: u64) -> Option<String> {
        let mut groups = self.groups.iter();
        let found = groups.find(|(_, group)| group.offer.as_ref().is_some_and(|o| o.id == id));
        found.map(|(name, _)| name.clone())
    }

    fn within_ns(&self, asker: Asker, cause: &Cause) -> u64 {
        match asker {
            Asker::Stop => STOPPING_NS,
            Asker::Elector if HURT.contains(&cause.kind) => self.settle_ns,
            _ => PLANNED_NS,
        }
    }
}

impl Group {
    /// Handles BACKUP of the elector: its answer if it was told to release the group.
    pub(super) fn handle_released(&mut self, now_ns: u64) {
        let offer = self.offer.as_mut();
        if let Some(offer) = offer.filter(|offer| offer.is_releasing()) {
            offer.stage = Stage::Released;
            offer.until_ns = now_ns.saturating_add(CARRY_MAX_NS);
        }
    }
}

impl UnconfirmedRelease {
    pub(super) fn is_open(&self, now_ns: u64) -> bool {
        now_ns < self.until_ns
    }
}

impl Offer {
    fn join(&mut self, asker: Asker) {
        match asker {
            Asker::Client(client_request) => self.client_requests.push(client_request),
            Asker::Peer => self.requested = true,
            Asker::Elector | Asker::Stop => {}
        }
    }

    pub(super) fn is_releasing(&self) -> bool {
        self.stage == Stage::Releasing
    }

    /// Returns the time until which packets are carried, once the group is released.
    pub(super) fn carries_until_ns(&self) -> Option<u64> {
        (self.stage == Stage::Released).then_some(self.until_ns)
    }
}
