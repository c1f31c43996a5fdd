//! The rows of `sparectl sets`, and the sentences about sets.

use spared_sdk::Value;

use super::set::{Roles, Set};
use super::{Action, Engine};

impl Engine {
    /// Every set, in the order of the file.
    pub fn rows(&self, now_ms: u64) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for set in &self.sets {
            set.rows(now_ms, self.standing(), &mut rows);
        }
        let standing = self.standing();
        let word = |active| if active { "active" } else { "backup" };
        let peer = standing.peer.map_or("not there", word);
        let mut put = |key: &str, value| rows.push((format!("all.{key}"), value));
        put("role", Value::Text(word(standing.active).to_owned()));
        put("peer", Value::Text(peer.to_owned()));
        put("malformed", Value::Number(self.malformed));
        rows
    }

    /// One line for both nodes' table.
    pub fn summary(&self) -> String {
        let elements: usize = self.sets.iter().map(|set| set.table.len()).sum();
        let sets = counted(self.sets.len(), "set");
        let mut summary = format!("{sets}, {}", counted(elements, "element"));
        let standing = self.standing();
        let lacking = |set: &&Set| set.hindrance.is_some() || set.lack(standing).is_some();
        match self.sets.iter().filter(lacking).count() {
            0 => {}
            lacking => summary += &format!(", {lacking} not in sync"),
        }
        summary
    }
}

impl Set {
    fn rows(&self, now_ms: u64, standing: Roles, rows: &mut Vec<(String, Value)>) {
        let mut put = |key: &str, value| rows.push((format!("{}.{key}", self.name), value));
        let state = match self.lack(standing) {
            _ if standing.active && self.hindrance.is_none() => "followed".to_owned(),
            None => "in sync".to_owned(),
            Some(why) => why,
        };
        put("state", Value::Text(state));
        put("elements", Value::Number(self.table.len() as u64));
        if let Some(peer) = self.peer {
            put("at_peer", Value::Number(peer.elements));
            put("refused_at_peer", Value::Number(peer.refused));
        }
        put("added", Value::Number(self.counters.added));
        put("deleted", Value::Number(self.counters.deleted));
        put("refused", Value::Number(self.counters.refused));
        if let Some(changed_ms) = self.counters.changed_ms {
            let age_s = now_ms.saturating_sub(changed_ms) / 1000;
            put("changed_s_ago", Value::Number(age_s));
        }
        put("to_send", Value::Number(self.sender.dirty.len() as u64));
        put("read_ms", Value::Number(self.reads.cost_ms));
    }

    /// Why this node could not take over with this set as it is.
    pub(super) fn lack(&self, standing: Roles) -> Option<String> {
        let set = format!("set {}", self.name);
        if let Some(hindrance) = &self.hindrance {
            return Some(format!("{set} {hindrance}"));
        }
        if standing.active || (self.shared && !standing.is_receiver()) {
            return None;
        }
        if let Some(refusals) = self.receiver.refusals() {
            return Some(format!("{set} {refusals}"));
        }
        if self.receiver.in_sync {
            return None;
        }
        Some(match standing.peer {
            None => format!("{set}: the peer is not there"),
            Some(false) => format!("{set}: no node is active"),
            Some(true) => format!("{set} is not yet in sync ({} %)", self.receiver.percent()),
        })
    }

    /// A sentence where something hinders, once; and one when nothing does any more.
    pub(super) fn say_hindrance(&mut self) -> Option<Action> {
        let why = self.hindrance.as_ref().map(ToString::to_string);
        let why = why.or_else(|| self.receiver.trouble());
        if why == self.said {
            return None;
        }
        self.said.clone_from(&why);
        let name = &self.name;
        Some(match why {
            Some(why) => Action::Warn(format!("set {name} {why}")),
            None => Action::Event(format!("set {name}: nothing hinders it any more")),
        })
    }
}

fn counted(count: usize, word: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {word}{plural}")
}
