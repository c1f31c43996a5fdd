//! Decides which documents the daemon is asked for, without I/O: one at a time, and only what is wanted.
//!
//! [`Engine::handle_wanted`], [`Engine::handle_document`] and [`Engine::handle_listeners`] feed it.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::Deserialize;
use spared_sdk::{Document, Trouble};

use crate::board::{Texts, Wanted};

const S_NS: u64 = 1_000_000_000;
/// Time after which the history is asked for again although nothing has happened.
const HISTORY_NS: u64 = 30 * S_NS;
/// Time after which a request counts as lost.
const LOST_NS: u64 = 10 * S_NS;

/// Something to do for the plugin's I/O.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    Ask(u64, Document),
    Publish(Wanted, Result<Texts, String>),
}

/// Addresses of the page that cannot be opened, each with the reason.
pub type ClosedAddresses = BTreeMap<String, String>;

/// Requests to the daemon, and what it has answered.
#[derive(Debug, Default)]
pub struct Engine {
    /// Documents that are being gathered, with those that are still missing.
    gathered: Option<Gathered>,
    /// Wanted next.
    wanted: Vec<Wanted>,
    history: KnownHistory,
    ticket: u64,
    actions: VecDeque<Action>,
    closed: ClosedAddresses,
    /// Number of documents since the start.
    documents: u64,
}

#[derive(Debug)]
struct Gathered {
    what: Wanted,
    texts: Texts,
    missing: VecDeque<Document>,
    /// Document that was asked for, and when.
    asked: Option<(u64, Document, u64)>,
}

/// The last history, which is long and changes seldom.
#[derive(Debug, Default)]
struct KnownHistory {
    text: Arc<str>,
    /// Time of the newest event when it was asked for.
    event: String,
    at_ns: Option<u64>,
}

/// The part of a status that says whether the history is out of date.
#[derive(Default, Deserialize)]
#[serde(default)]
struct NewestEvent {
    last_event: Option<Event>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event {
    at: String,
}

impl Engine {
    pub fn handle_wanted(&mut self, now_ns: u64, wanted: Vec<Wanted>) {
        for it in wanted {
            let is_gathered = self.gathered.as_ref().is_some_and(|that| that.what == it);
            if !is_gathered && !self.wanted.contains(&it) {
                self.wanted.push(it);
            }
        }
        self.go_on(now_ns);
    }

    pub fn handle_document(&mut self, now_ns: u64, ticket: u64, text: Result<&str, String>) {
        let Some(gathered) = &mut self.gathered else {
            return;
        };
        let Some((_, document, _)) = gathered.asked.take_if(|it| it.0 == ticket) else {
            return;
        };
        match text {
            Ok(text) => {
                self.documents += 1;
                self.take(now_ns, document, text);
            }
            Err(why) => self.end(Err(why)),
        }
        self.go_on(now_ns);
    }

    /// Handles which addresses cannot be opened.
    pub fn handle_listeners(&mut self, closed: ClosedAddresses) {
        self.closed = closed;
    }

    /// Number of documents since the start.
    pub fn documents(&self) -> u64 {
        self.documents
    }

    fn take(&mut self, now_ns: u64, document: Document, text: &str) {
        let Some(gathered) = &mut self.gathered else {
            return;
        };
        match document {
            Document::Status | Document::Metrics => text.clone_into(&mut gathered.texts.status),
            Document::Why => text.clone_into(&mut gathered.texts.why),
            Document::History => {
                self.history.text = text.into();
                self.history.at_ns = Some(now_ns);
            }
            Document::Events => {}
        }
        if document == Document::Status && self.history.is_outdated(now_ns, text) {
            gathered.missing.push_back(Document::History);
        }
    }

    fn go_on(&mut self, now_ns: u64) {
        if self.gathered.is_none() {
            self.begin();
        }
        let Some(gathered) = &mut self.gathered else {
            return;
        };
        if gathered.asked.is_some() {
            return;
        }
        let Some(document) = gathered.missing.pop_front() else {
            let mut texts = std::mem::take(&mut gathered.texts);
            if gathered.what == Wanted::Page {
                texts.history = self.history.text.clone();
            }
            self.end(Ok(texts));
            return self.go_on(now_ns);
        };
        self.ticket += 1;
        gathered.asked = Some((self.ticket, document, now_ns));
        self.actions.push_back(Action::Ask(self.ticket, document));
    }

    fn begin(&mut self) {
        if self.wanted.is_empty() {
            return;
        }
        let what = self.wanted.remove(0);
        let missing = match what {
            Wanted::Page => VecDeque::from([Document::Status, Document::Why]),
            Wanted::Metrics => VecDeque::from([Document::Metrics]),
        };
        self.gathered = Some(Gathered {
            what,
            texts: Texts::default(),
            missing,
            asked: None,
        });
    }

    fn end(&mut self, texts: Result<Texts, String>) {
        if let Some(gathered) = self.gathered.take() {
            self.actions
                .push_back(Action::Publish(gathered.what, texts));
        }
    }

    fn lost_ns(&self) -> Option<u64> {
        let (_, _, asked_ns) = self.gathered.as_ref()?.asked?;
        Some(asked_ns + LOST_NS)
    }
}

impl KnownHistory {
    /// Returns true, and notes the newest event, if the history has to be asked for.
    fn is_outdated(&mut self, now_ns: u64, status: &str) -> bool {
        let newest = serde_json::from_str::<NewestEvent>(status).unwrap_or_default();
        let event = newest.last_event.unwrap_or_default().at;
        let is_old = self.at_ns.is_none_or(|at_ns| now_ns >= at_ns + HISTORY_NS);
        let is_outdated = is_old || event != self.event;
        self.event = event;
        is_outdated
    }
}

impl spared_sdk::Engine for Engine {
    type Action = Action;

    fn handle_timeout(&mut self, now_ns: u64) {
        if self.lost_ns().is_some_and(|lost_ns| now_ns >= lost_ns) {
            self.end(Err("the daemon does not answer".to_owned()));
        }
        self.go_on(now_ns);
    }

    fn next_timeout(&self, _now_ns: u64) -> Option<u64> {
        self.lost_ns()
    }

    fn poll_action(&mut self, _now_ns: u64) -> Option<Action> {
        self.actions.pop_front()
    }

    fn troubles(&self) -> Vec<Trouble> {
        let closed = self.closed.iter();
        let trouble = |(address, why): (&String, &String)| {
            Trouble::new(format!("page {address}"), why.clone())
        };
        closed.map(trouble).collect()
    }
}
