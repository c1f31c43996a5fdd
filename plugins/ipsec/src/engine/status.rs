//! Rows of `sparectl ipsec`.

use std::io;

use spared_sdk::Value;

use super::Engine;
use crate::ms_between;
use crate::sa::{ChildName, Direction, Sa, SaId};
use crate::store::EKEYREJECTED;

/// Most SAs that are shown one by one; an answer has at most 64 KiB.
const SHOWN_MAX: usize = 200;

type Rows = Vec<(String, Value)>;

impl Engine {
    pub fn rows(&self, now_ns: u64) -> Rows {
        let mut rows = self.totals(now_ns);
        let mut count = 0;
        for (id, known) in &self.store.sas {
            let side = known
                .side
                .filter(|_| !self.store.held.sas().contains_key(id));
            let Some(side) = side else { continue };
            count += 1;
            if count > SHOWN_MAX {
                continue;
            }
            let behind = known.position().saturating_sub(known.reported_position);
            let age_s = known.life(now_ns).age_s;
            let heard_ms = ms_between(known.read_ns, now_ns);
            put_sa(&mut rows, &known.sa, side, (age_s, behind, heard_ms));
            put_child(&mut rows, id, known.name.as_ref());
            put(&mut rows, id, "peer", Value::Text(self.at_peer(id)));
        }
        for (id, held) in self.store.held.sas() {
            count += 1;
            if count > SHOWN_MAX {
                continue;
            }
            let reported_ms = ms_between(held.reported_ns, now_ns);
            let age_s = held.life(now_ns).age_s;
            let behind = u64::from(held.pace.threshold);
            put_sa(&mut rows, &held.sa, held.side, (age_s, behind, reported_ms));
            put_child(&mut rows, id, held.name.as_ref());
            let ready = match self.store.proofs.errno(held.proof) {
                None => "yes".to_owned(),
                Some(errno) => reason(errno),
            };
            put(&mut rows, id, "ready", Value::Text(ready));
        }
        if count > SHOWN_MAX {
            let more = (count - SHOWN_MAX) as u64;
            rows.push(("more.sas".to_owned(), Value::Number(more)));
        }
        rows
    }

    /// Rows of all SAs together, and of the replicated tables.
    pub fn totals(&self, now_ns: u64) -> Rows {
        let mut rows = Vec::new();
        let mut put = |key: &str, value| rows.push((format!("all.{key}"), value));
        let word = |active| if active { "active" } else { "backup" };
        let peer = match self.replica.peer_groups().filter(|_| self.is_up()) {
            Some(groups) => word(!groups.is_empty()),
            None => "not there",
        };
        put("role", Value::Text(word(self.is_active()).to_owned()));
        put("peer", Value::Text(peer.to_owned()));
        let store = &self.store;
        let sas = store.sas.values().filter(|it| it.side.is_some()).count();
        let policies = store.policies.values().filter(|it| it.ours).count();
        let numbers = [
            ("sas", Value::Number(sas as u64)),
            ("policies", Value::Number(policies as u64)),
            ("held_sas", Value::Number(store.held.sas().len() as u64)),
            (
                "held_policies",
                Value::Number(store.held.policies.len() as u64),
            ),
            ("installed", Value::Counter(self.counters.installed)),
            ("refused", Value::Counter(self.counters.refused)),
            ("superseded", Value::Counter(self.counters.superseded)),
            ("restored", Value::Counter(self.counters.restored)),
            ("routes", Value::Number(self.ike.routes.len() as u64)),
            ("differing", Value::Counter(self.counters.differing)),
            ("overruns", Value::Counter(self.counters.overruns)),
            ("unheard", Value::Counter(self.counters.unheard)),
            ("malformed", Value::Counter(self.replica.garbage().0.into())),
        ];
        for (key, number) in numbers {
            put(key, number);
        }
        put("ike_sessions", Value::Text(self.sessions_text()));
        put("copies", Value::Text(self.copies_text()));
        let sessions = &store.sessions;
        let counts = [("ike_sas", &sessions.own), ("held_ike_sas", &sessions.held)];
        for (key, sessions) in counts {
            put(key, Value::Number(sessions.ikes.len() as u64));
        }
        put("sessions_refused", Value::Counter(sessions.own.refused));
        for (key, number) in self.ike.feed.numbers() {
            put(key, Value::Counter(number));
        }
        let tables = self.replica.status(now_ns, &self.store);
        rows.extend(tables.iter().flat_map(spared_sdk::replicated::rows));
        rows
    }

    fn at_peer(&self, id: &SaId) -> String {
        if !self.is_replicating() {
            return "not there".to_owned();
        }
        let record = self.store.index.sas.get(id);
        let is_refused = record.is_some_and(|it| it.tag.is_refused());
        match record.is_some_and(|it| it.tag.is_shared()) {
            _ if is_refused => "not ready: see the other node".to_owned(),
            true => "ready".to_owned(),
            false => "not yet in sync".to_owned(),
        }
    }

    /// One line for both nodes' table.
    pub fn summary(&self) -> String {
        let store = &self.store;
        let tunnels = if self.is_active() {
            let carried = store.sas.values();
            let out = carried.filter(|it| it.side == Some(Direction::Out));
            out.count()
        } else {
            let held = store.held.sas().values();
            held.filter(|it| it.side == Direction::Out).count()
        };
        let mut summary = counted(tunnels, "tunnel");
        let obstacle = self
            .obstacle()
            .or_else(|| self.readiness.tunnels().cloned());
        if let Some(why) = obstacle {
            summary += &format!(", {why}");
        }
        summary
    }
}

fn put(rows: &mut Rows, id: &SaId, key: &str, value: Value) {
    rows.push((format!("{:08x}.{key}", id.spi), value));
}

/// Adds the row with the child of the IKE daemon to which an SA belongs, if it is known.
fn put_child(rows: &mut Rows, id: &SaId, name: Option<&ChildName>) {
    if let Some(ChildName { ike, child }) = name {
        put(rows, id, "child", Value::Text(format!("{ike}/{child}")));
    }
}

/// Adds the rows of an SA, with its age, packets behind, and the age of what is known.
fn put_sa(rows: &mut Rows, sa: &Sa, side: Direction, (age_s, behind, heard_ms): (u64, u64, u64)) {
    let id = &sa.id;
    let side = match side {
        Direction::In => "in",
        Direction::Out => "out",
    };
    let ends = format!("{} -> {}", sa.source, id.destination);
    put(rows, id, "direction", Value::Text(side.to_owned()));
    put(rows, id, "ends", Value::Text(ends));
    put(rows, id, "age_s", Value::Number(age_s));
    put(rows, id, "behind", Value::Number(behind));
    put(rows, id, "heard_ms_ago", Value::Number(heard_ms));
}

/// The kernel's errno as half a sentence.
pub fn reason(errno: i32) -> String {
    if errno == EKEYREJECTED {
        return "the peer's kernel is locked down and shows none".to_owned();
    }
    let text = io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

pub fn counted(count: usize, word: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {word}{plural}")
}
