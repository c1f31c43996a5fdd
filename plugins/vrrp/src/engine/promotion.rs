//! Makes a group active: it requests the role, the fence passes, the routers send.

use spared_sdk::Role;

use super::Context;
use super::group::{Group, State};
use crate::election::RoleReason;

impl Group {
    pub(super) fn promote(&mut self, cx: &mut Context<'_>, why: RoleReason) {
        self.mark_unheard();
        self.mark_one_way_ports(cx.now_ns);
        self.end_unheard(cx);
        self.watch.end_readiness();
        self.state = State::Promoting {
            asked_ns: cx.now_ns,
            why: why.clone(),
        };
        self.publish(cx, Role::Active, why);
    }

    pub(super) fn become_active(&mut self, cx: &mut Context<'_>) {
        let State::Promoting { asked_ns, .. } = self.state else {
            return;
        };
        let now_ns = cx.now_ns;
        self.counters.became_active += 1;
        self.history.handle_active(now_ns);
        self.watch.learn_interval(self.config.interval_ns);
        self.lease.begin_term(self.config.interval_ns);
        self.watch.handle_role_change();
        self.switchover.begin_term();
        self.own_heartbeat.end_release();
        self.conflicts.end_tie();
        self.begin_sending(cx, asked_ns);
    }

    /// Begins to send for all routers: the fence passes, some time after the request.
    pub(super) fn begin_sending(&mut self, cx: &mut Context<'_>, asked_ns: u64) {
        let now_ns = cx.now_ns;
        self.begin_port_terms();
        for router in self.networks.routers_mut() {
            router.adverts.begin(asked_ns);
        }
        self.unmute(now_ns);
        self.state = State::Active {
            advert_ns: self.lease.next_advert_ns(now_ns),
            since_ns: now_ns,
        };
        self.update_priority(cx);
        self.advertise(cx);
    }
}
