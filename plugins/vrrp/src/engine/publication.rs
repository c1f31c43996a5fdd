//! Roles of a group as published to the host, each with its cause.

use spared_sdk::{CauseKind, Role};

use super::group::{Group, State};
use super::peer_reasons::Comparison;
use super::{Action, Context};
use crate::election::{OtherRouter, RoleReason};

/// Shortest interval of republishing a backup's sentence.
const REPUBLISH_NS: u64 = 1_000_000_000;
/// Shortest interval of republishing a sentence that is not about a failover.
const UPDATE_NS: u64 = 1_000_000_000;

/// Last publication of a role.
#[derive(Clone, Debug, Default)]
pub(super) struct Publication {
    last: Option<RoleReason>,
    at_ns: u64,
    /// Inputs of the sentence, if it compares both nodes.
    compared: Option<Comparison>,
}

impl Publication {
    fn handle_published(&mut self, now_ns: u64, why: RoleReason) {
        (self.last, self.at_ns) = (Some(why), now_ns);
    }

    /// Notes that the last cause is published again.
    fn handle_reopened(&mut self, now_ns: u64) {
        self.at_ns = now_ns;
    }

    /// Notes that the host did not make the node active: it remains backup.
    pub fn handle_failed(&mut self) {
        self.last = Some(RoleReason::of(CauseKind::FenceBlocking));
    }

    /// Has the next comparison published, even if it is the same.
    pub fn forget_comparison(&mut self) {
        self.compared = None;
    }

    pub fn why(&self) -> RoleReason {
        let last = self.last.clone();
        last.unwrap_or_else(|| RoleReason::of(CauseKind::Owner))
    }

    fn is_of(&self, kind: CauseKind) -> bool {
        self.last.as_ref().is_some_and(|it| it.kind == kind)
    }

    pub fn is_last(&self, why: &RoleReason) -> bool {
        self.last.as_ref() == Some(why)
    }
}

impl Group {
    pub(super) fn publish(&mut self, cx: &mut Context<'_>, role: Role, why: RoleReason) {
        let (group, cause) = (self.name.clone(), why.cause());
        self.publication.handle_published(cx.now_ns, why);
        cx.push(Action::Publish { group, role, cause });
    }

    /// Publishes the same role with another cause.
    pub(super) fn explain(&mut self, cx: &mut Context<'_>, role: Role, why: RoleReason) {
        let (group, cause) = (self.name.clone(), why.cause());
        self.publication.handle_published(cx.now_ns, why);
        cx.push(Action::Explain { group, role, cause });
    }

    /// Publishes the same role and cause, with every lease granted again.
    pub(super) fn push_reopen(&mut self, cx: &mut Context<'_>) {
        let (group, cause) = (self.name.clone(), self.publication.why().cause());
        self.publication.handle_reopened(cx.now_ns);
        cx.push(Action::Reopen { group, cause });
    }

    /// Publishes the backup's sentence again if its facts have changed. Any of the peer's addresses on the interfaces
    /// will do.
    pub(super) fn republish_backup(&mut self, cx: &mut Context<'_>) {
        if self.is_backup_cause_current(cx.now_ns) {
            return;
        }
        let why = self.backup_reason(cx);
        let is_same = match &self.publication.last {
            Some(last) if last.kind == CauseKind::PeerActive && why.kind == last.kind => {
                let is_same = (last.theirs, last.own) == (why.theirs, why.own);
                is_same && self.advertised_lately(cx.now_ns, last.peer.as_ref())
            }
            last => last.as_ref() == Some(&why),
        };
        let is_recent = cx.now_ns.saturating_sub(self.publication.at_ns) < REPUBLISH_NS;
        let listening = self.publication.is_of(CauseKind::Listening);
        if is_same || is_recent && !listening || !matches!(self.state, State::Backup { .. }) {
            return;
        }
        self.publish(cx, Role::Backup, why);
        self.publication.compared = self.compare_with_peer(cx.now_ns);
    }

    fn advertised_lately(&self, now_ns: u64, who: Option<&OtherRouter>) -> bool {
        let Some(OtherRouter::Address(address)) = who else {
            return true;
        };
        let horizon_ns = now_ns.saturating_sub(self.active_down_ns());
        let advertisers = self
            .routers()
            .filter_map(|router| router.senders.last_advertiser());
        advertisers
            .into_iter()
            .any(|one| one.address == *address && one.heard_ns > horizon_ns)
    }

    /// Publishes the active node's sentence again if its facts have changed, while the peer is heard.
    pub(super) fn update_active_cause(&mut self, cx: &mut Context<'_>) {
        let State::Active { since_ns, .. } = self.state else {
            return;
        };
        let Some(comparison) = self.compare_with_peer(cx.now_ns) else {
            return;
        };
        let published_ns = self.publication.at_ns.max(since_ns);
        if comparison.peer_active
            || self.publication.compared == Some(comparison)
            || cx.now_ns < published_ns + UPDATE_NS
        {
            return;
        }
        self.publication.compared = Some(comparison);
        let why = self.active_reason(cx, &comparison.own, &comparison.peer);
        if self.publication.is_last(&why) {
            return;
        }
        // without waiting for an answer, which would delay adverts beyond their lease
        self.explain(cx, Role::Active, why);
    }

    /// True if the backup's sentence would be the same again.
    fn is_backup_cause_current(&mut self, now_ns: u64) -> bool {
        if !self.peer.was_mutual() {
            self.publication.compared = None;
            return false;
        }
        let comparison = self
            .compare_with_peer(now_ns)
            .filter(|comparison| comparison.peer_active);
        comparison.is_some() && self.publication.compared == comparison
    }
}
