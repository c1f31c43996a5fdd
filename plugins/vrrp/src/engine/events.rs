//! Input from the host and the clock to a group.

use spared_sdk::{CauseKind, Directive, Role};

use super::Context;
use super::group::{Group, State};
use crate::election::RoleReason;

impl Group {
    /// Begins a lapse if the advert of an active node would go out later than its lease: it must not be sent, since the
    /// peer may be active already, and the fence is blocking.
    pub fn check_lapse(&mut self, cx: &mut Context<'_>) {
        let State::Active { advert_ns, .. } = self.state else {
            return;
        };
        if self.lease.is_over(cx.now_ns) {
            let by_ns = cx.now_ns.saturating_sub(advert_ns);
            self.counters.lateness.record(by_ns);
            self.lapse(cx, by_ns);
        }
    }

    pub fn handle_directive(&mut self, cx: &mut Context<'_>, directive: &Directive) {
        let before = self.candidacy.handle_directive(directive.clone());
        let aside = directive.stands_aside() && !before.stands_aside();
        let forced = directive.is_forced_active() && !before.is_forced_active();
        let release = directive.release && !before.release;
        let successor = directive.prepared && !before.prepared;
        let held = directive.held && !before.held;
        let was_active = self.is_active();
        self.refresh(cx);
        if held {
            self.shorten_link_wait(cx);
        }
        let peer = self.mutual_peer(cx.now_ns);
        let beside_peer = peer.is_some();
        // the successor failed after the host's request
        let successor_failed = peer.is_some_and(|peer| peer.heartbeat.unable);
        if release && self.is_active() && !successor_failed {
            return self.release_to_successor(cx);
        }
        if successor {
            return self.become_successor(cx);
        }
        if beside_peer && self.is_active() {
            return self.consider_switchover(cx);
        }
        let why = directive.why.clone();
        if aside && was_active && self.is_active() {
            let why = RoleReason::of(CauseKind::StandsAside).saying(why);
            self.listen_again(cx, why);
        } else if forced && !beside_peer {
            let why = self.forced_reason(cx);
            self.promote_soon(cx, why);
        }
    }

    pub fn handle_published(&mut self, cx: &mut Context<'_>, role: Role, done: bool) {
        match (&self.state, role) {
            (State::Promoting { .. }, Role::Active) => {
                if let Some(lapse) = self.lease.end_lapse().filter(|_| done) {
                    return self.end_lapse(cx, lapse);
                }
                if done {
                    // even if the answer is late: an advert with an expired lease is refused, which
                    // shows it
                    return self.become_active(cx);
                }
                self.counters.publish_failed += 1;
                // a role that lapsed is over with its conflicts
                self.conflicts.end_term();
                self.drop_claim(cx);
                self.back_to_backup(cx);
                self.publication.handle_failed();
            }
            // the request was withdrawn meanwhile; priority 0 blocks the fence on its way out, sooner than the host
            // does
            (State::Backup { .. } | State::Initialize { .. }, Role::Active) if done => {
                let lapsed = self.lease.end_lapse().is_some();
                self.own_heartbeat.handle_given_up();
                self.counters.late_step_downs += u64::from(lapsed);
                self.transmit(cx, true);
                let why = self.backup_reason(cx);
                self.publish(cx, Role::Backup, why);
            }
            (State::Active { .. }, Role::Active) if !done => {
                self.counters.publish_failed += 1;
                self.listen_again(cx, RoleReason::of(CauseKind::FenceBlocking));
            }
            (State::Active { .. }, Role::Active) => self.end_lapses(),
            _ => {}
        }
    }

    pub fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        if self.is_source_lost(cx.now_ns) {
            self.refresh(cx);
        }
        match self.state {
            State::Initialize {
                wait_until_ns: Some(at),
            } if cx.now_ns >= at => self.refresh(cx),
            State::Initialize { .. } => self.update_contact(cx),
            // one group at a time: the host's answer must not keep another one's adverts waiting
            State::Backup { down_ns, .. } if cx.now_ns >= down_ns && !cx.actions.publishes() => {
                self.take_over(cx);
            }
            State::Backup { .. } => {
                self.expire_mutings(cx);
                self.check_unheard(cx);
                self.update_contact(cx);
            }
            State::Active { advert_ns, .. } if cx.now_ns >= advert_ns => {
                self.counters.lateness.record(cx.now_ns - advert_ns);
                self.lease.end_interval();
                self.expire_conflict(cx);
                self.announce_late(cx);
                self.publish_won_conflict(cx);
                self.expire_claim(cx);
                self.retry_muted(cx);
                self.advertise(cx);
                // from the due time, so that lateness does not add up
                let interval_ns = self.lease.interval_ns();
                let missed = (cx.now_ns - advert_ns) / interval_ns.max(1);
                let later_ns = interval_ns.saturating_mul(missed.saturating_add(1));
                self.rearm_advert(advert_ns.saturating_add(later_ns));
                self.check_peer_and_networks(cx);
            }
            State::Active { .. } => self.check_peer_and_networks(cx),
            State::Lapsed { reopen_ns } if cx.now_ns >= reopen_ns && !cx.actions.publishes() => {
                self.reopen(cx);
            }
            State::Lapsed { .. } => self.update_contact(cx),
            State::Promoting { .. } => {}
        }
    }

    /// Checks the peer and the networks, while active.
    fn check_peer_and_networks(&mut self, cx: &mut Context<'_>) {
        self.update_contact(cx);
        if self.is_active() {
            self.check_unheard(cx);
            self.consider_switchover(cx);
            self.update_active_cause(cx);
        }
    }

    pub fn shut_down(&mut self, cx: &mut Context<'_>) {
        self.own_heartbeat.announce_leaving();
        let wants = matches!(self.state, State::Promoting { .. } | State::Lapsed { .. });
        if self.is_active() || wants {
            let why = RoleReason::of(CauseKind::Shutdown);
            self.step_down(cx, Role::Backup, why, State::WAITING);
        }
        self.state = State::WAITING;
    }
}
