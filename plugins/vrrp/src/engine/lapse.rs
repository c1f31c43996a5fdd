//! E13: lapses of the fence lease, which are no role changes. The fence blocks by itself, addresses and services stay,
//! and the leases are granted again as soon as it is known that nobody else is active.

use spared_sdk::{CauseKind, Elapsed};

use super::group::{Group, State};
use super::peer::Peer;
use super::sending::TICK_NS;
use super::{Action, Context};
use crate::election::RoleReason;
use crate::wire::frame::Advert;

/// Longest time to listen before the leases are granted again, whatever the interval.
const LISTEN_MAX_NS: u64 = 1_000_000_000;

/// A time in which the leases have ended although the group was not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lapse {
    /// Time when the last of them ended, as far as this node can tell.
    began_ns: u64,
    /// Lateness of the advert that would have renewed them.
    by_ns: u64,
}

impl Group {
    /// Begins a lapse because the due advert is too late: the fence is blocking, and must not pass before the sockets
    /// are empty.
    pub(super) fn lapse(&mut self, cx: &mut Context<'_>, by_ns: u64) {
        self.counters.lapses += 1;
        let lapse = Lapse {
            began_ns: self.lease.until_ns().min(cx.now_ns),
            by_ns,
        };
        let reopen_ns = if self.nobody_took_over(cx.now_ns, lapse.began_ns) {
            cx.now_ns
        } else {
            cx.now_ns.saturating_add(self.listen_ns())
        };
        self.begin_lapse(lapse, reopen_ns);
    }

    /// Begins a lapse because the host's answer took longer than the granted lease: an immediate retry would fail
    /// again.
    pub(super) fn lapse_at_once(&mut self, cx: &mut Context<'_>) {
        self.counters.lapses += 1;
        let lapse = Lapse {
            began_ns: cx.now_ns,
            by_ns: 0,
        };
        self.begin_lapse(lapse, cx.now_ns.saturating_add(self.listen_ns()));
    }

    /// Time to listen before the leases are granted again. It is longer than the pause between two heartbeats or
    /// adverts of an active router: one that was sent just before this node woke may not be in a socket yet, for
    /// example after a pause of the whole machine.
    fn listen_ns(&self) -> u64 {
        (self.config.interval_ns.saturating_mul(3) / 2).min(LISTEN_MAX_NS)
    }

    fn begin_lapse(&mut self, lapse: Lapse, reopen_ns: u64) {
        self.lease.begin_lapse(lapse);
        self.switchover.cancel();
        self.state = State::Lapsed { reopen_ns };
    }

    /// True if nobody can be active now, except a router whose packets wait in a socket.
    fn nobody_took_over(&self, now_ns: u64, began_ns: u64) -> bool {
        // no Active_Down has ended since the last advert; an unknown router may have no skew
        let sent_ns = began_ns.saturating_sub(self.config.lease_ns);
        let peer = self.peer.last();
        let peer =
            peer.filter(|peer| peer.heartbeat.hears && self.peer_silent_at_ns(peer) > sent_ns);
        let interval_ns = self.lease.interval_ns();
        let least_ns = u64::from(self.config.advert_loss).saturating_mul(interval_ns);
        let down_ns = peer.map_or(least_ns, |peer| {
            self.active_down_of(peer.heartbeat.priority, interval_ns)
        });
        let silent_ns = now_ns.saturating_sub(sent_ns);
        if silent_ns.saturating_add(TICK_NS) < down_ns {
            return true;
        }
        // this node may have heard nobody since its last advert because it was stopped
        now_ns.saturating_sub(began_ns) < self.active_down_ns() && self.was_alone(sent_ns)
    }

    /// True if the peer had been silent for one Active_Down at a time.
    fn was_alone(&self, at_ns: u64) -> bool {
        let peer = self.peer.last();
        let silent = peer.is_none_or(|peer| self.peer_silent_at_ns(peer) <= at_ns);
        let adverts_ns = self.active_silent_at_ns();
        let quiet = adverts_ns.is_none_or(|silent_ns| silent_ns <= at_ns);
        silent && quiet
    }

    /// Requests leases again that the host revoked without carrier or that lapsed without adverts; then the routers
    /// send again.
    pub(super) fn resume_routers(&mut self, cx: &mut Context<'_>) {
        self.push_reopen(cx);
        self.advertise_now(cx);
    }

    /// Requests the leases again: nobody else is active, as the empty sockets show.
    pub(super) fn reopen(&mut self, cx: &mut Context<'_>) {
        self.state = State::Promoting {
            asked_ns: cx.now_ns,
            why: self.publication.why(),
        };
        self.push_reopen(cx);
    }

    /// Every lease was granted again: no router's has lapsed any more.
    pub(super) fn end_lapses(&mut self) {
        for router in self.networks.routers_mut() {
            router.adverts.end_lapse();
        }
        self.own_heartbeat.note_changed();
    }

    /// Ends a lapse: the fence passes again, with the same role as before.
    pub(super) fn end_lapse(&mut self, cx: &mut Context<'_>, lapse: Lapse) {
        let State::Promoting { asked_ns, .. } = self.state else {
            return;
        };
        for router in self.networks.routers_mut() {
            router.adverts.forget_refused();
        }
        self.begin_sending(cx, asked_ns);
        if lapse.by_ns == 0 {
            return;
        }
        if let Some(more) = self.lease.allow_late_event(cx.now_ns) {
            cx.push(Action::Event(format!(
                "{}: its advert was {} late; the fence blocked for {}, no other router was active{more}",
                self.name,
                Elapsed(lapse.by_ns),
                Elapsed(cx.now_ns.saturating_sub(lapse.began_ns))
            )));
        }
    }

    /// Becomes backup, since another router may be active.
    pub(super) fn step_down_after_lapse(&mut self, cx: &mut Context<'_>) {
        let by_ns = self.lease.end_lapse().map_or(0, |lapse| lapse.by_ns);
        self.counters.late_step_downs += 1;
        self.listen_again(cx, RoleReason::of(CauseKind::Late).lasting(by_ns));
    }

    /// Gives way if the newest heartbeat tells that the peer took over.
    pub(super) fn heartbeat_while_lapsed(&mut self, cx: &mut Context<'_>) {
        if self.peer.last().is_some_and(Peer::is_active) {
            self.step_down_after_lapse(cx);
            self.heartbeat_while_backup(cx, false);
        }
    }

    /// True if the leases are being granted again right now.
    pub(super) fn reopens(&self, now_ns: u64) -> bool {
        self.lease.is_lapsed()
            && match self.state {
                State::Lapsed { reopen_ns } => now_ns >= reopen_ns,
                _ => true,
            }
    }

    /// Gives way if an advert shows that another router took over, unless heartbeats decide. That includes a losing
    /// advert: if the fence passed now, two routers would answer until its sender has heard this one.
    pub(super) fn advert_while_lapsed(
        &mut self,
        cx: &mut Context<'_>,
        router: usize,
        advert: &Advert<'_>,
    ) {
        if advert.priority == 0 || self.heartbeats_decide(cx.now_ns, router, advert.source) {
            return;
        }
        self.step_down_after_lapse(cx);
        self.advert_while_backup(cx, router, advert);
    }
}
