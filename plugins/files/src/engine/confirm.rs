//! Changes that go back unless somebody confirms them, on the node that received them.

use spared_tree::local::Request;

use super::root::{Confirmer, Pending};
use super::{ANSWER_NS, Action, Engine};
use crate::wire::Message;

/// Somebody here who waits for the peer to confirm.
#[derive(Debug)]
pub(super) struct Confirming {
    token: u64,
    pub(super) ticket: u64,
    pub(super) until_ns: u64,
}

impl Engine {
    /// Confirms what waits for it, here and on the peer.
    pub(super) fn confirm(&mut self, now_ns: u64, token: u64) {
        let waits = |it: &&super::TreeInfo| it.own_waits_s.is_some();
        let has_own = self.trees.iter().any(|it| waits(&it));
        let theirs = |it: &super::TreeInfo| it.peer.as_ref().is_some_and(|it| it.waits_s.is_some());
        let has_theirs = self.trees.iter().any(theirs);
        if has_own {
            return self.ask_root_to_confirm(Confirmer::Token(token));
        }
        if !has_theirs {
            return self.refuse(token, "nothing waits for a confirmation");
        }
        if self.confirming.is_some() {
            return self.refuse(token, "a confirmation is under way already");
        }
        let ticket = self.ticket();
        self.confirming = Some(Confirming {
            token,
            ticket,
            until_ns: now_ns.saturating_add(ANSWER_NS),
        });
        self.send(&Message::Confirm { ticket });
    }

    /// The peer's answer, or none.
    pub(super) fn end_confirming(&mut self, result: Result<Vec<String>, String>) {
        let Some(Confirming { token, .. }) = self.confirming.take() else {
            return;
        };
        match result {
            Ok(lines) => self.answer_lines(token, &lines),
            Err(why) => self.refuse(token, why),
        }
    }

    pub(super) fn check_confirming(&mut self, now_ns: u64) {
        if self
            .confirming
            .as_ref()
            .is_some_and(|it| it.until_ns <= now_ns)
        {
            let why = format!("{} does not answer: see `sparectl files`", self.peer);
            self.end_confirming(Err(why));
        }
    }

    pub(super) fn handle_peer_confirm(&mut self, ticket: u64) {
        let by = Confirmer::Ticket(ticket);
        let mut pending = self.pending.values();
        // a peer that asks again and again fills nothing
        let is_asked = pending.any(|it| matches!(it, Pending::Confirm { .. }));
        let has_own = self.trees.iter().any(|it| it.own_waits_s.is_some());
        match has_own && !is_asked {
            true => self.ask_root_to_confirm(by),
            false => self.end_confirm(by, Err("nothing waits for a confirmation".to_owned())),
        }
    }

    fn ask_root_to_confirm(&mut self, by: Confirmer) {
        if !self.has_root() {
            let why = "the plugin files-root does not run";
            return self.end_confirm(by, Err(why.to_owned()));
        }
        let ticket = self.ticket();
        self.pending.insert(ticket, Pending::Confirm { by });
        let request = Request::Confirm { ticket };
        self.actions.push_back(Action::Request(request));
    }

    pub(super) fn end_confirm(&mut self, by: Confirmer, result: Result<String, String>) {
        match (by, result) {
            (Confirmer::Ticket(ticket), result) => {
                let result = result.map(|text| vec![text]);
                self.send(&Message::Report { ticket, result });
            }
            (Confirmer::Token(token), Ok(text)) => self.answer_lines(token, &[text]),
            (Confirmer::Token(token), Err(why)) => self.refuse(token, why),
        }
        // whether anything still waits comes with the next look
        let waits = self.trees.iter().filter(|it| it.own_waits_s.is_some());
        let names: Vec<String> = waits.map(|it| it.name().to_owned()).collect();
        names.iter().for_each(|name| self.scan(name));
    }

    /// Counts with the result of the look that follows, not before.
    pub(super) fn handle_waits(&mut self, name: &str, left_s: Option<u32>) {
        if let Some(tree) = self.tree_mut(name) {
            tree.scan.waits_s = left_s;
        }
    }
}
