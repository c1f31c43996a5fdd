//! The rows of `sparectl ipsec`, and whether this node could take over.

use std::io;

use spared_sdk::Value;

use super::proofs::EKEYREJECTED;
use super::{Action, Engine};
use crate::body::algorithms;
use crate::sa::{Direction, Sa, SaId};
use crate::wire::Message;

/// SAs that are shown one by one; an answer has at most 64 KiB.
const SHOWN_MAX: usize = 200;

type Rows = Vec<(String, Value)>;

impl Engine {
    pub fn rows(&self, now_ms: u64) -> Rows {
        let mut rows = self.totals();
        let giver = self.sas.iter();
        let mut count = 0;
        for (id, known) in giver {
            let Some(side) = known.side else { continue };
            count += 1;
            if count > SHOWN_MAX {
                continue;
            }
            let behind = known.position().saturating_sub(known.told);
            let age_s = known.life(now_ms).age_s;
            let heard_ms = now_ms.saturating_sub(known.heard_ms);
            put_sa(&mut rows, &known.sa, side, (age_s, behind, heard_ms));
            put(&mut rows, id, "peer", Value::Text(self.at_peer(id)));
        }
        for (id, held) in &self.held.sas {
            count += 1;
            if count > SHOWN_MAX {
                continue;
            }
            let told_ms = now_ms.saturating_sub(held.told_ms);
            let age_s = held.life(now_ms).age_s;
            let behind = u64::from(held.pace.threshold);
            put_sa(&mut rows, &held.sa, held.side, (age_s, behind, told_ms));
            let ready = match self.proofs.errno(held.proof) {
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
        let peer = self.peer.filter(|_| self.up).map_or("not there", word);
        put("role", Value::Text(word(self.is_active()).to_owned()));
        put("peer", Value::Text(peer.to_owned()));
        let ours = self.sas.values().filter(|it| it.side.is_some()).count();
        let policies = self.policies.values().filter(|it| it.ours).count();
        let numbers = [
            ("sas", ours as u64),
            ("policies", policies as u64),
            ("held_sas", self.held.sas.len() as u64),
            ("held_policies", self.held.policies.len() as u64),
            ("installed", self.counters.installed),
            ("refused", self.counters.refused),
            ("refused_at_peer", u64::from(self.sender.refused_count)),
            ("superseded", self.counters.superseded),
            ("restored", self.counters.restored),
            ("differing", self.counters.differing),
            ("overruns", self.counters.overruns),
            ("unheard", self.counters.unheard),
            ("malformed", self.counters.malformed),
            ("to_send", self.sender.backlog() as u64),
        ];
        for (key, number) in numbers {
            put(key, Value::Number(number));
        }
        rows
    }

    fn at_peer(&self, id: &SaId) -> String {
        if !self.is_sender() {
            return "not there".to_owned();
        }
        if let Some(errno) = self.sender.refused.get(id) {
            return reason(*errno);
        }
        match self.sender.peer_in_sync {
            true => "ready".to_owned(),
            false => "not yet in sync".to_owned(),
        }
    }

    /// One line for both nodes' table.
    pub fn summary(&self) -> String {
        let tunnels = match self.is_active() {
            true => {
                let ours = self.sas.values();
                ours.filter(|it| it.side == Some(Direction::Out)).count()
            }
            false => {
                let held = self.held.sas.values();
                held.filter(|it| it.side == Direction::Out).count()
            }
        };
        let mut summary = counted(tunnels, "tunnel");
        if let Some(why) = self.lack() {
            summary += &format!(", {why}");
        }
        summary
    }

    /// Says what changed for the host and for the peer.
    pub(super) fn review(&mut self) {
        self.tell_refusals();
        let why = self.lack();
        let said = (why.is_none(), why.unwrap_or_default());
        if self.said.as_ref() != Some(&said) {
            let (yes, why) = said.clone();
            self.said = Some(said);
            self.actions.push_back(Action::InSync { yes, why });
        }
    }

    fn tell_refusals(&mut self) {
        if !self.is_receiver() || !self.receiver.is_complete() {
            return;
        }
        let refusals: Vec<(SaId, i32)> =
            self.refusals().map(|(id, _, errno)| (*id, errno)).collect();
        let count = refusals.len() as u32;
        if count != self.receiver.refused_told {
            self.receiver.refused_told = count;
            let first = refusals.into_iter().take(SHOWN_MAX).collect();
            self.receiver
                .tell_refused(Message::Refused { count, first });
        }
    }

    /// Why this node could not take over as it is.
    fn lack(&self) -> Option<String> {
        if self.is_active() {
            return None;
        }
        if self.alien {
            return Some("the peer's kernel is of another architecture".to_owned());
        }
        if self.receiver.overflow > 0 {
            let overflow = self.receiver.overflow;
            return Some(format!("{overflow} SAs and policies found no room"));
        }
        if let Some(why) = self.refusal() {
            return Some(why);
        }
        if !self.is_receiver() {
            return match (self.receiver.shared, self.peer) {
                (true, _) => None,
                (false, None) => Some("the peer is not there".to_owned()),
                (false, Some(_)) => Some("no node is active".to_owned()),
            };
        }
        if !self.receiver.is_complete() {
            let percent = self.receiver.percent();
            return Some(format!("not yet in sync ({percent} %)"));
        }
        if self.receiver.missed_ms.is_some() {
            return Some("a message of the peer was not understood".to_owned());
        }
        if self.receiver.unsure {
            return Some("counters may be older than their bound".to_owned());
        }
        let asked = self.proofs.are_asked();
        asked.then(|| "SAs are not yet tried here".to_owned())
    }

    fn refusal(&self) -> Option<String> {
        if self.proofs.lack_esp() {
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
        let (_, errno) = self.put.refused.first_key_value()?;
        let policies = match self.put.refused.len() {
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
