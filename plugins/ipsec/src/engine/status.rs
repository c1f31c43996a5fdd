//! The rows of `sparectl ipsec`, and whether this node could take over.

use std::io;

use spared_sdk::Value;

use super::session::Session;
use super::{Engine, Lacks};
use crate::codec::body::algorithms;
use crate::sa::{Direction, Sa, SaId};
use crate::store::EKEYREJECTED;
use crate::{SECOND, ms_between};

/// SAs that are shown one by one; an answer has at most 64 KiB.
const SHOWN_MAX: usize = 200;
/// Two nodes that are active for so long are so for different groups.
const SWITCHOVER_NS: u64 = 2 * SECOND;

type Rows = Vec<(String, Value)>;

impl Engine {
    pub fn rows(&self, now_ns: u64) -> Rows {
        let mut rows = self.totals();
        let tables = self.replica.status(now_ns, &self.store);
        rows.extend(tables.iter().flat_map(spared_sdk::replicated::rows));
        let mut count = 0;
        for (id, known) in &self.store.sas {
            let side = known.side.filter(|_| !self.store.held.sas.contains_key(id));
            let Some(side) = side else { continue };
            count += 1;
            if count > SHOWN_MAX {
                continue;
            }
            let behind = known.position().saturating_sub(known.told);
            let age_s = known.life(now_ns).age_s;
            let heard_ms = ms_between(known.heard_ns, now_ns);
            put_sa(&mut rows, &known.sa, side, (age_s, behind, heard_ms));
            put(&mut rows, id, "peer", Value::Text(self.at_peer(id)));
        }
        for (id, held) in &self.store.held.sas {
            count += 1;
            if count > SHOWN_MAX {
                continue;
            }
            let told_ms = ms_between(held.told_ns, now_ns);
            let age_s = held.life(now_ns).age_s;
            let behind = u64::from(held.pace.threshold);
            put_sa(&mut rows, &held.sa, held.side, (age_s, behind, told_ms));
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

    fn totals(&self) -> Rows {
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
            ("held_sas", Value::Number(store.held.sas.len() as u64)),
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
        rows
    }

    fn at_peer(&self, id: &SaId) -> String {
        if !self.is_followed() {
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
        let tunnels = match self.is_active() {
            true => {
                let carried = store.sas.values();
                let out = carried.filter(|it| it.side == Some(Direction::Out));
                out.count()
            }
            false => {
                let held = store.held.sas.values();
                held.filter(|it| it.side == Direction::Out).count()
            }
        };
        let mut summary = counted(tunnels, "tunnel");
        let lack = self.lack().or_else(|| self.ike.wanted.lack().cloned());
        if let Some(why) = lack {
            summary += &format!(", {why}");
        }
        summary
    }

    /// Reason why this node could not take over in its present state.
    pub(super) fn lack(&self) -> Option<String> {
        if self.lacks == Some(Lacks::Ipsec) {
            // nothing can follow, so nothing is missing
            return None;
        }
        let follows = self.is_peer_active();
        // in a switchover both are active for a moment, and nobody asks who could take over
        let both_ns = self.session.as_ref().and_then(Session::both_since_ns);
        let both_ns = both_ns.unwrap_or(self.store.now_ns);
        let is_moment = self.store.now_ns.saturating_sub(both_ns) < SWITCHOVER_NS;
        if self.is_active() && (!follows || is_moment) {
            return None;
        }
        if let Some(why) = self.refusal() {
            return Some(why);
        }
        if !follows {
            return match (self.is_shared, self.replica.peer_groups()) {
                (true, _) => None,
                (false, Some(_)) if self.is_up() => Some("no node is active".to_owned()),
                _ => Some("the peer is not connected".to_owned()),
            };
        }
        if let Err(why) = self.replica.in_sync(&self.store) {
            return Some(why);
        }
        if self.store.peer_unsure {
            return Some("counters may be older than their bound".to_owned());
        }
        let asked = self.store.proofs.are_asked();
        asked.then(|| "SAs are not yet tried here".to_owned())
    }

    /// A backup that heard its peer has everything now.
    pub(super) fn tell_followed(&mut self) {
        let is_active = self.is_active();
        let Some(session) = &mut self.session else {
            return;
        };
        if is_active {
            session.forget_heard();
        }
        if self.said.is_err() {
            return;
        }
        let Some(heard_ns) = session.take_heard_ns() else {
            return;
        };
        let count = self.store.held.sas.len();
        if count > 0 {
            let sas = counted(count, "SA");
            let took_ms = ms_between(heard_ns, self.store.now_ns);
            self.event(format!(
                "{sas} replicated within {took_ms} ms of hearing the peer"
            ));
        }
    }

    fn refusal(&self) -> Option<String> {
        if self.store.proofs.lack_esp() {
            return Some("this kernel has no ESP".to_owned());
        }
        if let Some((id, sa, errno)) = self.refusals().next() {
            let (names, reason) = (algorithms(&sa.body), reason(errno));
            let mut why = match errno {
                EKEYREJECTED => format!("no key of SA {:08x}", id.spi),
                _ => format!("the kernel here lacks {names} for SA {:08x}", id.spi),
            };
            let more = self.refusals().count() - 1;
            if more > 0 {
                why += &format!(" and {more} more");
            }
            return Some(format!("{why}: {reason}"));
        }
        let refused = &self.store.put.refused;
        let (_, errno) = refused.first_key_value()?;
        let policies = match refused.len() {
            1 => "a policy".to_owned(),
            count => format!("{count} policies"),
        };
        let reason = reason(*errno);
        Some(format!(
            "the kernel refuses {policies} of the peer: {reason}"
        ))
    }
}

fn put(rows: &mut Rows, id: &SaId, key: &str, value: Value) {
    rows.push((format!("{:08x}.{key}", id.spi), value));
}

/// With its age, packets behind, and the age of what is known.
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
