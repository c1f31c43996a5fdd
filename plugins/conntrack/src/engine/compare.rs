//! Compares both kernels' tables for `sparectl conntrack diff`.
//!
//! The peer sends its flows, this node reads its own. A difference may just be in transit, so it
//! counts only if a second and a third pass find it again.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::walk_queue::{Due, Walk, Work};
use super::{Action, Engine};
use crate::filter::Selection;
use crate::flow::{Flow, TCP, Tcp};
use crate::wire::{self, Kind, MESSAGE_BYTES, Message, RECORD_BYTES_MAX};

const LOOKS: u8 = 3;
/// Limit of flows in one table; a comparison takes 50 bytes for each.
const FLOWS_MAX: usize = 4_000_000;
/// Limit of rows in the answer; the others are only counted.
const ROWS_MAX: usize = 200;

/// Reason why a comparison has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The peer has gone.
    Gone,
    TooMany,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the peer is gone"),
            Self::TooMany => write!(f, "more than {FLOWS_MAX} flows are too many to compare"),
        }
    }
}

/// Digest of the attributes that should be equal in both kernels.
type Digest = u64;

#[derive(Debug)]
pub(super) struct Comparison {
    id: u32,
    look: u8,
    /// Selects the flows that are compared.
    selection: Selection,
    here: HashMap<u64, Digest>,
    there: HashMap<u64, Digest>,
    /// Text for each flow that may differ, once known.
    named: HashMap<u64, String>,
    /// Differences found in every pass so far; None before the first has ended.
    suspects: Option<HashMap<u64, &'static str>>,
    own_ended: bool,
    peer_ended: bool,
    /// Limit of flows on each side.
    pub(super) limit: usize,
}

/// Comparison that this node makes, if any.
#[derive(Debug, Default)]
pub(super) struct Comparisons {
    running: Option<Comparison>,
    /// Number of passes so far, which is the id of the next one.
    looks: u32,
}

#[cfg(test)]
impl Comparisons {
    pub(super) fn running_mut(&mut self) -> Option<&mut Comparison> {
        self.running.as_mut()
    }
}

/// Rows of a flow, and how it differs.
pub type Rows = Vec<(String, String)>;

impl Engine {
    /// Begins a comparison; `Action::Compared` follows.
    ///
    /// # Errors
    /// The peer is not connected, or a comparison is under way already.
    pub fn compare(&mut self, now_ns: u64, selection: Selection) -> Result<(), &'static str> {
        if self.peer.as_ref().is_none_or(|peer| peer.active.is_none()) {
            return Err("the peer is not connected");
        }
        if self.channel.comparisons.running.is_some() {
            return Err("a comparison is already running");
        }
        self.look(now_ns, Comparison::new(FLOWS_MAX, selection));
        Ok(())
    }

    /// Begins the next pass of a comparison.
    fn look(&mut self, now_ns: u64, mut comparison: Comparison) {
        // a late answer to an earlier pass must not count for this one
        let looks = &mut self.channel.comparisons.looks;
        *looks = looks.wrapping_add(1);
        comparison.id = *looks;
        comparison.look += 1;
        comparison.here.clear();
        comparison.there.clear();
        (comparison.own_ended, comparison.peer_ended) = (false, false);
        let id = comparison.id;
        self.channel.comparisons.running = Some(comparison);
        self.push_message(now_ns, &Message::Compare { id });
        self.walks.request(Due::Compare);
    }

    // ---- for the peer

    pub(super) fn answer_with(&mut self, now_ns: u64, id: u32, flow: &Flow) {
        if !self.filter.admits(flow) {
            return;
        }
        let Some(records) = self.walks.records_mut() else {
            return;
        };
        if records.is_empty() {
            wire::begin_compared(records, id);
        }
        wire::record(records, Kind::Whole, flow);
        if records.len() + RECORD_BYTES_MAX > MESSAGE_BYTES {
            let message = std::mem::take(records);
            self.push_bytes(now_ns, message);
        }
    }

    pub(super) fn end_answer(&mut self, now_ns: u64, id: u32, walk: Walk, complete: bool) {
        if !complete {
            // the sent part is right but incomplete: repeat, unless the peer has begun another pass
            self.walks.request_answer_again(id);
            return;
        }
        if !walk.records.is_empty() {
            self.push_bytes(now_ns, walk.records);
        }
        self.push_message(now_ns, &Message::End { id });
    }

    // ---- here

    pub(super) fn compare_own(&mut self, flow: Flow) {
        if !self.filter.admits(&flow) {
            return;
        }
        let hash = self.table.hash(&flow);
        let comparison = self.channel.comparisons.running.as_mut();
        if let Some(comparison) = comparison.filter(|it| it.selection.has(&flow)) {
            comparison.here.insert(hash, digest(&flow));
            comparison.name(hash, &flow);
        }
        self.end_large_comparison();
    }

    /// Ends a comparison with too many flows, because the peer's number is not trusted.
    fn end_large_comparison(&mut self) {
        let is_large = |it: &Comparison| it.here.len().max(it.there.len()) > it.limit;
        if self
            .channel
            .comparisons
            .running
            .as_ref()
            .is_some_and(is_large)
        {
            self.stop_walk_if(|work| work == Work::Compare);
            self.walks.cancel(Due::Compare);
            self.end_comparison(Fault::TooMany);
        }
    }

    pub(super) fn handle_compared(&mut self, id: u32, records: &[u8]) {
        let key = self.table.key;
        let Some(comparison) = self
            .channel
            .comparisons
            .running
            .as_mut()
            .filter(|it| it.id == id)
        else {
            return;
        };
        let flows = wire::records(records).map_while(Result::ok);
        for (_, flow) in flows {
            if !comparison.selection.has(&flow) {
                continue;
            }
            let hash = flow.hash(key);
            comparison.there.insert(hash, digest(&flow));
            comparison.name(hash, &flow);
        }
        self.end_large_comparison();
    }

    pub(super) fn handle_compared_end(&mut self, now_ns: u64, id: u32) {
        if let Some(comparison) = self
            .channel
            .comparisons
            .running
            .as_mut()
            .filter(|it| it.id == id)
        {
            comparison.peer_ended = true;
            self.conclude(now_ns);
        }
    }

    pub(super) fn end_own(&mut self, now_ns: u64, complete: bool) {
        if !complete {
            self.walks.request(Due::Compare);
        }
        if let Some(comparison) = self
            .channel
            .comparisons
            .running
            .as_mut()
            .filter(|_| complete)
        {
            comparison.own_ended = true;
            self.conclude(now_ns);
        }
    }

    fn conclude(&mut self, now_ns: u64) {
        let running = &mut self.channel.comparisons.running;
        let Some(mut comparison) = running.take_if(|it| it.own_ended && it.peer_ended) else {
            return;
        };
        comparison.suspect();
        let equal = comparison.suspects.as_ref().is_none_or(HashMap::is_empty);
        // a pass that finds differences is followed by one that can name them
        if !equal && comparison.look < LOOKS {
            return self.look(now_ns, comparison);
        }
        let rows = comparison.rows();
        self.actions.push_back(Action::Compared(Ok(rows)));
    }

    /// Ends a comparison, if there is one, without a result.
    pub(super) fn end_comparison(&mut self, fault: Fault) {
        if self.channel.comparisons.running.take().is_some() {
            self.actions.push_back(Action::Compared(Err(fault)));
        }
    }
}

impl Comparison {
    fn new(limit: usize, selection: Selection) -> Self {
        Self {
            id: 0,
            look: 0,
            selection,
            here: HashMap::new(),
            there: HashMap::new(),
            named: HashMap::new(),
            suspects: None,
            own_ended: false,
            peer_ended: false,
            limit,
        }
    }

    /// Keeps the differences that were found now and before.
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

    fn rows(&mut self) -> Rows {
        let suspects = self.suspects.take().unwrap_or_default();
        let mut rows: Rows = suspects
            .iter()
            .filter_map(|(hash, how)| Some((self.named.remove(hash)?, (*how).to_owned())))
            .collect();
        rows.sort_unstable();
        if let Some(more) = suspects
            .len()
            .checked_sub(rows.len())
            .filter(|more| *more > 0)
        {
            // this key sorts after the names of all protocols
            rows.push(("yet more".to_owned(), more.to_string()));
        }
        rows
    }
}

/// Returns the digest of a flow without what differs between kernels: times, counters and windows, and the flags of TCP,
/// as one kernel may track it liberally and the other not.
fn digest(flow: &Flow) -> Digest {
    let mut hasher = DefaultHasher::new();
    (flow.reply.source, flow.reply.destination, flow.reply.ports).hash(&mut hasher);
    (flow.mark, flow.state()).hash(&mut hasher);
    super::table::status_byte(flow.status).hash(&mut hasher);
    if let (TCP, Some(Tcp { scales, .. })) = (flow.original.protocol, flow.tcp) {
        scales.hash(&mut hasher);
    }
    flow.extra.hash(&mut hasher);
    hasher.finish()
}
