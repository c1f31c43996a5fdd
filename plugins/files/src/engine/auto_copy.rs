//! Automatic copies of trees from the active node.
//!
//! A tree is offered when two scans in a row found the same. As in a push on request, only what the peer has not
//! changed is replaced there.

use std::collections::BTreeMap;
use std::time::Duration;

use spared_sdk::config::format_duration;
use spared_sdk::nanoseconds;
use spared_tree::config::{Sync, Tree};
use spared_tree::local::{Finished, without_output};
use spared_tree::{Change, Hash};

use super::offer::Offer;
use super::relation::Relation;
use super::status::LastResult;
use super::tree::TreeInfo;
use super::{Action, Engine};
use crate::wire::{How, Message};

/// Interval between two scans of a tree that is copied as it changes, in ns.
pub(super) const CHANGE_SCAN_NS: u64 = 2_000_000_000;
/// Time until a refused tree is offered again, in ns; doubled each time.
const RETRY_NS: u64 = 10_000_000_000;
const RETRY_MAX_NS: u64 = 3_600_000_000_000;
/// Time in ns after which a tree that is due, but differs at each scan, is a finding.
const CHANGING_NS: u64 = 60_000_000_000;

/// Time in ns after which what could not be saved is saved again.
const SAVE_NS: u64 = 60_000_000_000;

/// State of a tree's automatic copies.
#[derive(Debug, Default)]
pub struct AutoCopy {
    /// End of the interval, for a tree that is copied at intervals.
    pub due_ns: u64,
    retry_ns: u64,
    wait_ns: u64,
    /// True if the last two scans found the same.
    is_stable: bool,
    /// Time since when the tree has been due and has differed at each scan.
    changing_since_ns: Option<u64>,
    /// Times of the first and of the last offer in a row during which the tree changed.
    overtaken_ns: Option<(u64, u64)>,
    /// Path that differed at each of these scans, or at the last one.
    changing_path: Option<String>,
    /// True if the tree has been changing for too long to be edited by hand.
    pub keeps_changing: bool,
    /// Reason why the last copy failed.
    pub failed: Option<String>,
    /// Digest of this node that the peer has, and reverts unless somebody confirms it.
    unconfirmed: Option<Hash>,
    /// True if `unconfirmed` is from an earlier worker, and may have been reverted long ago.
    is_remembered: bool,
    /// Digest that the peer has reverted: another copy could do harm again, and then would not be reverted.
    reverted: Option<Hash>,
    /// Digest that the next worker will read from the disk: one of these two.
    saved: Option<Hash>,
    /// Time when it is saved again, because it could not be written.
    save_again_ns: Option<u64>,
}

/// Groups of this node, with true if it is active in the group.
pub(super) type Roles = BTreeMap<String, bool>;

impl AutoCopy {
    /// Handles the result of a scan; `changes` are the differences from the scan before.
    pub fn handle_scan(&mut self, now_ns: u64, is_news: bool, changes: &[Change]) {
        self.is_stable = !is_news;
        if is_news {
            (self.retry_ns, self.wait_ns) = (0, 0);
        }
        let since_ns = self.changing_since_ns.unwrap_or(now_ns);
        self.changing_since_ns = (is_news && self.due_ns <= now_ns).then_some(since_ns);
        let is_long_ago = |it: u64| now_ns.saturating_sub(it) >= CHANGING_NS;
        self.overtaken_ns = self.overtaken_ns.filter(|(_, last)| !is_long_ago(*last));
        let overtaken_since_ns = self.overtaken_ns.map(|(first, _)| first);
        let since_ns = self.changing_since_ns.or(overtaken_since_ns);
        self.keeps_changing = since_ns.is_some_and(is_long_ago);
        let was = self.changing_path.as_ref();
        let still = changes.iter().find(|it| Some(&it.path) == was);
        let path = still.or(changes.first()).map(|it| it.path.clone());
        // between its changes the tree rests long enough to be offered
        let known = self.changing_path.take();
        self.changing_path = path.or(known.filter(|_| overtaken_since_ns.is_some()));
    }

    /// Handles that the tree changed after it was offered: it is offered again as soon as it rests.
    fn handle_overtaken(&mut self, now_ns: u64) {
        let first_ns = self.overtaken_ns.map_or(now_ns, |(first, _)| first);
        self.overtaken_ns = Some((first_ns, now_ns));
    }

    /// Reason why the tree cannot be copied: it keeps changing.
    pub fn changing_reason(&self) -> Option<String> {
        let of = self.changing_path.as_deref().unwrap_or("something");
        let why = || format!("it keeps changing: {of}; exclude such files");
        self.keeps_changing.then(why)
    }

    /// Notes that the peer has put this digest in place until somebody confirms it.
    pub fn handle_unconfirmed(&mut self, digest: Hash) {
        (self.unconfirmed, self.is_remembered) = (Some(digest), false);
    }

    /// Handles the peer's digest; `waits`: the peer reverts it unless somebody confirms it. `own` is the digest here.
    /// Returns true if the peer has reverted a change of this worker.
    pub fn handle_peer(&mut self, digest: Hash, waits: bool, own: Option<Hash>) -> bool {
        match (waits, self.unconfirmed) {
            // later the tree may be edited on the peer
            (true, Some(_)) if own != Some(digest) => false,
            (true, _) => {
                (self.unconfirmed, self.is_remembered) = (Some(digest), false);
                false
            }
            (false, Some(was)) => {
                self.unconfirmed = None;
                self.reverted = (was != digest).then_some(was);
                self.reverted.is_some() && !std::mem::take(&mut self.is_remembered)
            }
            (false, None) => false,
        }
    }

    /// Notes the digest that an earlier worker saved: the peer's next state tells whether it was reverted.
    fn handle_saved(&mut self, digest: Hash) {
        (self.saved, self.unconfirmed) = (Some(digest), Some(digest));
        self.is_remembered = true;
    }

    /// Digest that the next worker has to know, if it has changed since it was saved.
    fn poll_unsaved(&mut self, now_ns: u64) -> Option<Option<Hash>> {
        let now = self.unconfirmed.or(self.reverted);
        let is_again = self.save_again_ns.is_some_and(|it| it <= now_ns);
        (is_again || self.saved != now).then(|| {
            (self.saved, self.save_again_ns) = (now, None);
            now
        })
    }

    /// Allows a reverted digest again, because somebody requested it or both nodes have it.
    pub fn handle_wanted(&mut self) {
        self.reverted = None;
    }

    /// True if the peer has reverted this digest, because nobody confirmed it.
    pub fn is_reverted(&self, own: Option<Hash>) -> bool {
        own.is_some() && self.reverted == own
    }

    fn may_copy(&self, own: Option<Hash>) -> bool {
        self.is_stable
            && !self.is_reverted(own)
            && (self.unconfirmed.is_none() || self.unconfirmed != own)
    }

    fn handle_failure(&mut self, now_ns: u64, why: String) {
        self.wait_ns = match self.wait_ns {
            0 => RETRY_NS,
            before => before.saturating_mul(2).min(RETRY_MAX_NS),
        };
        self.retry_ns = now_ns.saturating_add(self.wait_ns);
        self.failed = Some(why);
    }

    fn handle_done(&mut self, now_ns: u64, sync: Sync) {
        (self.retry_ns, self.wait_ns) = (0, 0);
        (self.failed, self.overtaken_ns) = (None, None);
        if let Sync::Every(interval) = sync {
            self.due_ns = now_ns.saturating_add(nanoseconds(interval));
        }
    }
}

impl Engine {
    /// Handles the time since a tree was last copied, saved by an earlier worker.
    pub fn handle_last_copy(&mut self, now_ns: u64, name: &str, age: Duration) {
        let Some(tree) = self.tree_mut(name) else {
            return;
        };
        if let Sync::Every(interval) = tree.settings.sync {
            let left = interval.saturating_sub(age);
            tree.auto_copy.due_ns = now_ns.saturating_add(nanoseconds(left));
        }
    }

    /// Handles a digest that the peer may have reverted, saved by an earlier worker.
    pub fn handle_saved_unconfirmed(&mut self, name: &str, digest: Hash) {
        if let Some(tree) = self.tree_mut(name) {
            tree.auto_copy.handle_saved(digest);
        }
    }

    /// Handles that the digest of a tree could not be written.
    pub fn handle_unsaved(&mut self, now_ns: u64, name: &str) {
        if let Some(tree) = self.tree_mut(name) {
            tree.auto_copy.save_again_ns = Some(now_ns.saturating_add(SAVE_NS));
        }
    }

    pub(super) fn poll_unconfirmed(&mut self, now_ns: u64) -> Option<Action> {
        self.trees.iter_mut().find_map(|it| {
            let digest = it.auto_copy.poll_unsaved(now_ns)?;
            let tree = it.name().to_owned();
            Some(Action::SaveUnconfirmed { tree, digest })
        })
    }

    /// Handles the removal of a group from the configuration: no tree waits for its role.
    pub fn handle_group_gone(&mut self, now_ns: u64, group: &str) {
        self.roles.remove(group);
        self.handle_roles(now_ns);
    }

    pub(super) fn handle_roles(&mut self, now_ns: u64) {
        // ends a transfer that the other node began while it was active
        let transfer = self.transfer.as_ref();
        let transfer = transfer.filter(|it| it.how().is_automatic);
        if transfer.is_some_and(|it| self.leads(&it.tree)) {
            self.stop_transfer(now_ns, "this node has become active");
        }
        let offer = self.offer.as_ref().filter(|it| it.is_automatic);
        let offer = offer.filter(|it| !self.leads(&it.tree));
        if let Some(ticket) = offer.map(|it| it.ticket) {
            self.send(&Message::Stop { ticket });
        }
        self.offer_due_tree(now_ns);
    }

    /// True if this node copies the tree automatically.
    pub(super) fn leads(&self, name: &str) -> bool {
        let tree = self.tree(name);
        tree.is_some_and(|it| leads(&self.roles, &it.settings))
    }

    /// True if this node would copy automatically a tree that the peer offers automatically.
    pub(super) fn sends_itself(&self, name: &str, how: How) -> bool {
        how.is_automatic && self.leads(name)
    }

    /// Offers a tree that is due.
    pub(super) fn offer_due_tree(&mut self, now_ns: u64) {
        if !self.is_up() || !self.has_root() || self.is_busy().is_some() {
            return;
        }
        let is_due = |it: &&mut TreeInfo| {
            let auto_copy = &it.auto_copy;
            it.settings.sync != Sync::Ask && auto_copy.due_ns.max(auto_copy.retry_ns) <= now_ns
        };
        let (roles, trees) = (&self.roles, &mut self.trees);
        let due = trees.iter_mut().filter(is_due);
        let mut offered = None;
        for tree in due.filter(|it| leads(roles, &it.settings)) {
            match tree.relation() {
                Relation::Ours
                    if tree.auto_copy.may_copy(tree.digest()) && tree.waits_s().is_none() =>
                {
                    offered = Some(tree.name().to_owned());
                    break;
                }
                // this node has no changes to copy
                Relation::Same | Relation::Theirs => {
                    let name = tree.name().to_owned();
                    tree.auto_copy.handle_done(now_ns, tree.settings.sync);
                    if tree.settings.sync != Sync::Change {
                        self.actions.push_back(Action::Copied(name));
                    }
                }
                _ => {}
            }
        }
        if let Some(tree) = offered {
            let ticket = self.ticket();
            let how = How {
                is_automatic: true,
                ..How::default()
            };
            self.offer(now_ns, ticket, &tree, how, None);
        }
    }

    /// Handles the peer's report on a tree that was offered automatically.
    pub(super) fn end_auto_copy(
        &mut self,
        now_ns: u64,
        offer: &Offer,
        result: Result<Finished, String>,
    ) {
        let (peer, name) = (self.peer.clone(), offer.tree.as_str());
        let Some(tree) = self.tree_mut(name) else {
            return;
        };
        let mut event = None;
        match result {
            Ok(_) => {
                tree.auto_copy.handle_done(now_ns, tree.settings.sync);
                let last = LastResult::by_itself(now_ns, format!("copied to {peer}"));
                self.keep_result(name, last);
                self.actions.push_back(Action::Copied(name.to_owned()));
            }
            Err(_) if tree.digest() != offer.digest => tree.auto_copy.handle_overtaken(now_ns),
            Err(why) => {
                let why = without_output(&why).to_owned();
                let is_news = tree.auto_copy.failed.as_ref() != Some(&why);
                tree.auto_copy.handle_failure(now_ns, why.clone());
                event = is_news.then(|| format!("tree \"{name}\" was not copied: {why}"));
            }
        }
        self.actions.extend(event.map(Action::Event));
    }

    /// Text about when a tree is copied, for people.
    pub(super) fn sync_text(&self, now_ns: u64, tree: &TreeInfo) -> String {
        let when = match tree.settings.sync {
            Sync::Ask => return "on request".to_owned(),
            Sync::Change => "as files change".to_owned(),
            Sync::Every(interval) => format!("every {}", format_duration(interval)),
        };
        let from = match (&tree.settings.group, leads(&self.roles, &tree.settings)) {
            (_, true) => "from this node",
            (Some(_), false) => "from the node that is active",
            (None, false) => "from the node that is active in all groups",
        };
        let left_ns = tree.auto_copy.due_ns.saturating_sub(now_ns);
        match tree.settings.sync {
            Sync::Every(_) if left_ns > 0 => {
                let left = Duration::from_secs(left_ns / 1_000_000_000);
                format!("{when}, {from}, next in {}", format_duration(left))
            }
            _ => format!("{when}, {from}"),
        }
    }

    /// Reason why a tree is not copied automatically from any node.
    pub(super) fn group_is_missing(&self, tree: &TreeInfo) -> Option<String> {
        let group = tree.settings.group.as_ref()?;
        let is_missing = !self.roles.is_empty() && !self.roles.contains_key(group);
        is_missing.then(|| format!("is copied from no node: this plugin has no group \"{group}\""))
    }
}

fn leads(roles: &Roles, tree: &Tree) -> bool {
    match &tree.group {
        Some(group) => roles.get(group) == Some(&true),
        None => !roles.is_empty() && roles.values().all(|is_active| *is_active),
    }
}
