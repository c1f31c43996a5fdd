//! Changes that are reverted unless somebody confirms them, on the node that received them.

use spared_tree::local::{Finished, Request};

use super::people::Caller;
use super::root_half::{Asker, Pending};
use super::{Action, Engine, TreeInfo};
use crate::wire::Message;

const NOTHING_WAITS: &str = "nothing waits for a confirmation";

/// Command here that waits for the peer to confirm or to revert.
#[derive(Debug)]
pub(super) struct Confirming {
    pub(super) by: Caller,
    pub(super) ticket: u64,
}

impl Engine {
    /// Confirms changes that wait for it here, or else on the peer: of one tree, or of all.
    pub(super) fn confirm(&mut self, now_ns: u64, token: u64, tree: Option<String>) {
        if self.waits_here(tree.as_deref()) {
            let by = Asker::Caller(Caller::new(now_ns, token));
            return self.ask_root_to_confirm(by, tree);
        }
        let theirs = |it: &TreeInfo| it.peer.as_ref().is_some_and(|it| it.waits_s.is_some());
        let mut meant = self.trees.iter().filter(|it| is_meant(it, tree.as_deref()));
        if !meant.any(theirs) {
            return self.refuse(token, NOTHING_WAITS);
        }
        let ticket = self.ticket();
        let confirm = Message::Confirm { ticket, tree };
        self.ask_peer(now_ns, token, &confirm, ticket);
    }

    fn waits_here(&self, tree: Option<&str>) -> bool {
        let mut meant = self.trees.iter().filter(|it| is_meant(it, tree));
        meant.any(|it| it.own_waits_s.is_some())
    }

    /// Asks the peer to revert the change that waits for a confirmation there.
    pub(super) fn back_on_peer(&mut self, now_ns: u64, token: u64, tree: String) {
        let ticket = self.ticket();
        self.ask_peer(now_ns, token, &Message::GoBack { ticket, tree }, ticket);
    }

    fn ask_peer(&mut self, now_ns: u64, token: u64, what: &Message, ticket: u64) {
        if self.people.confirming().is_some() {
            return self.refuse(
                token,
                "the peer has already been asked to confirm or to go back",
            );
        }
        if !self.is_up() {
            let why = format!("{} is not connected", self.peer);
            return self.refuse(token, why);
        }
        let by = Caller::new(now_ns, token);
        self.people.begin_confirming(Confirming { by, ticket });
        self.send(what);
    }

    /// Handles the peer's answer, or its absence.
    pub(super) fn end_confirming(&mut self, result: Result<Finished, String>) {
        if let Some(Confirming { by, .. }) = self.people.take_confirming() {
            self.end_asked(Asker::Caller(by), result);
        }
    }

    pub(super) fn check_confirming(&mut self, now_ns: u64) {
        // the peer's commands may take longer
        if let Some(token) = self.people.take_late_confirming(now_ns) {
            self.answer_later(token);
        }
    }

    pub(super) fn handle_peer_back(&mut self, now_ns: u64, ticket: u64, name: &str) {
        let by = Asker::Ticket(ticket);
        let is_asked = self.root.changed().is_some();
        let refusal = match (self.tree(name), is_asked) {
            (None, _) => Some("there is no such tree"),
            (_, true) => Some("a change is under way"),
            (_, false) if !self.has_root() => Some("the plugin files-root does not run"),
            (Some(_), false) => None,
        };
        if let Some(why) = refusal {
            return self.end_asked(by, Err(why.to_owned()));
        }
        let ticket = self.root_changes(now_ns, by, name);
        let tree = name.to_owned();
        let request = Request::GoBack { ticket, tree };
        self.actions.push_back(Action::Request(request));
    }

    pub(super) fn handle_peer_confirm(&mut self, ticket: u64, tree: Option<String>) {
        let by = Asker::Ticket(ticket);
        // a peer that asks repeatedly must not fill the memory
        let is_asked = self.root.is_confirming();
        if self.waits_here(tree.as_deref()) && !is_asked {
            self.ask_root_to_confirm(by, tree)
        } else {
            self.end_confirm(by, Err(NOTHING_WAITS.to_owned()))
        }
    }

    fn ask_root_to_confirm(&mut self, by: Asker, tree: Option<String>) {
        if !self.has_root() {
            let why = "the plugin files-root does not run";
            return self.end_confirm(by, Err(why.to_owned()));
        }
        let ticket = self.ticket();
        self.root.ask(ticket, Pending::Confirm(by));
        let request = Request::Confirm { ticket, tree };
        self.actions.push_back(Action::Request(request));
    }

    /// Answers the command or the peer.
    pub(super) fn end_asked(&mut self, by: Asker, result: Result<Finished, String>) {
        match (by, result) {
            (Asker::Ticket(ticket), result) => self.send(&Message::Report { ticket, result }),
            (Asker::Caller(by), Ok(finished)) => {
                if let Some(token) = by.token() {
                    self.answer_finished(token, &finished);
                }
            }
            (Asker::Caller(by), Err(why)) => self.refuse_caller(by, why),
        }
    }

    pub(super) fn end_confirm(&mut self, by: Asker, result: Result<Finished, String>) {
        self.end_asked(by, result);
        // the next scan tells whether another change still waits
        let waits = self.trees.iter().filter(|it| it.own_waits_s.is_some());
        let names: Vec<String> = waits.map(|it| it.name().to_owned()).collect();
        names.iter().for_each(|name| self.scan(name));
    }

    /// Keeps the manifest that waits for a confirmation on the peer. Once it is confirmed both nodes have had it: this
    /// node may have edited its tree meanwhile.
    pub(super) fn note_unconfirmed_on_peer(&mut self, name: &str) {
        let Some(tree) = self.trees.iter_mut().find(|it| it.name() == name) else {
            return;
        };
        let waits = tree.peer.as_ref().filter(|it| it.waits_s.is_some());
        if let Some(digest) = waits.and_then(|it| it.digest.clone().ok()) {
            let own = tree.own().filter(|it| it.is(digest));
            if let Some(found) = own.or_else(|| self.serving.find(name, digest)) {
                tree.unconfirmed_on_peer = Some(found.clone());
            }
        } else if let Some(confirmed) = tree.take_confirmed_on_peer() {
            self.set_base(name, confirmed);
        }
    }

    /// Notes the time left to confirm, which counts together with the result of the scan that follows.
    pub(super) fn handle_waits(&mut self, name: &str, left_s: Option<u32>) {
        if let Some(tree) = self.tree_mut(name) {
            tree.scan.waits_s = left_s;
        }
    }
}

/// True if a command that names this tree, or none, concerns this tree. The daemon confirms its own configuration.
fn is_meant(tree: &TreeInfo, name: Option<&str>) -> bool {
    !tree.settings.is_builtin() && name.is_none_or(|it| it == tree.name())
}
