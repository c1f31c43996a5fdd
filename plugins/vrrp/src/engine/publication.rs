//! Roles of a group as published to the host, each with its cause.

use spared_sdk::Role;

use super::group::{Group, State};
use super::sentences::Comparison;
use super::{Action, Context};
use crate::election::{Who, Why};

/// Shortest interval of republishing a backup's sentence.
const REPUBLISH_NS: u64 = 1_000_000_000;
/// Shortest interval of republishing a sentence that is not about a failover.
const RETELL_NS: u64 = 1_000_000_000;

/// Last publication of a role.
#[derive(Clone, Debug, Default)]
pub(super) struct Publication {
    last: Option<Why>,
    at_ns: u64,
    /// Inputs of the sentence, if it compares both nodes.
    compared: Option<Comparison>,
}

impl Publication {
    fn handle_published(&mut self, now_ns: u64, why: Why) {
        (self.last, self.at_ns) = (Some(why), now_ns);
    }

    /// Notes that the last cause is published again.
    fn handle_reopened(&mut self, now_ns: u64) {
        self.at_ns = now_ns;
    }

    /// Notes that the host did not make the node active: it remains backup.
    pub fn handle_failed(&mut self) {
        self.last = Some(Why::PublishFailed);
    }

    /// Has the next comparison published, even if it is the same.
    pub fn forget_comparison(&mut self) {
        self.compared = None;
    }

    pub fn why(&self) -> &Why {
        self.last.as_ref().unwrap_or(&Why::Owner)
    }

    pub fn says(&self, why: &Why) -> bool {
        self.last.as_ref() == Some(why)
    }
}

impl Group {
    pub(super) fn publish(&mut self, cx: &mut Context<'_>, role: Role, why: Why) {
        let (group, cause) = (self.name.clone(), why.cause());
        self.publication.handle_published(cx.now_ns, why);
        cx.push(Action::Publish { group, role, cause });
    }

    /// Publishes the same role with another cause.
    pub(super) fn explain(&mut self, cx: &mut Context<'_>, role: Role, why: Why) {
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
        if self.has_said(cx.now_ns) {
            return;
        }
        let why = self.backup_sentence(cx);
        let same = match (self.publication.last.as_ref(), &why) {
            (
                Some(Why::PeerActive {
                    peer: was,
                    theirs: had,
                    own: here,
                }),
                Why::PeerActive { theirs, own, .. },
            ) => had == theirs && here == own && self.talks(cx.now_ns, was),
            (last, why) => last == Some(why),
        };
        let soon = cx.now_ns.saturating_sub(self.publication.at_ns) < REPUBLISH_NS;
        let listening = matches!(self.publication.last, Some(Why::Listens { .. }));
        if same || soon && !listening || !matches!(self.state, State::Backup { .. }) {
            return;
        }
        self.publish(cx, Role::Backup, why);
        self.publication.compared = self.facts_of_both(cx.now_ns);
    }

    fn talks(&self, now_ns: u64, who: &Who) -> bool {
        let Who::Address(address) = who else {
            return true;
        };
        let horizon_ns = now_ns.saturating_sub(self.active_down_ns());
        let talkers = self
            .networks
            .routers()
            .iter()
            .filter_map(|router| router.senders.talker());
        talkers
            .into_iter()
            .any(|one| one.address == *address && one.heard_ns > horizon_ns)
    }

    /// Publishes the active node's sentence again if its facts have changed, while the peer is heard.
    pub(super) fn retell(&mut self, cx: &mut Context<'_>) {
        let State::Active { since_ns, .. } = self.state else {
            return;
        };
        let Some(said) = self.facts_of_both(cx.now_ns) else {
            return;
        };
        let told_ns = self.publication.at_ns.max(since_ns);
        if said.peer_active
            || self.publication.compared == Some(said)
            || cx.now_ns < told_ns + RETELL_NS
        {
            return;
        }
        self.publication.compared = Some(said);
        let why = self.active_sentence(cx, &said.own, &said.peer);
        if self.publication.says(&why) {
            return;
        }
        // without waiting for an answer, which would delay adverts beyond their lease
        self.explain(cx, Role::Active, why);
    }

    /// True if the backup's sentence would be the same again.
    fn has_said(&mut self, now_ns: u64) -> bool {
        if !self.peer.was_mutual() {
            self.publication.compared = None;
            return false;
        }
        let said = self.facts_of_both(now_ns).filter(|said| said.peer_active);
        said.is_some() && self.publication.compared == said
    }
}
