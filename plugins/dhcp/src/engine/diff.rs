//! `sparectl dhcp diff`: what one node has and the other has not.

use std::collections::BTreeMap;

use spared_sdk::Value;

use super::book::{is_living, is_same};
use super::status::{describe, place};
use super::store::Store;
use super::{Action, Engine};
use crate::lease::{Key, Lease};
use crate::wire::{self, Message, Record};

/// The host waits 12 s.
const PATIENCE_MS: i64 = 10_000;
/// What was committed since may be on its way.
const YOUNG_MS: i64 = 2_000;
/// An answer has 64 KiB.
const ROWS_MAX: usize = 200;

#[derive(Debug, Default)]
pub struct Diff {
    tickets: Vec<u64>,
    id: u32,
    until_ms: i64,
    /// What the peer has, of each server.
    theirs: Vec<BTreeMap<Key, Lease>>,
    /// The peer asked this.
    pub asked: Option<u32>,
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

    pub fn next_ms(&self) -> i64 {
        match self.tickets.is_empty() {
            true => i64::MAX,
            false => self.until_ms,
        }
    }
}

impl Engine {
    /// Compares with the peer; [`Action::Answer`] follows.
    pub fn handle_diff(&mut self, now_ms: i64, ticket: u64) {
        self.diff.tickets.push(ticket);
        if self.peer.is_none() {
            return self.fail_diff("the peer is not there");
        }
        if self.diff.tickets.len() > 1 {
            return;
        }
        self.diff.id = self.diff.id.wrapping_add(1);
        self.diff.until_ms = now_ms.saturating_add(PATIENCE_MS);
        self.diff.theirs = self.stores.iter().map(|_| BTreeMap::new()).collect();
        self.out.push_back(Message::Ask { id: self.diff.id });
    }

    pub(super) fn handle_listed(
        &mut self,
        now_ms: i64,
        server: usize,
        id: u32,
        records: Vec<Record>,
    ) {
        if self.diff.tickets.is_empty() || id != self.diff.id {
            return;
        }
        let Some(theirs) = self.diff.theirs.get_mut(server) else {
            return;
        };
        let leases = records
            .into_iter()
            .filter_map(|record| record.lease(now_ms))
            .filter(wire::is_short);
        for lease in leases {
            if theirs.len() < super::book::LEASES_MAX {
                theirs.insert(lease.key, lease);
            }
        }
    }

    pub(super) fn handle_told(&mut self, now_ms: i64, id: u32) {
        if self.diff.tickets.is_empty() || id != self.diff.id {
            return;
        }
        let theirs = std::mem::take(&mut self.diff.theirs);
        let mut rows = Vec::new();
        let mut found = 0;
        for (store, theirs) in self.stores.iter().zip(theirs) {
            if !self.peer_has(store) {
                let text = Value::Text("the peer's dhcp.toml has no such server".to_owned());
                rows.push((store.name.name.clone(), text));
                found += 1;
                continue;
            }
            for row in store.differences(now_ms, &theirs) {
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
        for ticket in std::mem::take(&mut self.diff.tickets) {
            self.actions.push_back(Action::Answer {
                ticket,
                rows: Ok(rows.clone()),
                attention: found > 0,
            });
        }
    }

    pub(super) fn end_late_diff(&mut self, now_ms: i64) {
        if now_ms >= self.diff.until_ms {
            self.fail_diff("the peer does not answer");
        }
    }

    pub(super) fn fail_diff(&mut self, why: &str) {
        self.diff.theirs.clear();
        for ticket in std::mem::take(&mut self.diff.tickets) {
            self.actions.push_back(Action::Answer {
                ticket,
                rows: Err(why.to_owned()),
                attention: false,
            });
        }
    }
}

impl Store {
    fn differences(&self, now_ms: i64, theirs: &BTreeMap<Key, Lease>) -> Vec<(String, Value)> {
        let is_young = |lease: Option<&Lease>| {
            lease.is_some_and(|it| it.committed_ms.saturating_add(YOUNG_MS) > now_ms)
        };
        let only_theirs = theirs.keys().filter(|key| self.book.get(key).is_none());
        let keys = self.book.keys().chain(only_theirs);
        let mut rows = Vec::new();
        for key in keys {
            let (here, there) = (self.book.get(key), theirs.get(key));
            // a lease that has just gone leaves nothing that could be young
            let gone = self.book.gone_ms(key).unwrap_or(i64::MIN);
            if is_young(here) || is_young(there) || gone.saturating_add(YOUNG_MS) > now_ms {
                continue;
            }
            let living = |lease: &&Lease| is_living(now_ms, lease);
            let text = match (here.filter(living), there.filter(living)) {
                (Some(here), Some(there)) if is_same(here, there) => continue,
                (None, None) => continue,
                (Some(here), Some(there)) => {
                    let (here, there) = (describe(now_ms, here), describe(now_ms, there));
                    format!("here {here}; at the peer {there}")
                }
                (Some(here), None) => format!("only here: {}", describe(now_ms, here)),
                (None, Some(there)) => format!("only at the peer: {}", describe(now_ms, there)),
            };
            rows.push((
                format!("{}.{}", self.name.name, place(key)),
                Value::Text(text),
            ));
        }
        rows
    }
}
