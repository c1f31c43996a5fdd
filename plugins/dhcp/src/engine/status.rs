//! The rows of `sparectl dhcp`, and the sentences about leases.

use spared_sdk::{Value, hex};

use super::Engine;
use super::store::Store;
use crate::lease::{Key, Kind, Lease, State};

impl Engine {
    /// Every server, in the order of the file.
    pub fn rows(&self, now_ms: i64) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for store in &self.stores {
            let state = match self.lack(store) {
                _ if self.acts() => store.trouble().unwrap_or_else(|| "active".to_owned()),
                Some(why) => why,
                None => "in sync".to_owned(),
            };
            let name = &store.name.name;
            rows.push((format!("{name}.state"), Value::Text(state)));
            store.rows(now_ms, &mut rows);
        }
        let word = |active| if active { "active" } else { "backup" };
        let peer = self
            .peer
            .as_ref()
            .map_or("not there", |peer| word(peer.active));
        let mut put = |key: &str, value| rows.push((format!("all.{key}"), value));
        put("role", Value::Text(word(self.acts()).to_owned()));
        put("peer", Value::Text(peer.to_owned()));
        put("malformed", Value::Number(self.malformed));
        if let Some(peer) = &self.peer {
            let strangers = peer.servers.iter().filter(|it| {
                let known = self.stores.iter().any(|store| store.name == **it);
                !known
            });
            let strangers: Vec<String> = strangers
                .map(|it| format!("{} ({})", it.name, it.kind))
                .collect();
            if !strangers.is_empty() {
                put("only_at_peer", Value::Text(strangers.join(", ")));
            }
        }
        rows
    }

    /// A line of each server for both nodes' table: its key, and the words.
    pub fn summary(&self, now_ms: i64) -> Vec<(String, String)> {
        let line = |store: &Store| {
            let mut line = counted(store.book.len(), "lease");
            let behind = match self.acts() {
                true => None,
                false if store.receiver.in_sync => Some(store.receiver.waited_ms),
                false => None,
            };
            match (self.lack(store), behind) {
                (Some(_), _) if !self.acts() => line += ", not in sync",
                (_, Some(behind_ms)) => line += &format!(", {behind_ms} ms behind"),
                _ => {}
            }
            if self.acts() {
                let behind_ms = store.sender.behind_ms(now_ms).unwrap_or(0);
                if behind_ms > 1_000 {
                    line += &format!(", the peer {behind_ms} ms behind");
                }
            }
            if store.conflicts.count > 0 {
                let count = usize::try_from(store.conflicts.count).unwrap_or(usize::MAX);
                line += &format!(", {}", counted(count, "conflict"));
            }
            (store.name.name.clone(), line)
        };
        self.stores.iter().map(line).collect()
    }

    /// The latest addresses that two clients had.
    pub fn conflicts(&self, now_ms: i64) -> Vec<(String, Value)> {
        let mut rows = Vec::new();
        for store in &self.stores {
            let name = &store.name.name;
            let count = Value::Number(store.conflicts.count);
            for conflict in &store.conflicts.latest {
                let age_s = now_ms.saturating_sub(conflict.at_ms).max(0) / 1_000;
                let text = format!(
                    "{age_s} s ago: {} keeps it{}, {} has lost it",
                    client(&conflict.kept),
                    if conflict.peer_won {
                        " (from the peer)"
                    } else {
                        ""
                    },
                    client(&conflict.lost)
                );
                let key = format!("{name}.{}", place(&conflict.key));
                rows.push((key, Value::Text(text)));
            }
            rows.push((format!("{name}.conflicts"), count));
        }
        rows
    }

    pub(super) fn peer_has(&self, store: &Store) -> bool {
        let peer = self.peer.as_ref();
        peer.is_some_and(|peer| peer.servers.contains(&store.name))
    }

    /// Why this node could not take over with this server as it is.
    pub(super) fn lack(&self, store: &Store) -> Option<String> {
        let name = &store.name.name;
        if let Some(trouble) = store.trouble() {
            return Some(format!("{name} {trouble}"));
        }
        let known = store.lineage.is_some() && store.facts.known;
        let Some(peer) = &self.peer else {
            return match known {
                true => store.delay().map(|why| format!("{name} {why}")),
                false => Some(format!("{name}: the peer is not there")),
            };
        };
        if !peer.servers.contains(&store.name) {
            let same = peer.servers.iter().find(|it| it.name == store.name.name);
            return Some(match same {
                Some(same) => format!(
                    "{name} is {} here and {} at the peer",
                    store.name.kind, same.kind
                ),
                None => format!("{name} is not in the peer's dhcp.toml"),
            });
        }
        if peer.active && !store.receiver.in_sync {
            return Some(format!(
                "{name} is not yet in sync ({} %)",
                store.receiver.percent()
            ));
        }
        if !peer.active && !known {
            return Some(format!("{name}: no node is active"));
        }
        store.delay().map(|why| format!("{name} {why}"))
    }
}

impl Store {
    fn rows(&self, now_ms: i64, rows: &mut Vec<(String, Value)>) {
        let mut put = |key: &str, value| rows.push((format!("{}.{key}", self.name.name), value));
        put("leases", Value::Number(self.book.len() as u64));
        if let Some(at_peer) = self.at_peer {
            put("at_peer", Value::Number(at_peer));
        }
        if let Some(behind_ms) = self.sender.behind_ms(now_ms) {
            put("behind_ms", Value::Number(behind_ms));
        } else if self.receiver.in_sync {
            put("behind_ms", Value::Number(self.receiver.waited_ms));
        }
        put("waiting", Value::Number(self.waiting() as u64));
        let refused = self.save.aside.values().flatten().count() as u64;
        put("refused", Value::Number(self.counters.refused + refused));
        put("conflicts", Value::Number(self.conflicts.count));
        put("commits", Value::Number(self.counters.commits));
        put("received", Value::Number(self.counters.received));
        let runs = match (self.facts.runs, self.save.is_silent()) {
            (false, _) => "no",
            (true, true) => "yes, silent",
            (true, false) => "yes",
        };
        put("runs", Value::Text(runs.to_owned()));
        let file = self.facts.file.as_ref();
        let file = file.map(|file| file.display().to_string());
        if let Some(file) = file.or_else(|| self.facts.fault.clone()) {
            put("file", Value::Text(file));
        }
        let refusal = self.save.aside.iter().find_map(|(key, why)| {
            let why = why.as_ref()?;
            Some(format!("{}: {why}", place(key)))
        });
        let faults = [
            self.facts.fault.clone(),
            self.save.failed.clone(),
            self.save.unsilenced.clone(),
            self.facts.broken.clone(),
            refusal,
            self.counters.last_refused.clone(),
        ];
        if let Some(fault) = faults.into_iter().flatten().next() {
            put("last_fault", Value::Text(fault));
        }
    }

    /// What is wrong with the server here, whoever is active.
    fn trouble(&self) -> Option<String> {
        if let Some(why) = &self.save.failed {
            return Some(format!("cannot be written: {why}"));
        }
        // of a file that was never there, writing makes one
        if let Some(why) = self.facts.fault.as_ref().filter(|_| !self.has_unwritten()) {
            return Some(format!("cannot be followed: {why}"));
        }
        if let Some(why) = &self.save.unsilenced {
            return Some(format!("does not hear whether it is to answer: {why}"));
        }
        let refused = self.save.aside.values().flatten().count();
        if refused > 0 {
            return Some(format!("does not take {}", counted(refused, "lease")));
        }
        None
    }

    /// What a backup's server still lacks of what is known here.
    fn delay(&self) -> Option<String> {
        if self.facts.runs && !self.settings.warm {
            return Some("runs, though this node is backup: stop it".to_owned());
        }
        if self.facts.runs && !self.facts.live {
            return Some("takes no leases while it runs".to_owned());
        }
        if self.facts.runs && self.book.identity_unfiled {
            return Some("answers with a DUID of its own: stop it and start it".to_owned());
        }
        if self.save.owed {
            return Some("is being written".to_owned());
        }
        None
    }
}

/// Who has it, in a few words.
pub fn client(lease: &Lease) -> String {
    let client = &lease.client;
    let bytes = match client.hardware.is_empty() {
        true => &client.id,
        false => &client.hardware,
    };
    let first = hex::text(bytes.get(..20).unwrap_or(bytes), ":");
    let text = match bytes.len() {
        0 => "an unknown client".to_owned(),
        1..=20 => first,
        _ => format!("{first}:..."),
    };
    match lease.hostname.is_empty() {
        true => text,
        false => {
            let name = String::from_utf8_lossy(&lease.hostname);
            format!("{text} ({})", name.escape_debug())
        }
    }
}

pub fn describe(now_ms: i64, lease: &Lease) -> String {
    let state = match lease.state {
        State::Leased => "",
        State::Declined => ", declined",
        State::Free => ", free",
    };
    let left = match lease.expires_ms {
        None => "without end".to_owned(),
        Some(ends_ms) => format!("{} s left", ends_ms.saturating_sub(now_ms).max(0) / 1_000),
    };
    format!("{}{state}, {left}", client(lease))
}

/// "192.0.2.5", "2001:db8:1::/56".
pub fn place(key: &Key) -> String {
    match key.kind {
        Kind::Pd => format!("{}/{}", key.address, key.prefix),
        _ => key.address.to_string(),
    }
}

pub fn counted(count: usize, word: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {word}{plural}")
}
