//! What the host and the clock tell a group.

use spared_sdk::{Forced, Role};

use super::Context;
use super::group::{Group, State};
use crate::election::{Stance, Why};

impl Group {
    /// An Active whose advert would go out later than its lease must not send it: the peer may be
    /// active already, and the fence is closed.
    pub fn check_late(&mut self, cx: &mut Context<'_>) {
        let State::Active { advert_ns, .. } = self.state else {
            return;
        };
        if cx.now_ns > self.lease_until_ns {
            self.counters.late_step_downs += 1;
            let by_ns = cx.now_ns.saturating_sub(advert_ns);
            self.counters.lateness.record(by_ns);
            self.listen_again(cx, Why::Late { by_ns });
        }
    }

    pub fn handle_stance(&mut self, cx: &mut Context<'_>, stance: &Stance) {
        let aside = stance.stands_aside() && !self.stance.stands_aside();
        let forced = stance.forced == Forced::Active && self.stance.forced != Forced::Active;
        let yields = stance.yields && !self.stance.yields;
        let heir = stance.heir && !self.stance.heir;
        self.stance = stance.clone();
        let was_active = self.is_active();
        self.refresh(cx);
        let twin = self.mutual_twin(cx.now_ns);
        let beside_twin = twin.is_some();
        // it failed after the host had asked it
        let heir_failed = twin.is_some_and(|twin| twin.beat.unable);
        if yields && self.is_active() && !heir_failed {
            return self.yield_to_heir(cx);
        }
        if heir {
            return self.become_heir(cx);
        }
        if beside_twin && self.is_active() {
            return self.weigh(cx);
        }
        let why = stance.why.clone();
        if aside && was_active && self.is_active() {
            self.listen_again(cx, Why::StandsAside { why });
        } else if forced && !beside_twin {
            let why = self.forced_sentence(cx);
            self.hurry(cx, why);
        }
    }

    pub fn handle_published(&mut self, cx: &mut Context<'_>, role: Role, done: bool) {
        match (&self.state, role) {
            (State::Promoting { .. }, Role::Active) => {
                if done {
                    // however late the answer is: an advert that finds its lease expired is not
                    // taken, and shows it
                    return self.become_active(cx);
                }
                self.counters.publish_failed += 1;
                self.drop_claim(cx);
                self.back_to_backup(cx);
                self.published = Some((Role::Backup, Why::PublishFailed));
            }
            // taken back meanwhile; priority 0 closes the fence on its way out, sooner than the host
            (State::Backup { .. } | State::Initialize { .. }, Role::Active) if done => {
                self.transmit(cx, true);
                let why = self.backup_sentence(cx);
                self.publish(cx, Role::Backup, why);
            }
            (State::Active { .. }, Role::Active) if !done => {
                self.counters.publish_failed += 1;
                self.listen_again(cx, Why::PublishFailed);
            }
            _ => {}
        }
    }

    pub fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        match self.state {
            State::Initialize {
                wait_until_ns: Some(at),
            } if cx.now_ns >= at => self.refresh(cx),
            State::Initialize { .. } => self.meet(cx),
            // one group at a time: the host's answer must not keep another one's adverts waiting
            State::Backup { down_ns, .. } if cx.now_ns >= down_ns && !cx.publishes() => {
                self.take_over(cx);
            }
            State::Backup { .. } => {
                self.check_disputes(cx);
                self.meet(cx);
            }
            State::Active { advert_ns, .. } if cx.now_ns >= advert_ns => {
                self.counters.lateness.record(cx.now_ns - advert_ns);
                self.answers = 0;
                self.expire_conflict(cx);
                self.expire_claim(cx);
                self.advertise(cx);
                // from the due time, so that lateness does not add up
                let missed = (cx.now_ns - advert_ns) / self.spacing_ns.max(1);
                let later_ns = self.spacing_ns.saturating_mul(missed.saturating_add(1));
                self.rearm_advert(advert_ns.saturating_add(later_ns));
                self.look_at_twin(cx);
            }
            State::Active { .. } => self.look_at_twin(cx),
            State::Promoting { .. } => {}
        }
    }

    /// What an active node does about the twin when nothing is heard.
    fn look_at_twin(&mut self, cx: &mut Context<'_>) {
        self.meet(cx);
        if self.is_active() {
            self.check_disputes(cx);
            self.weigh(cx);
            self.retell(cx);
        }
    }

    pub fn shut_down(&mut self, cx: &mut Context<'_>) {
        self.speaking.leaves = true;
        if self.is_active() || matches!(self.state, State::Promoting { .. }) {
            let wait = State::Initialize {
                wait_until_ns: None,
            };
            self.step_down(cx, Role::Backup, Why::ShutsDown, wait);
        }
        self.state = State::Initialize {
            wait_until_ns: None,
        };
    }
}
