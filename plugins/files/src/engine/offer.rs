//! Offer of a tree of this node to the peer, on request, and the peer's report on it.

use spared_tree::Hash;
use spared_tree::local::{ChangeOutcome, Finished};

use super::people::Caller;
use super::status::LastResult;
use super::tree::TreeInfo;
use super::{Action, Engine};
use crate::wire::{How, Message};

/// Offer to the peer that has no report yet.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) ticket: u64,
    pub(super) tree: String,
    /// Digest of the tree when it was offered.
    pub(super) digest: Option<Hash>,
    pub(super) began_ns: u64,
    /// True if the offer was made automatically.
    pub(super) is_automatic: bool,
    /// True if the tree is to be put in place on the peer, not only listed or checked.
    pub(super) is_change: bool,
    /// Digest that the peer reverts unless somebody confirms it.
    pub(super) unconfirmed: Option<Hash>,
}

impl Engine {
    /// Asks the peer to fetch this node's tree.
    pub(super) fn push(&mut self, now_ns: u64, name: &str, by: Caller, ticket: u64, how: How) {
        if let Some(why) = self.refusal(name) {
            return self.refuse_step(now_ns, name, by, why);
        }
        let mut unconfirmed = None;
        if let Some(tree) = self.tree_mut(name).filter(|_| is_change(how)) {
            // a change with a deadline may be refused, and then counts as requested no more than before
            match how.confirm_s {
                0 => tree.auto_copy.handle_wanted(),
                _ => unconfirmed = tree.digest(),
            }
        }
        self.people.handle_asked(by);
        self.offer(now_ns, ticket, name, how, unconfirmed);
    }

    /// Offers a tree as of the last scan. `unconfirmed` is the digest that the peer reverts unless somebody confirms it.
    pub(super) fn offer(
        &mut self,
        now_ns: u64,
        ticket: u64,
        name: &str,
        how: How,
        unconfirmed: Option<Hash>,
    ) {
        let digest = self.tree(name).and_then(TreeInfo::digest);
        let tree = name.to_owned();
        self.offer = Some(Offer {
            ticket,
            tree: tree.clone(),
            began_ns: now_ns,
            digest,
            is_automatic: how.is_automatic,
            is_change: is_change(how),
            unconfirmed,
        });
        self.send(&Message::Offer {
            ticket,
            tree,
            how,
            digest,
        });
    }

    pub(super) fn handle_report(
        &mut self,
        now_ns: u64,
        ticket: u64,
        result: Result<Finished, String>,
    ) {
        if self.offer.as_ref().is_some_and(|it| it.ticket == ticket) {
            let shown = |why| format!("{}: {why}", self.peer);
            self.end_offer(now_ns, result.map_err(shown));
        } else if self.people.confirming() == Some(ticket) {
            self.end_confirming(result);
        }
    }

    pub(super) fn end_offer(&mut self, now_ns: u64, result: Result<Finished, String>) {
        let offer = self.offer.take();
        self.note_unconfirmed(offer.as_ref(), &result);
        match offer {
            Some(offer) if offer.is_automatic => self.end_auto_copy(now_ns, &offer, result),
            Some(offer) => {
                // only the waiting command gets a list
                if offer.is_change || !self.people.has_asker() {
                    self.note_push(now_ns, &offer.tree, result.clone());
                }
                self.end_asker(result);
            }
            None => {}
        }
    }

    fn note_push(&mut self, now_ns: u64, tree: &str, result: Result<Finished, String>) {
        let pushed = |it: Finished| it.outcome.with(format!("pushed: {}", it.text()));
        let shown = result.map(pushed);
        let shown = shown.map_err(|why| format!("not pushed: {why}"));
        self.keep_result(tree, LastResult::of(now_ns, &shown));
    }

    /// Reports on the pushing node that nobody confirmed the tree in time.
    pub(super) fn note_back(&mut self, now_ns: u64, tree: &str) {
        let peer = &self.peer;
        let text = format!(
            "{peer} put its previous files back, because nobody confirmed those of this node"
        );
        let event = format!("tree \"{tree}\": {text}");
        let last = LastResult::by_itself(now_ns, text);
        self.keep_result(tree, last);
        self.actions.push_back(Action::Event(event));
    }

    /// Remembers the digest that the peer may revert. The change itself may have cut the link before the peer reported.
    fn note_unconfirmed(&mut self, offer: Option<&Offer>, result: &Result<Finished, String>) {
        let is_there = match result {
            Ok(finished) => finished.outcome == ChangeOutcome::Changed,
            Err(_) => !self.is_up(),
        };
        let offer = offer.filter(|_| is_there);
        let noted = offer.and_then(|it| Some((it.unconfirmed?, self.tree_mut(&it.tree)?)));
        if let Some((digest, tree)) = noted {
            tree.auto_copy.handle_unconfirmed(digest);
        }
    }
}

/// True if the tree is to be put in place on the peer.
fn is_change(how: How) -> bool {
    !how.is_dry && !how.only_check
}
