//! Compares both nodes' leases for `sparectl dhcp diff`.
//!
//! The replica only knows what the nodes have sent each other. A comparison verifies that, so it
//! needs the other node's leases.

use std::collections::BTreeMap;

use spared_replica::Malformed;
use spared_sdk::Value;

use super::book::{is_living, is_same};
use super::leases::Leases;
use super::status::describe;
use super::{Action, Engine};
use crate::SECOND;
use crate::lease::{Key, Lease, signed};
use crate::wire::{self, Listed, Message, RecordKey};

/// Time limit for the peer's answer; the host waits 12 s.
const PATIENCE_NS: u64 = 10 * SECOND;
/// Age below which differences are ignored: later commits may be in transit.
const YOUNG_NS: i64 = signed(2 * SECOND);
/// Limit of rows, since an answer has 64 KiB.
const ROWS_MAX: usize = 200;

#[derive(Debug, Default)]
pub struct Diff {
    /// An answer of this node is requested.
    is_asked: bool,
    id: u32,
    until_ns: u64,
    /// Leases of the peer, for each server.
    theirs: Vec<BTreeMap<Key, Lease>>,
    /// A question of this node is to be sent.
    is_due: bool,
    /// Question of the peer, and the progress of its answer.
    asked: Option<Question>,
}

/// Result of a comparison, in rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub rows: Vec<(String, Value)>,
    pub is_any: bool,
}

#[derive(Clone, Copy, Debug)]
struct Question {
    id: u32,
    server: usize,
    after: Option<Key>,
}

impl Diff {
    #[cfg(test)]
    pub fn id(&self) -> u32 {
        self.id
    }

    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.theirs.iter().map(BTreeMap::len).sum()
    }

    pub fn next_ns(&self) -> u64 {
        if self.is_asked {
            self.until_ns
        } else {
            u64::MAX
        }
    }
}

impl Engine {
    /// Begins a comparison with the peer. One [`Action::Answer`] follows for all requests until
    /// then.
    pub fn handle_diff(&mut self, now_ns: u64) {
        if std::mem::replace(&mut self.diff.is_asked, true) {
            return;
        }
        if self.replica.peer_groups().is_none() {
            return self.fail_diff("the peer is not connected");
        }
        self.diff.id = self.diff.id.wrapping_add(1);
        self.diff.until_ns = now_ns.saturating_add(PATIENCE_NS);
        let servers = self.tables.servers.iter();
        self.diff.theirs = servers.map(|_| BTreeMap::new()).collect();
        self.diff.is_due = true;
    }

    /// Handles a question of the peer.
    pub(super) fn handle_ask(&mut self, id: u32) {
        let (server, after) = (0, None);
        self.diff.asked = Some(Question { id, server, after });
    }

    /// Forgets the peer's question after the channel was lost.
    pub(super) fn forget_question(&mut self) {
        (self.diff.asked, self.diff.is_due) = (None, false);
    }

    /// Returns the next message of a comparison, if any.
    pub(super) fn next_of_diff(&mut self, now_ns: u64) -> Option<Vec<u8>> {
        if std::mem::take(&mut self.diff.is_due) {
            return Some(Message::ask(self.diff.id));
        }
        let mut asked = self.diff.asked.take()?;
        let Some(leases) = self.tables.servers.get(asked.server) else {
            return Some(Message::end(asked.id));
        };
        let mut listed = Listed::new(asked.id, leases.name());
        let mut is_last = true;
        for (key, entry) in leases.book.entries_after(asked.after) {
            if !listed.has_room() {
                is_last = false;
                break;
            }
            let value = wire::write_lease(now_ns, &entry.lease, entry.given);
            listed.put(RecordKey::Lease(*key), &value);
            asked.after = Some(*key);
        }
        if is_last {
            (asked.server, asked.after) = (asked.server + 1, None);
        }
        self.diff.asked = Some(asked);
        Some(listed.bytes())
    }

    pub(super) fn handle_listed(
        &mut self,
        now_ns: u64,
        id: u32,
        server: &str,
        records: &[(RecordKey, &[u8])],
    ) -> Result<(), Malformed> {
        let mut names = self.tables.servers.iter();
        let server = names.position(|leases| leases.name() == server);
        let theirs = server.and_then(|server| self.diff.theirs.get_mut(server));
        let Some(theirs) = theirs.filter(|_| id == self.diff.id) else {
            return Ok(());
        };
        for (key, value) in records {
            let RecordKey::Lease(key) = key else { continue };
            let (lease, _) = wire::read_lease(now_ns, *key, value)?;
            if theirs.len() < super::book::LEASES_MAX && wire::is_short(&lease) {
                theirs.insert(*key, lease);
            }
        }
        Ok(())
    }

    pub(super) fn handle_end_of_list(&mut self, now_ns: u64, id: u32) {
        if !self.diff.is_asked || id != self.diff.id {
            return;
        }
        let theirs = std::mem::take(&mut self.diff.theirs);
        let mut rows = Vec::new();
        let mut found = 0;
        for (server, (leases, theirs)) in self.tables.servers.iter().zip(theirs).enumerate() {
            if !self.replica.is_common(server) {
                let text = Value::Text("the peer's dhcp.toml has no such server".to_owned());
                rows.push((leases.name().to_owned(), text));
                found += 1;
                continue;
            }
            for row in leases.differences(now_ns, &theirs) {
                found += 1;
                if rows.len() < ROWS_MAX {
                    rows.push(row);
                }
            }
        }
        if found > rows.len() {
            let more = Value::Number((found - rows.len()) as u64);
            rows.push(("all.more".to_owned(), more));
        }
        rows.push(("all.differences".to_owned(), Value::Number(found as u64)));
        let is_any = found > 0;
        self.diff.is_asked = false;
        let found = Ok(Difference { rows, is_any });
        self.actions.push_back(Action::Answer(found));
    }

    pub(super) fn end_late_diff(&mut self, now_ns: u64) {
        if now_ns >= self.diff.until_ns {
            self.fail_diff("the peer does not answer");
        }
    }

    pub(super) fn fail_diff(&mut self, why: &str) {
        self.diff.theirs.clear();
        if std::mem::take(&mut self.diff.is_asked) {
            self.actions.push_back(Action::Answer(Err(why.to_owned())));
        }
    }
}

impl Leases {
    fn differences(&self, now_ns: u64, theirs: &BTreeMap<Key, Lease>) -> Vec<(String, Value)> {
        let since_ns = signed(now_ns).saturating_sub(YOUNG_NS);
        let is_young = |lease: Option<&Lease>| lease.is_some_and(|it| it.committed_ns > since_ns);
        let only_theirs = theirs.keys().filter(|key| self.book.get(key).is_none());
        let keys = self.book.keys().chain(only_theirs);
        let mut rows = Vec::new();
        for key in keys {
            let (here, there) = (self.book.get(key), theirs.get(key));
            // a deleted lease leaves no age that could be compared
            let is_gone = self.book.gone_ns(key).is_some_and(|it| it > since_ns);
            if is_young(here) || is_young(there) || is_gone {
                continue;
            }
            let living = |lease: &&Lease| is_living(now_ns, lease);
            let text = match (here.filter(living), there.filter(living)) {
                (Some(here), Some(there)) if is_same(here, there) => continue,
                (None, None) => continue,
                (Some(here), Some(there)) => {
                    let (here, there) = (describe(now_ns, here), describe(now_ns, there));
                    format!("here {here}; on the peer {there}")
                }
                (Some(here), None) => format!("only here: {}", describe(now_ns, here)),
                (None, Some(there)) => format!("only on the peer: {}", describe(now_ns, there)),
            };
            rows.push((format!("{}.{key}", self.name()), Value::Text(text)));
        }
        rows
    }
}
