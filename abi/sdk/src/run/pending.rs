//! Callbacks that have not ended yet, their answers, and the faults that a callback reports. Both forms of a plugin use
//! these.

use std::collections::HashMap;

use rustix::io::Errno;
use spared_contract::{Failure, Row, Value};

/// Maximum bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Maximum number of pending queries of a plugin. With one more, the oldest is ended.
const QUERIES_MAX: usize = 64;
/// Maximum number of faults of one callback.
const FAILURES_MAX: usize = 200;
/// Maximum number of characters of a fault's text; a longer text is cut.
const FAILURE_CHARS_MAX: usize = 1024;

/// Callback that has not ended yet.
#[derive(Debug)]
pub struct Answer {
    /// Kind of the callback: what can end it, and what follows.
    pub to: To,
    /// Rows of the answer.
    pub rows: Vec<Row>,
    /// True if a row was left out because there was no room.
    pub missing: bool,
    bytes: usize,
}

/// Kind of a callback: what can end it, and what follows.
#[derive(Debug, PartialEq)]
pub enum To {
    /// A newer role of the group ends it.
    Role(String),
    /// Too many newer queries end it.
    Query,
    /// The plugin receives roles afterwards.
    Start,
    /// The plugin ends afterwards.
    Stop,
    /// None of the other kinds.
    Other,
}

/// All callbacks that have not ended yet, by their tokens.
#[derive(Debug, Default)]
pub struct Pending(HashMap<u64, Answer>);

impl Pending {
    /// Notes a callback that begins.
    pub fn expect(&mut self, token: u64, to: To) {
        let answer = Answer {
            to,
            rows: Vec::new(),
            missing: false,
            bytes: 0,
        };
        self.0.insert(token, answer);
    }

    /// Callback with this token.
    pub fn get(&self, token: u64) -> Option<&Answer> {
        self.0.get(&token)
    }

    /// Removes the callback with this token, which has ended.
    pub fn remove(&mut self, token: u64) -> Option<Answer> {
        self.0.remove(&token)
    }

    /// Token of the pending role of a group, which a newer role replaces.
    pub fn role_of(&self, group: &str) -> Option<u64> {
        self.find(|to| matches!(to, To::Role(of) if of == group))
    }

    /// Token of the oldest query, if there is no room for one more: the host gave it up long ago.
    pub fn query_too_many(&self) -> Option<u64> {
        let queries = self.0.values().filter(|it| it.to == To::Query);
        let is_full = queries.count() >= QUERIES_MAX;
        self.find(|to| *to == To::Query).filter(|_| is_full)
    }

    /// Returns true if a stop has not ended.
    pub fn is_stopping(&self) -> bool {
        self.find(|to| *to == To::Stop).is_some()
    }

    /// Adds a row to an answer.
    ///
    /// # Errors
    /// There is no such callback, or no room in its answer.
    pub fn put(&mut self, token: u64, key: &str, value: Value) -> Result<(), Errno> {
        let answer = self.0.get_mut(&token).ok_or(Errno::NOENT)?;
        let length = match &value {
            Value::Text(text) => text.len(),
            _ => 8,
        };
        let bytes = answer.bytes + key.len() + length;
        if bytes > ANSWER_BYTES_MAX {
            answer.missing = true;
            return Err(Errno::MSGSIZE);
        }
        answer.bytes = bytes;
        answer.rows.push(Row {
            key: key.to_owned(),
            value,
        });
        Ok(())
    }

    /// Token of the oldest callback of a kind.
    fn find(&self, is_wanted: impl Fn(&To) -> bool) -> Option<u64> {
        let found = self.0.iter().filter(|(_, it)| is_wanted(&it.to));
        found.map(|(token, _)| *token).min()
    }
}

/// Faults that the running callback reported.
#[derive(Debug, Default)]
pub struct Failures(Vec<Failure>);

impl Failures {
    /// Notes a fault.
    pub fn note(&mut self, key: &str, why: &str) {
        let cut = |text: &str| text.chars().take(FAILURE_CHARS_MAX).collect();
        if self.0.len() < FAILURES_MAX {
            self.0.push(Failure {
                key: cut(key),
                why: cut(why),
            });
        }
    }

    /// Takes the faults for an answer.
    pub fn take(&mut self) -> Vec<Failure> {
        std::mem::take(&mut self.0)
    }

    /// Takes the faults that are part of no answer, as log lines.
    pub fn lines(&mut self, callback: &str) -> Vec<String> {
        let line = |failure: Failure| {
            let key = if failure.key.is_empty() { "" } else { ": " };
            format!("{callback} failed: {}{key}{}", failure.key, failure.why)
        };
        self.take().into_iter().map(line).collect()
    }
}
