//! `sparectl conntrack diff`: both kernels' tables side by side.
//!
//! The twin sends its flows, this node reads its own. What differs may just be on its way, so
//! it counts only if a second and a third look find it again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::pass::Pass;
use super::{Action, Engine, Finished};
use crate::flow::{Flow, TCP, Tcp};
use crate::wire::{self, Kind, MESSAGE_BYTES, Message, RECORD_BYTES_MAX};

const LOOKS: u8 = 3;
/// Rows in the answer; more are counted.
const ROWS_MAX: usize = 200;

/// What two kernels should agree on, of one flow.
type Digest = u64;

#[derive(Debug, Default)]
pub struct Comparison {
    id: u32,
    look: u8,
    here: HashMap<u64, Digest>,
    there: HashMap<u64, Digest>,
    /// Words for flows that may differ, once known.
    named: HashMap<u64, String>,
    /// What differed in every look so far; None before the first has ended.
    suspects: Option<HashMap<u64, &'static str>>,
    own_ended: bool,
    twin_ended: bool,
}

impl Engine {
    /// Begins a comparison; `Finished::Comparison` follows.
    ///
    /// # Errors
    /// The twin is not there, or it is under way already.
    pub fn compare(&mut self, now_ns: u64) -> Result<(), &'static str> {
        if self.twin.as_ref().is_none_or(|twin| twin.active.is_none()) {
            return Err("the twin is not there");
        }
        if self.comparison.is_some() {
            return Err("a comparison is under way");
        }
        self.comparison = Some(Comparison::default());
        self.look(now_ns);
        Ok(())
    }

    fn look(&mut self, now_ns: u64) {
        let Some(comparison) = &mut self.comparison else {
            return;
        };
        comparison.id = comparison.id.wrapping_add(1);
        comparison.look += 1;
        comparison.here.clear();
        comparison.there.clear();
        (comparison.own_ended, comparison.twin_ended) = (false, false);
        let id = comparison.id;
        self.push_message(now_ns, &Message::Compare { id });
        self.wanted.compare = true;
    }

    // ---- for the twin

    pub(super) fn answer_with(&mut self, now_ns: u64, id: u32, flow: &Flow) {
        if !self.filter.admits(flow) {
            return;
        }
        let Some(pass) = &mut self.pass else { return };
        if pass.records.is_empty() {
            wire::begin_compared(&mut pass.records, id);
        }
        wire::record(&mut pass.records, Kind::Whole, flow);
        if pass.records.len() + RECORD_BYTES_MAX > MESSAGE_BYTES {
            let message = std::mem::take(&mut pass.records);
            self.push_bytes(now_ns, message);
        }
    }

    pub(super) fn end_answer(&mut self, now_ns: u64, id: u32, pass: Pass) {
        if !pass.records.is_empty() {
            self.push_bytes(now_ns, pass.records);
        }
        self.push_message(now_ns, &Message::End { id });
    }

    // ---- here

    pub(super) fn compare_own(&mut self, flow: Flow) {
        if !self.filter.admits(&flow) {
            return;
        }
        let hash = self.table.hash(&flow);
        if let Some(comparison) = &mut self.comparison {
            comparison.here.insert(hash, digest(&flow));
            comparison.name(hash, &flow);
        }
    }

    pub(super) fn handle_compared(&mut self, id: u32, records: &[u8]) {
        let key = self.table.key;
        let Some(comparison) = self.comparison.as_mut().filter(|it| it.id == id) else {
            return;
        };
        for (_, flow) in wire::records(records).map_while(Result::ok) {
            let hash = flow.hash(key);
            comparison.there.insert(hash, digest(&flow));
            comparison.name(hash, &flow);
        }
    }

    pub(super) fn handle_compared_end(&mut self, now_ns: u64, id: u32) {
        if let Some(comparison) = self.comparison.as_mut().filter(|it| it.id == id) {
            comparison.twin_ended = true;
            self.conclude(now_ns);
        }
    }

    pub(super) fn end_own(&mut self, now_ns: u64, complete: bool) {
        self.wanted.compare = !complete;
        if let Some(comparison) = self.comparison.as_mut().filter(|_| complete) {
            comparison.own_ended = true;
            self.conclude(now_ns);
        }
    }

    fn conclude(&mut self, now_ns: u64) {
        let Some(comparison) = &mut self.comparison else {
            return;
        };
        if !comparison.own_ended || !comparison.twin_ended {
            return;
        }
        comparison.suspect();
        let equal = comparison.suspects.as_ref().is_none_or(HashMap::is_empty);
        // a look that finds differences is followed by one that can name them
        if !equal && comparison.look < LOOKS {
            return self.look(now_ns);
        }
        let rows = comparison.rows();
        self.end_comparison(Some(rows));
    }

    pub(super) fn end_comparison(&mut self, rows: Option<Vec<(String, String)>>) {
        if self.comparison.take().is_some() {
            self.actions
                .push_back(Action::Done(Finished::Comparison(rows)));
        }
    }
}

impl Comparison {
    /// What differs now and did before.
    fn suspect(&mut self) {
        let (here, there) = (&self.here, &self.there);
        let mut found = HashMap::new();
        for (hash, digest) in here {
            match there.get(hash) {
                None => found.insert(*hash, "only here"),
                Some(other) if other != digest => found.insert(*hash, "differs"),
                Some(_) => None,
            };
        }
        let missing = there.keys().filter(|hash| !here.contains_key(hash));
        found.extend(missing.map(|hash| (*hash, "only there")));
        if let Some(before) = &self.suspects {
            found.retain(|hash, _| before.contains_key(hash));
        }
        self.suspects = Some(found);
    }

    fn name(&mut self, hash: u64, flow: &Flow) {
        let suspected = self
            .suspects
            .as_ref()
            .is_some_and(|it| it.contains_key(&hash));
        if suspected && self.named.len() < ROWS_MAX {
            let zone = match flow.zone.id {
                0 => String::new(),
                zone => format!(" zone {zone}"),
            };
            self.named.insert(hash, format!("{}{zone}", flow.original));
        }
    }

    fn rows(&mut self) -> Vec<(String, String)> {
        let suspects = self.suspects.take().unwrap_or_default();
        let mut rows: Vec<(String, String)> = suspects
            .iter()
            .filter_map(|(hash, how)| Some((self.named.remove(hash)?, (*how).to_owned())))
            .collect();
        rows.sort_unstable();
        if let Some(more) = suspects
            .len()
            .checked_sub(rows.len())
            .filter(|more| *more > 0)
        {
            rows.push(("and more".to_owned(), more.to_string()));
        }
        rows
    }
}

/// Times, counters and windows are each kernel's own; being liberal is the copy's.
fn digest(flow: &Flow) -> Digest {
    let mut hasher = DefaultHasher::new();
    (flow.reply.source, flow.reply.destination, flow.reply.ends).hash(&mut hasher);
    (flow.mark, flow.state()).hash(&mut hasher);
    super::table::status_byte(flow.status).hash(&mut hasher);
    if let (TCP, Some(Tcp { scales, .. })) = (flow.original.protocol, flow.tcp) {
        scales.hash(&mut hasher);
    }
    flow.extra.hash(&mut hasher);
    hasher.finish()
}
