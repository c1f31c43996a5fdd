//! Callbacks that have not ended yet, and their answers.

use std::collections::HashMap;

use rustix::io::Errno;
use spared_abi as abi;
use spared_contract::{FromPlugin, Row, Value};

use super::core::{Core, errno};

/// Maximum size of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Maximum number of queries that a plugin may keep waiting; beyond that the oldest is ended.
const QUERIES_MAX: usize = 64;

/// A callback that has not ended yet.
#[derive(Debug)]
struct Answer {
    to: To,
    rows: Vec<Row>,
    bytes: usize,
    /// A row was left out, as there was no room.
    missing: bool,
}

/// Kind of a callback, by what can end it and what follows.
#[derive(Debug, PartialEq)]
pub(super) enum To {
    /// A newer role of the group ends it.
    Role(String),
    /// Too many newer queries end it.
    Query,
    /// The plugin receives roles afterwards.
    Start,
    /// The loop ends afterwards.
    Stop,
    Other,
}

/// All callbacks that have not ended yet, by their tokens.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pending: HashMap<u64, Answer>,
    /// A pending stop, and how it ended.
    stopped: Option<(u64, abi::Status)>,
}

impl Core {
    pub(super) fn expect(&self, token: u64, to: To) {
        let answer = Answer {
            to,
            rows: Vec::new(),
            bytes: 0,
            missing: false,
        };
        self.answers.borrow_mut().pending.insert(token, answer);
    }

    /// Ends a pending role of the group, which a newer one replaces.
    pub(super) fn supersede(&self, group: &str) {
        let is_of = |answer: &Answer| matches!(&answer.to, To::Role(of) if of == group);
        if let Some(token) = self.find(is_of) {
            self.finish(token, errno(Errno::CANCELED));
        }
    }

    /// Makes room for one more query. The oldest is ended, which the daemon gave up long ago.
    pub(super) fn limit_queries(&self) {
        let is_query = |answer: &Answer| answer.to == To::Query;
        let answers = self.answers.borrow();
        let count = answers.pending.values().filter(|it| is_query(it)).count();
        drop(answers);
        let oldest = self.find(is_query).filter(|_| count >= QUERIES_MAX);
        if let Some(token) = oldest {
            self.note_failure("", "too many newer questions");
            self.finish(token, errno(Errno::CANCELED));
        }
    }

    /// The oldest callback of a kind.
    fn find(&self, is_wanted: impl Fn(&Answer) -> bool) -> Option<u64> {
        let answers = self.answers.borrow();
        let found = answers.pending.iter().filter(|(_, it)| is_wanted(it));
        found.map(|(token, _)| *token).min()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.find(|it| it.to == To::Stop).is_some()
    }

    /// Handles the end of a pending callback, as the plugin says it. An unknown token is ignored.
    pub(crate) fn done(&self, token: u64, status: abi::Status) {
        let mut answers = self.answers.borrow_mut();
        match answers.pending.get(&token).map(|it| &it.to) {
            // nothing ends within a callback
            Some(To::Stop) => answers.stopped = Some((token, status)),
            Some(_) => {
                drop(answers);
                self.finish(token, status);
            }
            // what it says of a call that was ended before is not of the next one
            None => drop(self.take_failures()),
        }
    }

    /// A stop that was pending and has ended.
    pub(super) fn take_stopped(&self) -> Option<(u64, abi::Status)> {
        self.answers.borrow_mut().stopped.take()
    }

    /// Tells the daemon that a start or a stop is pending, unless it has ended meanwhile.
    pub(super) fn wait_longer(&self, token: u64) {
        if self.answers.borrow().pending.contains_key(&token) {
            self.outbound.send(&FromPlugin::Pending { token });
        }
    }

    /// Tells the daemon that a callback has ended. An unknown token is ignored.
    pub(super) fn finish(&self, token: u64, status: abi::Status) {
        let Some(answer) = self.answers.borrow_mut().pending.remove(&token) else {
            return;
        };
        if answer.to == To::Start {
            self.handle_started(status);
        }
        self.outbound.send(&FromPlugin::Returned {
            token,
            status,
            failures: self.take_failures(),
            rows: answer.rows,
            missing: answer.missing,
        });
    }

    /// Adds a row to the answer of a query.
    pub(crate) fn put(&self, token: u64, key: &str, value: &Value) -> abi::Status {
        let mut answers = self.answers.borrow_mut();
        let Some(answer) = answers.pending.get_mut(&token) else {
            return errno(Errno::NOENT);
        };
        let length = match value {
            Value::Text(text) => text.len(),
            _ => 8,
        };
        let bytes = answer.bytes + key.len() + length;
        if bytes > ANSWER_BYTES_MAX {
            answer.missing = true;
            return errno(Errno::MSGSIZE);
        }
        answer.bytes = bytes;
        answer.rows.push(Row {
            key: key.to_owned(),
            value: value.clone(),
        });
        0
    }
}
