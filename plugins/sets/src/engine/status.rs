//! Rows of `sparectl sets`.

use spared_replica::TableStatus;
use spared_sdk::{Value, replicated};

use super::Engine;
use crate::store::Set;
use crate::{MS, SECOND};

impl Engine {
    /// Rows of every set, in the order of the file.
    pub fn rows(&self, now_ns: u64) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        let tables = self.tables(now_ns);
        for (set, table) in self.store.all.iter().zip(&tables) {
            set_rows(set, table, now_ns, &mut rows);
        }
        let word = |active| if active { "active" } else { "backup" };
        let peer = self.replica.peer_groups();
        let peer = peer.map_or("not there", |groups| word(!groups.is_empty()));
        let (here, there) = self.replica.garbage();
        let mut put = |key: &str, value| rows.push((format!("all.{key}"), value));
        put("role", Value::Text(word(self.is_active()).to_owned()));
        put("peer", Value::Text(peer.to_owned()));
        put("garbage_here", Value::Counter(here.into()));
        put("garbage_there", Value::Counter(there.into()));
        rows
    }

    /// Status of each set: the replica's, corrected for lost notifications, which the replica does not know about.
    fn tables(&self, now_ns: u64) -> Vec<TableStatus> {
        let mut tables = self.replica.status(now_ns, &self.store);
        let sets = self.store.all.iter().zip(&mut tables);
        for (_, table) in sets.filter(|(set, _)| self.is_active() && set.reads.is_doubted()) {
            let why = "changes were too many to be notified of: the set is being read again";
            table
                .out_of_sync_reason
                .get_or_insert_with(|| why.to_owned());
        }
        tables
    }

    /// Summary in one line, for the table of both nodes.
    pub fn summary(&self, now_ns: u64) -> String {
        let elements: usize = self.store.all.iter().map(|set| set.table.len()).sum();
        let sets = counted(self.store.all.len(), "set");
        let mut summary = format!("{sets}, {}", counted(elements, "element"));
        let tables = self.tables(now_ns);
        let is_alone = self.is_active() && self.replica.peer_groups().is_none();
        let sets = self.store.all.iter().zip(&tables);
        let lacks = |(set, table): &(&Set, &TableStatus)| {
            if is_alone {
                set.condition.is_hindered()
            } else {
                table.out_of_sync_reason.is_some()
            }
        };
        let lacking = sets.filter(lacks).count();
        if lacking > 0 {
            summary += &format!(", {lacking} not in sync");
        }
        summary + &self.left_out()
    }

    /// Number of elements that stay on this node, for the summary.
    fn left_out(&self) -> String {
        let sets = self.store.all.iter();
        let sets: Vec<&Set> = sets.filter(|set| set.left_out() > 0).collect();
        let [first, others @ ..] = sets.as_slice() else {
            return String::new();
        };
        let elements = sets.iter().map(|set| set.left_out()).sum();
        let elements = counted(elements, "element");
        let others = match others.len() {
            0 => String::new(),
            others => format!(" and {}", counted(others, "more set")),
        };
        format!(
            ", {elements} with limits of rules left out ({}{others})",
            first.name
        )
    }
}

fn set_rows(set: &Set, table: &TableStatus, now_ns: u64, rows: &mut Vec<(String, Value)>) {
    rows.extend(replicated::rows(table));
    let name = &set.name;
    let mut put = |key: &str, value| rows.push((format!("{name}.{key}"), value));
    put("added", Value::Counter(set.counters.added()));
    put("deleted", Value::Counter(set.counters.deleted()));
    if let Some(changed_ns) = set.counters.changed_ns() {
        let age_s = now_ns.saturating_sub(changed_ns) / SECOND;
        put("changed_s_ago", Value::Number(age_s));
    }
    put("left_out", Value::Number(set.left_out() as u64));
    put("read_ms", Value::Number(set.reads.cost_ns() / MS));
}

fn counted(count: usize, word: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {word}{plural}")
}
